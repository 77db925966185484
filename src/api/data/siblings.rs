//! Registers with several visible versions: the answer that shows them all, and the context with which a client writes
//! back in their place.
//!
//! The context is opaque to clients: base64url of a format number and the dots. It holds the dots of hidden versions
//! (deletes, expired ones) too: the client was shown that they hide, so what it writes back replaces them as well.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::change::Content;
use crate::model::limits;
use crate::model::rows::{RegisterRow, RegisterVersion};
use crate::model::vector::Dot;
use crate::wire::codec;

/// Changes when the context's bytes mean something else.
const CONTEXT_FORMAT: u8 = 1;

/// The versions of a register that are in conflict.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Siblings {
    /// Opaque: send it as `Atoll-Context` with the PUT that replaces exactly these.
    context: String,
    /// Highest version first.
    siblings: Vec<Sibling>,
}

/// One of several versions of a register.
#[derive(Debug, Serialize, ToSchema)]
struct Sibling {
    /// Its version, opaque, sortable as text.
    version: String,
    /// Where it was written.
    #[schema(example = "us-east")]
    region: String,
    /// As it was given.
    content_type: String,
    /// The bytes.
    value_base64: String,
}

impl Siblings {
    /// The answer that shows `visible` of `row`.
    pub(crate) fn of(row: &RegisterRow, visible: &[(&RegisterVersion, &Content)]) -> Self {
        Self {
            context: context_of(row),
            siblings: visible
                .iter()
                .map(|(version, content)| Sibling {
                    version: version.version().to_string(),
                    region: version.dot.replica.region.to_string(),
                    content_type: content.content_type.clone(),
                    value_base64: STANDARD.encode(&content.payload),
                })
                .collect(),
        }
    }
}

/// The context of all that a register holds.
pub(crate) fn context_of(row: &RegisterRow) -> String {
    let dots: Vec<_> = row.versions().iter().map(|version| version.dot).collect();
    text_of(&dots)
}

/// The context of these dots.
pub(crate) fn text_of(dots: &[Dot]) -> String {
    URL_SAFE_NO_PAD.encode(codec::encode_versioned(CONTEXT_FORMAT, &dots))
}

/// The dots of a context; none when this store did not write it.
pub(crate) fn parse_context(text: &str) -> Option<Vec<Dot>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let dots: Vec<Dot> = codec::decode_versioned("context", CONTEXT_FORMAT, &bytes).ok()?;
    (!dots.is_empty() && dots.len() <= limits::CONTEXT_DOTS_MAX).then_some(dots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{Incarnation, ReplicaId};

    fn dots(count: usize) -> Vec<Dot> {
        let replica = ReplicaId {
            region: "us-east".parse().unwrap(),
            incarnation: Incarnation::FIRST,
        };
        (1..=count as u64).map(|seq| Dot { replica, seq }).collect()
    }

    fn text(format: u8, dots: &[Dot]) -> String {
        URL_SAFE_NO_PAD.encode(codec::encode_versioned(format, &dots))
    }

    #[test]
    fn a_context_is_what_was_given_out() {
        assert_eq!(parse_context(&text(CONTEXT_FORMAT, &dots(2))), Some(dots(2)));
    }

    #[test]
    fn anything_else_is_no_context() {
        for bad in [
            String::new(),
            "*".to_owned(),
            "AAAA".to_owned(),
            text(CONTEXT_FORMAT, &[]),
            text(CONTEXT_FORMAT + 1, &dots(1)),
            text(CONTEXT_FORMAT, &dots(limits::CONTEXT_DOTS_MAX + 1)),
            text(CONTEXT_FORMAT, &dots(1)) + "AA",
        ] {
            assert_eq!(parse_context(&bad), None, "{bad}");
        }
    }

    #[test]
    fn golden_text_of_a_context() {
        assert_eq!(text(CONTEXT_FORMAT, &dots(1)), "AQEHdXMtZWFzdAEB");
    }
}
