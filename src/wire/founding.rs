//! What a node's data folder says of the founding of its region, under [`meta::founding`](crate::wire::keys::meta::founding).

use crate::model::agreement::FoundingState;
use crate::wire::codec::{self, DecodeError};

const FOUNDING_FORMAT: u8 = 1;

/// The bytes of what is known of the founding.
#[must_use]
pub fn encode_founding(state: &FoundingState) -> Vec<u8> {
    codec::encode_versioned(FOUNDING_FORMAT, state)
}

/// Reads what [`encode_founding`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_founding(bytes: &[u8]) -> Result<FoundingState, DecodeError> {
    const WHAT: &str = "the founding record";
    let state: FoundingState = codec::decode_versioned(WHAT, FOUNDING_FORMAT, bytes)?;
    if state.is_valid() {
        Ok(state)
    } else {
        Err(DecodeError::new(WHAT, "it names a node twice, or only one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agreement::{FoundingRecord, MemberId};
    use crate::model::ids::Incarnation;
    use crate::wire::samples_test::hex;

    fn member(node: &str, incarnation: u32) -> MemberId {
        MemberId {
            node: node.parse().unwrap(),
            incarnation: Incarnation(incarnation),
        }
    }

    fn record(members: &[MemberId]) -> FoundingRecord {
        FoundingRecord {
            replica: Incarnation(7),
            members: members.iter().copied().collect(),
        }
    }

    #[test]
    fn golden_bytes() {
        let both = record(&[member("n1", 300), member("n2", 5)]);
        for (state, golden) in [
            (FoundingState::Unfounded(None), "010000"),
            (
                FoundingState::Unfounded(Some(member("n1", 300))),
                "010001026e31fb2c01",
            ),
            (
                FoundingState::Recorded(both.clone()),
                "01010702026e31fb2c01026e3205",
            ),
            (FoundingState::Complete(both), "01020702026e31fb2c01026e3205"),
        ] {
            assert_eq!(
                hex(&encode_founding(&state)),
                golden,
                "the persisted bytes have changed"
            );
            assert_eq!(decode_founding(&encode_founding(&state)), Ok(state));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for members in [&[member("n1", 1)][..], &[member("n1", 1), member("n1", 2)], &[]] {
            let state = FoundingState::Recorded(record(members));
            assert!(decode_founding(&encode_founding(&state)).is_err());
        }
        assert!(decode_founding(&[2, 0, 0]).is_err());
        assert!(decode_founding(&[]).is_err());
        assert!(decode_founding(&[1, 3]).is_err());
    }
}
