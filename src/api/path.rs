//! Names in paths: percent-decoding and the types they become.
//!
//! Strict: what is malformed is refused with its place, never passed on as it stands, since a key that is read
//! differently from how it was written is data lost.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::api::problem::Problem;
use crate::model::ids::{Key, Namespace, NodeId, RegionId, SubKey};

/// Why a text cannot be percent-decoded. Positions count bytes of the encoded text from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A `%` without two hexadecimal digits.
    #[error(
        "has malformed percent-encoding at byte {position}: {found:?} is not '%' and two hexadecimal digits (write a literal '%' as '%25')"
    )]
    Malformed {
        /// Where the `%` is.
        position: usize,
        /// It and what follows.
        found: String,
    },
    /// The decoded bytes are no UTF-8.
    #[error("is not UTF-8 after percent-decoding: the decoded byte {position} fits no character")]
    NotUtf8 {
        /// Where, in decoded bytes.
        position: usize,
    },
}

/// Percent-decodes a text.
///
/// # Errors
/// [`DecodeError`].
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    for (position, _) in text.match_indices('%') {
        let digits = bytes.get(position + 1..position + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let found = text[position..].chars().take(3).collect();
            return Err(DecodeError::Malformed { position, found });
        }
    }
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|error| DecodeError::NotUtf8 {
            position: error.valid_up_to(),
        })
}

/// The namespace of a path segment.
///
/// # Errors
/// 400.
pub(crate) fn namespace(segment: &str) -> Result<Namespace, Problem> {
    let text = decoded("namespace", segment)?;
    text.parse().map_err(in_path)
}

/// The key of a path segment.
///
/// # Errors
/// 400.
pub(crate) fn key(segment: &str) -> Result<Key, Problem> {
    Key::new(&decoded("key", segment)?).map_err(in_path)
}

/// The member or field (`what`) of a path segment.
///
/// # Errors
/// 400.
pub(crate) fn sub_key(what: &'static str, segment: &str) -> Result<SubKey, Problem> {
    SubKey::new(&decoded(what, segment)?).map_err(in_path)
}

/// The region of a path segment.
///
/// # Errors
/// 400.
pub(crate) fn region(segment: &str) -> Result<RegionId, Problem> {
    decoded("region", segment)?.parse().map_err(in_path)
}

/// The name of a node.
///
/// # Errors
/// 400.
pub(crate) fn node(segment: &str) -> Result<NodeId, Problem> {
    decoded("node", segment)?.parse().map_err(in_path)
}

fn decoded<'a>(what: &str, segment: &'a str) -> Result<Cow<'a, str>, Problem> {
    decode(segment).map_err(|error| Problem::invalid(format!("the {what} in the path {error}")))
}

fn in_path(error: impl std::fmt::Display) -> Problem {
    Problem::invalid(format!("in the path: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_texts_are_decoded() {
        for (encoded, text) in [
            ("plain", "plain"),
            ("a%2Fb", "a/b"),
            ("a%2fb", "a/b"),
            ("%00", "\0"),
            ("%25zz", "%zz"),
            ("a+b", "a+b"),
            ("%C3%A9", "é"),
            ("é", "é"),
            ("%F0%9F%8C%8A", "🌊"),
            ("", ""),
        ] {
            assert_eq!(decode(encoded).unwrap(), text, "{encoded}");
        }
    }

    #[test]
    fn malformed_texts_are_refused_with_their_place() {
        for (encoded, position, found) in [
            ("%", 0, "%"),
            ("a%", 1, "%"),
            ("ab%2", 2, "%2"),
            ("%zz", 0, "%zz"),
            ("%20%4é", 3, "%4é"),
            ("%+1", 0, "%+1"),
        ] {
            let expected = DecodeError::Malformed {
                position,
                found: found.to_owned(),
            };
            assert_eq!(decode(encoded), Err(expected), "{encoded}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_with_their_place() {
        for (encoded, position) in [("%ff", 0), ("ab%C3", 2), ("%ED%A0%80", 0), ("%41%80", 1)] {
            assert_eq!(
                decode(encoded),
                Err(DecodeError::NotUtf8 { position }),
                "{encoded}"
            );
        }
    }

    #[test]
    fn problems_name_what_is_wrong() {
        assert!(key("%zz").unwrap_err().detail().contains("the key in the path"));
        assert!(
            sub_key("member", "%ff")
                .unwrap_err()
                .detail()
                .contains("the member in the path")
        );
        assert!(key("").unwrap_err().detail().contains("key"));
        assert!(namespace("A").unwrap_err().detail().contains("namespace"));
        assert!(region("").unwrap_err().detail().contains("region"));
    }
}
