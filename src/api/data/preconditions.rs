//! `If-Match` and `If-None-Match` (RFC 9110, 8.8.3 and 13.1) as preconditions of the model, and entity tags in answers.
//!
//! All tags that this store gives are strong. A weak tag never equals one for `If-Match`, which compares strongly;
//! `If-None-Match` compares weakly, so there the mark `W/` makes no difference.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::api::data::errors;
use crate::api::headers;
use crate::api::problem::Problem;
use crate::model::request::{Precondition, WriteRefusal};

/// The conditions of a read, in the order in which they are looked at.
#[derive(Debug)]
pub(crate) struct ReadConditions {
    /// From `If-Match`; where it does not hold: 412.
    pub(crate) matches: Precondition,
    /// From `If-None-Match`; where it does not hold: 304.
    pub(crate) none_matches: Precondition,
}

impl ReadConditions {
    /// Shows what has this tag, or answers 304 if the client has it already.
    ///
    /// # Errors
    /// 412 where it is not what the client expects.
    pub(crate) fn answer(
        &self,
        tag: Option<&str>,
        show: impl FnOnce() -> Result<Response<Body>, Problem>,
    ) -> Result<Response<Body>, Problem> {
        if !self.matches.holds(tag) {
            let current = tag.map(str::to_owned);
            return Err(errors::refused(&WriteRefusal::PreconditionFailed { current }));
        }
        // The tag of several versions covers them all, so "not modified" is as true for them as for one.
        let mut response = if self.none_matches.holds(tag) {
            show()?
        } else {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        };
        if let Some(tag) = tag {
            response.headers_mut().insert(header::ETAG, entity_tag(tag));
        }
        Ok(response)
    }
}

/// A tag as a header.
pub(crate) fn entity_tag(tag: &str) -> HeaderValue {
    HeaderValue::try_from(quoted(tag)).expect("tags are versions, dots or digits, joined by '+'")
}

/// A tag as clients are told it.
pub(crate) fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// The condition of a write.
///
/// # Errors
/// 400 for lists that are not valid, and for both headers at once, which no use is known for.
pub(crate) fn of_write(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let conditions = of_read(headers)?;
    one_of(conditions, "the headers If-Match and If-None-Match")
}

/// The condition of an operation of a batch, whose fields say what headers say of a single write.
///
/// # Errors
/// As [`of_write`].
pub(crate) fn of_operation(
    if_match: Option<&str>,
    if_none_match: Option<&str>,
) -> Result<Precondition, Problem> {
    let listed = |name, text: Option<&str>| text.map(|text| tags(name, [Ok(text)])).transpose();
    let conditions = ReadConditions {
        matches: matching(listed("if_match", if_match)?),
        none_matches: not_matching(listed("if_none_match", if_none_match)?),
    };
    one_of(conditions, "if_match and if_none_match")
}

fn one_of(conditions: ReadConditions, both: &str) -> Result<Precondition, Problem> {
    match (conditions.matches, conditions.none_matches) {
        (condition, Precondition::None) | (Precondition::None, condition) => Ok(condition),
        _ => Err(Problem::invalid(format!(
            "{both} are both given: use the one that is meant"
        ))),
    }
}

/// The conditions of a read.
///
/// # Errors
/// 400 for lists that are not valid.
pub(crate) fn of_read(headers: &HeaderMap) -> Result<ReadConditions, Problem> {
    Ok(ReadConditions {
        matches: matching(header_tags(headers, &header::IF_MATCH)?),
        none_matches: not_matching(header_tags(headers, &header::IF_NONE_MATCH)?),
    })
}

fn matching(tags: Option<Tags>) -> Precondition {
    match tags {
        None => Precondition::None,
        Some(Tags::Any) => Precondition::Exists,
        Some(Tags::Listed(tags)) => {
            let strong = tags.into_iter().filter(|tag| !tag.is_weak);
            Precondition::Matches(strong.map(|tag| tag.text).collect())
        }
    }
}

fn not_matching(tags: Option<Tags>) -> Precondition {
    match tags {
        None => Precondition::None,
        Some(Tags::Any) => Precondition::Absent,
        Some(Tags::Listed(tags)) => Precondition::DiffersFrom(tags.into_iter().map(|tag| tag.text).collect()),
    }
}

