//! What a node says when it refuses: `application/problem+json` (RFC 9457) with a stable `code`.

use std::fmt;

use serde::Deserialize;

use crate::cli::text;

/// Characters of an answer that is not a problem document, as shown to the user.
const FOREIGN_CHARS_MAX: usize = 200;

/// A refusal by a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code, such as `not_found`; empty when the answer was not a problem document.
    pub(crate) code: String,
    /// What happened, for people.
    pub(crate) detail: String,
    /// With `timeout`: whether the write is durable in the region that was asked.
    pub(crate) committed_locally: Option<bool>,
}

#[derive(Deserialize)]
struct ProblemDocument {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    committed_locally: Option<bool>,
}

impl Problem {
    /// Reads the body of an answer with an error status. Anything but a problem document becomes a problem without
    /// code that quotes the start of the body.
    pub(crate) fn parse(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<ProblemDocument>(body) {
            Ok(document) => Self {
                status,
                code: document.code,
                detail: if document.detail.is_empty() {
                    document.title
                } else {
                    document.detail
                },
                committed_locally: document.committed_locally,
            },
            Err(_) => Self {
                status,
                code: String::new(),
                detail: foreign(body),
                committed_locally: None,
            },
        }
    }

    /// Whether the thing asked for does not exist, as said by a node (and not by some other server's 404).
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 404 && self.code == "not_found"
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self.status, 429 | 502 | 503 | 504)
    }

    /// What to do about it, where something can be done.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self.code.as_str() {
            "overloaded" => "the node has more requests than it can hold; try again in a moment",
            "unavailable" => {
                "the guarantee that was asked for cannot be met now; see `atoll status`, or ask for less with --consistency"
            }
            "timeout" if self.committed_locally == Some(true) => {
                "the write is durable in the region that was asked and will reach the others; do not count it as lost"
            }
            "timeout" => "whether the write was applied is unknown; read it back, or raise --timeout-ms",
            "precondition_failed" | "conflict" => {
                "someone else changed it meanwhile; read it again and decide anew"
            }
            "too_large" => "registers and fields hold up to 1 MiB; split the value",
            "unauthenticated" | "forbidden" => "this node wants credentials that allow the call",
            "" if self.status == 404 => {
                "this may not be an Atoll node, or one of another version: check --endpoint"
            }
            "" => "the answer did not come from an Atoll node; is there a proxy between? check --endpoint",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.detail.is_empty() {
            write!(f, "{} ", self.detail)?;
        }
        if self.code.is_empty() {
            write!(f, "(HTTP {})", self.status)
        } else {
            write!(f, "({}, HTTP {})", self.code, self.status)
        }
    }
}

/// The start of a body that no node wrote.
fn foreign(body: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(body)
        .trim()
        .chars()
        .take(FOREIGN_CHARS_MAX)
        .collect();
    if start.is_empty() {
        String::new()
    } else {
        format!("answer: {}", text::escape(&start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_shows_its_code_and_detail() {
        let body = br#"{"type":"about:blank","title":"Too large","status":413,"code":"too_large",
            "detail":"value has 2097152 bytes; at most 1048576 are allowed"}"#;
        let problem = Problem::parse(413, body);
        assert_eq!(
            problem.to_string(),
            "value has 2097152 bytes; at most 1048576 are allowed (too_large, HTTP 413)"
        );
        assert!(problem.hint().unwrap().contains("1 MiB"));
        assert!(!problem.is_temporary());
    }

    #[test]
    fn a_timeout_says_whether_the_write_is_safe() {
        let parse = |committed: &str| {
            Problem::parse(
                504,
                format!(r#"{{"code":"timeout","title":"t","committed_locally":{committed}}}"#).as_bytes(),
            )
        };
        assert!(parse("true").hint().unwrap().contains("durable"));
        assert!(parse("false").hint().unwrap().contains("unknown"));
        assert!(parse("null").is_temporary());
    }

    #[test]
    fn other_servers_are_recognised() {
        let problem = Problem::parse(404, b"<html>\x1b[31mnginx</html>");
        assert!(!problem.is_not_found());
        assert_eq!(
            problem.to_string(),
            "answer: <html>\\u{1b}[31mnginx</html> (HTTP 404)"
        );
        assert!(problem.hint().unwrap().contains("--endpoint"));
        assert_eq!(Problem::parse(500, b"").to_string(), "(HTTP 500)");
    }

    #[test]
    fn not_found_needs_the_code() {
        assert!(Problem::parse(404, br#"{"code":"not_found"}"#).is_not_found());
        assert!(!Problem::parse(404, br#"{"message":"no route"}"#).is_not_found());
    }
}
