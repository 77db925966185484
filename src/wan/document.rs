//! Links as JSON: what the control answers and takes. Field names are those of `[[link]]` in `regions.toml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::line::Counts;
use crate::config::LinkShape;
use crate::config::link::{Bandwidth, LinkChange, LinkQuantity, Percent, QuantityError};
use crate::model::ids::{NodeId, RegionId};

/// One direction of a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkDocument {
    /// Whose packets pass.
    pub from: RegionId,
    /// Who gets them.
    pub to: RegionId,
    /// The way to each node of `to`; the line between is the same.
    pub paths: Vec<PathDocument>,
    /// What the direction is like.
    #[serde(flatten)]
    pub shape: ShapeDocument,
    /// What has become of its packets.
    pub counts: CountsDocument,
}

/// The way to one node of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathDocument {
    /// The node.
    pub node: NodeId,
    /// Where nodes of the other region dial it (UDP).
    pub listen: String,
    /// Where it sends what it gets there.
    pub target: String,
}

impl LinkDocument {
    /// What `--peer` of `atoll serve` calls the end of a path: the region, where it has one node.
    #[must_use]
    pub fn dialled(&self, path: &PathDocument) -> String {
        if self.paths.len() == 1 {
            self.to.to_string()
        } else {
            path.node.to_string()
        }
    }
}

/// See [`LinkShape`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShapeDocument {
    /// See [`LinkShape::round_trip`].
    pub round_trip_ms: f64,
    /// See [`LinkShape::jitter`].
    pub jitter_ms: f64,
    /// See [`LinkShape::loss`].
    pub loss_percent: f64,
    /// See [`LinkShape::reorder`].
    pub reorder_percent: f64,
    /// See [`LinkShape::bandwidth`].
    pub bandwidth_mbit: f64,
    /// See [`LinkShape::is_cut`].
    pub cut: bool,
}

/// What has become of the packets of a direction since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsDocument {
    /// Packets that were handed on.
    pub packets: u64,
    /// Their payload.
    pub bytes: u64,
    /// Packets that are on their way.
    pub held_packets: u64,
    /// Packets that never arrive, by reason.
    pub dropped: DroppedDocument,
}

/// Packets that never arrive, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedDocument {
    /// The link was cut.
    pub cut: u64,
    /// `loss_percent`.
    pub loss: u64,
    /// The queue before a thin link was full.
    pub queue: u64,
    /// The relay held as much as it may.
    pub overflow: u64,
    /// The machine refused to take it: nobody listens at the target, or its name does not resolve.
    pub send: u64,
}

/// A change of a link: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeDocument {
    /// See [`LinkShape::round_trip`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// See [`LinkShape::jitter`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// See [`LinkShape::loss`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// See [`LinkShape::reorder`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_percent: Option<f64>,
    /// See [`LinkShape::bandwidth`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_mbit: Option<f64>,
    /// See [`LinkShape::is_cut`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<bool>,
}

/// A field whose number is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot set {field}")]
pub struct ChangeError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub source: QuantityError,
}

impl ChangeDocument {
    /// The change, if all numbers are in range.
    ///
    /// # Errors
    /// [`ChangeError`] for the first field that is not.
    pub fn change(&self) -> Result<LinkChange, ChangeError> {
        let checked = |quantity: LinkQuantity, given: Option<f64>| {
            given
                .map(|given| quantity.thousandths(given))
                .transpose()
                .map_err(|source| ChangeError {
                    field: quantity.name(),
                    source,
                })
        };
        Ok(LinkChange {
            round_trip: checked(LinkQuantity::RoundTrip, self.round_trip_ms)?.map(Duration::from_micros),
            jitter: checked(LinkQuantity::Jitter, self.jitter_ms)?.map(Duration::from_micros),
            loss: checked(LinkQuantity::Loss, self.loss_percent)?.map(Percent::from_thousandths),
            reorder: checked(LinkQuantity::Reorder, self.reorder_percent)?.map(Percent::from_thousandths),
            bandwidth: checked(LinkQuantity::Bandwidth, self.bandwidth_mbit)?
                .map(Bandwidth::from_thousandths),
            is_cut: self.cut,
        })
    }
}

impl From<LinkShape> for ShapeDocument {
    fn from(shape: LinkShape) -> Self {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
        Self {
            round_trip_ms: milliseconds(shape.round_trip),
            jitter_ms: milliseconds(shape.jitter),
            loss_percent: shape.loss.as_percent(),
            reorder_percent: shape.reorder.as_percent(),
            bandwidth_mbit: shape.bandwidth.as_mbit(),
            cut: shape.is_cut,
        }
    }
}

impl From<Counts> for CountsDocument {
    fn from(counts: Counts) -> Self {
        Self {
            packets: counts.passed_packets,
            bytes: counts.passed_bytes,
            held_packets: counts.held_packets,
            dropped: DroppedDocument {
                cut: counts.cut,
                loss: counts.loss,
                queue: counts.queue,
                overflow: counts.overflow,
                send: counts.send,
            },
        }
    }
}
