//! What stands under the keys of links that an operator has paused or resumed.

use crate::model::hlc::WallTime;
use crate::model::ids::NodeId;
use crate::model::pauses::{LinkPause, PauseStamp};
use crate::wire::codec::{self, DecodeError};

const PAUSE_FORMAT: u8 = 1;

/// The bytes of a decision.
#[must_use]
pub fn encode_pause(pause: &LinkPause) -> Vec<u8> {
    codec::encode_versioned(PAUSE_FORMAT, pause)
}

/// Reads what [`encode_pause`] wrote, in the store of a node. Before decisions had stamps nothing stood under the key, and the key
/// was there only while the link was paused: such a pause counts as older than any other decision.
///
/// # Errors
/// [`DecodeError`].
pub fn decode_pause(own: NodeId, bytes: &[u8]) -> Result<LinkPause, DecodeError> {
    if bytes.is_empty() {
        let stamp = PauseStamp {
            at: WallTime::from_micros(0),
            node: own,
        };
        return Ok(LinkPause {
            is_paused: true,
            stamp,
        });
    }
    codec::decode_versioned("a paused link", PAUSE_FORMAT, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_come_back_as_they_were_and_those_without_a_stamp_are_pauses() {
        let own: NodeId = "n1".parse().unwrap();
        let pause = LinkPause {
            is_paused: false,
            stamp: PauseStamp {
                at: WallTime::from_micros(300),
                node: "n2".parse().unwrap(),
            },
        };
        let bytes = encode_pause(&pause);
        assert_eq!(decode_pause(own, &bytes), Ok(pause));
        let old = decode_pause(own, &[]).unwrap();
        assert!(old.is_paused && old.stamp < pause.stamp);
        assert!(decode_pause(own, &bytes[..bytes.len() - 1]).is_err());
    }
}
