//! Paths and queries of requests, percent-encoded.
//!
//! Invariant: every byte of a segment that is not unreserved (RFC 3986: letters, digits, `-._~`) is encoded, so a key
//! is one segment whatever it holds, `/` as `%2F`.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded: everything but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A segment that URLs cannot carry.
///
/// Every URL parser resolves `.` and `..`, encoded or not, before the request is sent: a delete of member `..` would
/// become a delete of the whole set. So they are refused here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be part of a URL path: `.` and `..` mean directories there; choose another name")]
pub(crate) struct DotSegment(String);

/// The path and query of a request, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestPath {
    text: String,
    has_query: bool,
}

impl RequestPath {
    /// Starts with a fixed path, which must be encoded already and start with `/`.
    pub(crate) fn new(fixed: &'static str) -> Self {
        debug_assert!(fixed.starts_with('/') && !fixed.ends_with('/'));
        Self {
            text: fixed.to_owned(),
            has_query: false,
        }
    }

    /// Appends one segment.
    pub(crate) fn segment(mut self, segment: &str) -> Result<Self, DotSegment> {
        if matches!(segment, "." | "..") {
            return Err(DotSegment(segment.to_owned()));
        }
        debug_assert!(!self.has_query);
        self.text.push('/');
        self.text.extend(utf8_percent_encode(segment, RESERVED));
        Ok(self)
    }

    /// Appends a query parameter. Spaces become `%20`, which both common readings of queries understand.
    pub(crate) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, RESERVED));
        self
    }

    /// Appends a query parameter if there is a value.
    pub(crate) fn query_optional(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;

    use super::*;

    fn encoded(segment: &str) -> String {
        RequestPath::new("/v1").segment(segment).unwrap().to_string()["/v1/".len()..].to_owned()
    }

    #[test]
    fn every_key_survives_the_path() {
        let every_ascii: String = (0..=127u8).map(char::from).collect();
        for key in [
            "vim",
            "a/b/c",
            "é漢😀",
            "%2F",
            "a b+c?d#e&f=g",
            "...",
            " ",
            &every_ascii,
        ] {
            let segment = encoded(key);
            assert!(
                segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)),
                "{segment}"
            );
            assert_eq!(percent_decode_str(&segment).decode_utf8().unwrap(), key);
        }
        assert_eq!(encoded("a/b"), "a%2Fb");
    }

    #[test]
    fn the_url_parser_changes_no_encoded_segment() {
        for key in ["a/../b", "...", "..a", "\t\n", "a\\b", "%2e%2e"] {
            let path = RequestPath::new("/v1").segment(key).unwrap().to_string();
            let url = reqwest::Url::parse(&format!("http://127.0.0.1:1{path}")).unwrap();
            assert_eq!(url.path(), path);
        }
    }

    #[test]
    fn dot_segments_are_refused_since_urls_resolve_them() {
        let resolved = reqwest::Url::parse("http://127.0.0.1:1/v1/sets/key/%2e%2E").unwrap();
        assert_eq!(resolved.path(), "/v1/sets/", "the reason for the rule");
        for segment in [".", ".."] {
            assert!(RequestPath::new("/v1").segment(segment).is_err());
        }
    }

    #[test]
    fn queries_are_encoded_and_joined() {
        let path = RequestPath::new("/v1")
            .query("prefix", "a&b c")
            .query_optional("after", None)
            .query("limit", "5");
        assert_eq!(path.to_string(), "/v1?prefix=a%26b%20c&limit=5");
    }
}
