//! Session tokens: what a client has seen, as the highest stamp of each region (DESIGN.md, consistency levels). A
//! region answers a token once it has applied everything with such stamps, so that the client never goes back in time
//! (session guarantees: Terry et al., 1994).

use std::collections::BTreeMap;

use crate::model::hlc::Hlc;
use crate::model::ids::RegionId;

/// What a client has seen: region → the highest stamp. Absent regions: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionToken(BTreeMap<RegionId, Hlc>);

impl SessionToken {
    /// Takes note of a stamp.
    pub fn note(&mut self, region: RegionId, stamp: Hlc) {
        let seen = self.0.entry(region).or_default();
        *seen = (*seen).max(stamp);
    }

    /// Takes note of all that another token has seen.
    pub fn merge(&mut self, other: &Self) {
        for (region, stamp) in &other.0 {
            self.note(*region, *stamp);
        }
    }

    /// The highest stamp seen of a region; zero if none was.
    #[must_use]
    pub fn stamp(&self, region: RegionId) -> Hlc {
        self.0.get(&region).copied().unwrap_or_default()
    }

    /// What was seen, by region.
    pub fn iter(&self) -> impl Iterator<Item = (RegionId, Hlc)> + '_ {
        self.0.iter().map(|(region, stamp)| (*region, *stamp))
    }

    /// The highest stamp in it; none if nothing was seen.
    #[must_use]
    pub fn highest(&self) -> Option<Hlc> {
        self.0.values().max().copied()
    }
}

impl FromIterator<(RegionId, Hlc)> for SessionToken {
    fn from_iter<I: IntoIterator<Item = (RegionId, Hlc)>>(stamps: I) -> Self {
        let mut token = Self::default();
        for (region, stamp) in stamps {
            token.note(region, stamp);
        }
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_forgets_a_higher_stamp() {
        let us: RegionId = "us".parse().unwrap();
        let mut token = SessionToken::from_iter([(us, Hlc(7)), (us, Hlc(5))]);
        token.merge(&SessionToken::from_iter([
            ("eu".parse().unwrap(), Hlc(9)),
            (us, Hlc(6)),
        ]));
        assert_eq!(token.iter().find(|(region, _)| *region == us), Some((us, Hlc(7))));
        assert_eq!(token.highest(), Some(Hlc(9)));
    }
}