enum Tags {
    Any,
    Listed(Vec<Tag>),
}

struct Tag {
    is_weak: bool,
    text: String,
}

/// All tags of all lines of a header; none if there is no such header.
fn header_tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let lines = headers
        .get_all(name)
        .iter()
        .map(|value| headers::text(name, value));
    let shown = format!("the header {}", headers::shown_name(name));
    tags(&shown, lines).map(Some)
}

/// All tags of all lines of what is called `name`.
fn tags<'a>(name: &str, lines: impl IntoIterator<Item = Result<&'a str, Problem>>) -> Result<Tags, Problem> {
    let mut is_any = false;
    let mut listed = Vec::new();
    for line in lines {
        let mut rest = skip_separators(line?);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('*') {
                is_any = true;
                rest = after;
            } else {
                let (tag, after) = first_tag(rest).ok_or_else(|| malformed(name, rest))?;
                listed.push(tag);
                rest = after;
            }
            let next = skip_separators(rest);
            let separated = next.is_empty() || rest[..rest.len() - next.len()].contains(',');
            if !separated {
                return Err(malformed(name, rest));
            }
            rest = next;
        }
    }
    match (is_any, listed.is_empty()) {
        (true, true) => Ok(Tags::Any),
        (false, false) => Ok(Tags::Listed(listed)),
        (true, false) => Err(Problem::invalid(format!(
            "{name} has '*' beside entity tags: use one or the other"
        ))),
        (false, true) => Err(malformed(name, "")),
    }
}

fn skip_separators(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', ','])
}

/// The tag at the front, and what follows it. A comma may be part of a tag.
fn first_tag(text: &str) -> Option<(Tag, &str)> {
    let strong = text.strip_prefix("W/");
    let is_weak = strong.is_some();
    let (text, rest) = strong.unwrap_or(text).strip_prefix('"')?.split_once('"')?;
    let is_tag = text.bytes().all(|b| b > b' ' && b != 0x7f);
    let text = text.to_owned();
    is_tag.then_some((Tag { is_weak, text }, rest))
}

fn malformed(name: &str, found: &str) -> Problem {
    Problem::invalid(format!(
        "{name} is malformed at {found:?}: write '*', or entity tags in quotes as ETag gave them, with commas between"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn texts(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn lists_stars_and_weak_tags_are_understood() {
        for (lines, expected) in [
            (vec![], Precondition::None),
            (vec![("if-match", "*")], Precondition::Exists),
            (vec![("if-none-match", " * ")], Precondition::Absent),
            (
                vec![("if-match", "\"a\",\"b,c\" , \"d\"")],
                Precondition::Matches(texts(&["a", "b,c", "d"])),
            ),
            (vec![("if-match", "W/\"a\"")], Precondition::Matches(Vec::new())),
            (
                vec![("if-match", "\"a\", W/\"b\""), ("if-match", "\"c\"")],
                Precondition::Matches(texts(&["a", "c"])),
            ),
            (
                vec![("if-none-match", "W/\"a\", \"b\",")],
                Precondition::DiffersFrom(texts(&["a", "b"])),
            ),
            (vec![("if-match", "\"\"")], Precondition::Matches(texts(&[""]))),
        ] {
            assert_eq!(of_write(&headers(&lines)).unwrap(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for value in [
            "",
            ",",
            "a",
            "\"a",
            "a\"",
            "\"a\" \"b\"",
            "\"a\"\"b\"",
            "w/\"a\"",
            "W/a",
            "*, \"a\"",
            "**",
            "\"a b\"",
            "* *",
        ] {
            let problem = of_write(&headers(&[("if-match", value)])).unwrap_err();
            assert!(problem.detail().contains("If-Match"), "{value}");
        }
    }

    #[test]
    fn a_write_has_one_condition_and_a_read_may_have_both() {
        let both = headers(&[("if-match", "*"), ("if-none-match", "\"a\"")]);
        assert!(of_write(&both).unwrap_err().detail().contains("both"));
        assert!(of_read(&both).is_ok());
    }
}
