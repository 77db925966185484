//! `[[link]]`: from the entries of the file to one shape for each direction that they name.
//!
//! Entries for both directions come first and those for one direction are laid over them, wherever they stand, so that
//! the order in the file means nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;

use super::error::{ConfigError, Mistake};
use super::link::{Bandwidth, Direction, LinkChange, LinkQuantity, LinkShape, Percent};
use super::raw::RawLink;
use super::source::Source;
use super::types::{RegionConfig, list};
use crate::model::ids::RegionId;

/// Which directions an entry is about.
enum Ends {
    Both(Direction),
    One(Direction),
}

impl Source<'_> {
    pub(super) fn links(
        &self,
        raw: &[Spanned<RawLink>],
        regions: &[RegionConfig],
    ) -> Result<BTreeMap<Direction, LinkShape>, ConfigError> {
        let (mut both, mut one) = (Vec::new(), Vec::new());
        // There are only so many pairs of regions, so refusing duplicates bounds the entries, too.
        let mut seen = BTreeMap::new();
        for entry in raw {
            let ends = self.ends(entry, regions)?;
            let (field, name) = match &ends {
                Ends::Both(direction) => {
                    let (first, second) =
                        (direction.from.min(direction.to), direction.from.max(direction.to));
                    ("link.between", format!("between {first} and {second}"))
                }
                Ends::One(direction) => ("link.from", format!("from {direction}")),
            };
            self.unique(field, "link", &Spanned::new(entry.span(), name), &mut seen)?;
            let change = self.link_change(entry.get_ref())?;
            match ends {
                Ends::Both(direction) => both.extend([(direction, change), (direction.reversed(), change)]),
                Ends::One(direction) => one.push((direction, change)),
            }
        }
        let mut links: BTreeMap<Direction, LinkShape> = BTreeMap::new();
        for (direction, change) in both.into_iter().chain(one) {
            let shape = links.entry(direction).or_default();
            *shape = change.applied_to(*shape);
        }
        Ok(links)
    }

    fn ends(&self, entry: &Spanned<RawLink>, regions: &[RegionConfig]) -> Result<Ends, ConfigError> {
        let raw = entry.get_ref();
        match (&raw.between, &raw.from, &raw.to) {
            (Some(between), None, None) => {
                let [from, to] = between.get_ref().as_slice() else {
                    return Err(self.refuse("link.between", between.span(), Mistake::LinkEnds));
                };
                self.direction(["link.between", "link.between"], from, to, regions)
                    .map(Ends::Both)
            }
            (None, Some(from), Some(to)) => self
                .direction(["link.from", "link.to"], from, to, regions)
                .map(Ends::One),
            _ => Err(self.refuse("link", entry.span(), Mistake::LinkEnds)),
        }
    }

    fn direction(
        &self,
        fields: [&str; 2],
        from: &Spanned<String>,
        to: &Spanned<String>,
        regions: &[RegionConfig],
    ) -> Result<Direction, ConfigError> {
        let direction = Direction {
            from: self.known_region(fields[0], from, regions)?,
            to: self.known_region(fields[1], to, regions)?,
        };
        if direction.from == direction.to {
            return Err(self.refuse(fields[1], to.span(), Mistake::LinkedWithItself(direction.to)));
        }
        Ok(direction)
    }

    fn known_region(
        &self,
        field: &str,
        raw: &Spanned<String>,
        regions: &[RegionConfig],
    ) -> Result<RegionId, ConfigError> {
        let region = self.text_field(field, raw)?;
        if regions.iter().any(|known| known.id == region) {
            return Ok(region);
        }
        let known = list(regions.iter().map(|known| known.id));
        Err(self.refuse(field, raw.span(), Mistake::NoSuchRegion { region, known }))
    }

    fn link_change(&self, raw: &RawLink) -> Result<LinkChange, ConfigError> {
        let milliseconds = |quantity, raw: &Option<Spanned<f64>>| {
            let thousandths = self.quantity(quantity, raw.as_ref())?;
            Ok::<_, ConfigError>(thousandths.map(Duration::from_micros))
        };
        let percent = |quantity, raw: &Option<Spanned<f64>>| {
            let thousandths = self.quantity(quantity, raw.as_ref())?;
            Ok::<_, ConfigError>(thousandths.map(Percent::from_thousandths))
        };
        Ok(LinkChange {
            round_trip: milliseconds(LinkQuantity::RoundTrip, &raw.round_trip_ms)?,
            jitter: milliseconds(LinkQuantity::Jitter, &raw.jitter_ms)?,
            loss: percent(LinkQuantity::Loss, &raw.loss_percent)?,
            reorder: percent(LinkQuantity::Reorder, &raw.reorder_percent)?,
            bandwidth: self
                .quantity(LinkQuantity::Bandwidth, raw.bandwidth_mbit.as_ref())?
                .map(Bandwidth::from_thousandths),
            is_cut: raw.cut,
        })
    }
}
