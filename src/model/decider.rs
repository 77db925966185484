//! Which region makes a change of a namespace's configuration, so that no two of them make one at a time: every region
//! says the same of the same configuration. Knows nothing of what regions can be reached.

use std::fmt;

use crate::model::ids::RegionId;

/// Who makes a change of a namespace's configuration, if it is not forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// Whichever region is asked: no home is involved.
    Anyone,
    /// The namespace's home.
    Home(RegionId),
    /// The namespace has no home and gets one: the first of all regions by name does that. The choice of the first is
    /// as good as any other that all regions make alike without asking each other.
    Arbiter(RegionId),
}

impl Decider {
    /// Who makes a change from one home to another, or to and from none. `regions` are all of the cluster.
    #[must_use]
    pub fn of(
        current: Option<RegionId>,
        wanted: Option<RegionId>,
        regions: impl IntoIterator<Item = RegionId>,
    ) -> Self {
        if let Some(home) = current {
            return Self::Home(home);
        }
        match (wanted, regions.into_iter().min()) {
            (Some(_), Some(first)) => Self::Arbiter(first),
            _ => Self::Anyone,
        }
    }

    /// The region; none for any.
    #[must_use]
    pub fn region(&self) -> Option<RegionId> {
        match self {
            Self::Anyone => None,
            Self::Home(region) | Self::Arbiter(region) => Some(*region),
        }
    }
}

/// What it is, for people.
impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "any region",
            Self::Home(_) => "the home region of the namespace, which alone changes its configuration",
            Self::Arbiter(_) => {
                "the first region of this cluster by name, which alone gives a namespace its first home"
            }
        })
    }
}

/// What to do when the region that decides is lost, for errors.
pub const WAY_OUT: &str = "try again, or if it is lost for good use \"force\": true";

#[cfg(test)]
mod tests {
    use super::*;

    fn decider(current: Option<&str>, wanted: Option<&str>) -> Decider {
        let home = |name: Option<&str>| name.map(|name| name.parse().unwrap());
        let regions = ["us-east", "eu-west", "eu", "za"].map(|name| name.parse().unwrap());
        Decider::of(home(current), home(wanted), regions)
    }

    #[test]
    fn the_home_decides_the_first_region_by_name_sets_a_first_home_and_the_rest_is_anybodys() {
        let region = |name: &str| name.parse::<RegionId>().unwrap();
        for wanted in [None, Some("us-east"), Some("za")] {
            assert_eq!(decider(Some("us-east"), wanted), Decider::Home(region("us-east")));
        }
        // A name that begins like another one comes before it.
        assert_eq!(decider(None, Some("za")), Decider::Arbiter(region("eu")));
        assert_eq!(decider(None, None), Decider::Anyone);
        assert_eq!(decider(None, None).region(), None);
    }
}
