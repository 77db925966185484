//! Query parameters. Strict: what a route does not know is refused by name, since a misspelt `limit` that is silently
//! ignored looks like a wrong answer.

use std::borrow::Cow;

use crate::actors::region::PageRequest;
use crate::api::path;
use crate::api::problem::Problem;
use crate::model::limits;

/// The parameters of a request, decoded.
#[derive(Debug, Default)]
pub(crate) struct Query {
    parameters: Vec<(&'static str, String)>,
}

impl Query {
    /// Takes a query apart.
    ///
    /// # Errors
    /// 400 for parameters that are not among `known`, come twice or cannot be decoded.
    pub(crate) fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut query = Self::default();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded("a name", name)?;
            let value = decoded(&format!("the value of {name:?}"), value)?;
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(Problem::invalid(unknown(&name, known)));
            };
            if query.text(name).is_some() {
                return Err(Problem::invalid(format!(
                    "the query parameter {name:?} is given twice: give it once"
                )));
            }
            query.parameters.push((name, value));
        }
        Ok(query)
    }

    /// The value of a parameter as given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find_map(|(given, value)| (*given == name).then_some(value.as_str()))
    }

    /// Whether something is wanted: `true` or `false`, and `false` where nothing is said.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn is_wanted(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(Problem::invalid(format!(
                "the query parameter {name:?} is {text:?}: use true or false"
            ))),
        }
    }

    /// A whole number of at least 1.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        // `parse` alone would take a sign.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && number > 0 => Ok(Some(number)),
            _ => Err(Problem::invalid(format!(
                "the query parameter {name:?} is {text:?}: use a whole number of at least 1"
            ))),
        }
    }

    /// How many entries are asked for. More than `max` is cut to it: `next` tells that there is more.
    ///
    /// # Errors
    /// As [`Query::number`].
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let limit = self.number("limit")?;
        Ok(limit.map_or(default, |limit| {
            usize::try_from(limit).map_or(max, |limit| limit.min(max))
        }))
    }

    /// `after` and `limit` of a listing by key, member or field.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        let limit = self.limit(limits::LISTING_DEFAULT, limits::LISTING_MAX)?;
        let after = self.key_text("after")?.map(str::to_owned);
        Ok(PageRequest { after, limit })
    }

    /// A parameter that is compared with keys; empty counts as not given.
    ///
    /// # Errors
    /// 400 when no key can be that long.
    pub(crate) fn key_text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let text = self.text(name).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.len() > limits::KEY_BYTES_MAX) {
            return Err(Problem::invalid(format!(
                "the query parameter {name:?} is longer than the {} bytes that keys, members and fields can have",
                limits::KEY_BYTES_MAX
            )));
        }
        Ok(text)
    }
}

/// Decodes as forms do: `+` is a space.
fn decoded(what: &str, text: &str) -> Result<String, Problem> {
    let spaced = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    match path::decode(&spaced) {
        Ok(text) => Ok(text.into_owned()),
        Err(error) => Err(Problem::invalid(format!("{what} in the query {error}"))),
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        format!("the query parameter {name:?} is unknown: this request takes none")
    } else {
        format!(
            "the query parameter {name:?} is unknown: use {}",
            known.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["prefix", "after", "limit"];

    #[test]
    fn parameters_are_decoded_as_forms_are() {
        let query = Query::parse(Some("prefix=a+b%2B%2Fc&&limit=7&after="), KNOWN).unwrap();
        assert_eq!(query.text("prefix"), Some("a b+/c"));
        assert_eq!(query.limit(1, 10).unwrap(), 7);
        assert_eq!(query.key_text("after").unwrap(), None);
        assert_eq!(query.text("missing"), None);
    }

    #[test]
    fn limits_default_and_are_cut() {
        let limit = |raw| Query::parse(raw, KNOWN).unwrap().limit(5, 10);
        assert_eq!(limit(None).unwrap(), 5);
        assert_eq!(limit(Some("limit=10")).unwrap(), 10);
        assert_eq!(limit(Some("limit=11")).unwrap(), 10);
        assert_eq!(limit(Some("limit=18446744073709551615")).unwrap(), 10);
        for bad in [
            "limit=0",
            "limit=",
            "limit",
            "limit=-1",
            "limit=%2B5",
            "limit=1.0",
            "limit=abc",
        ] {
            let problem = limit(Some(bad)).unwrap_err();
            assert!(problem.detail().contains("\"limit\""), "{bad}");
        }
    }

    #[test]
    fn unknown_double_and_malformed_parameters_are_refused() {
        for (raw, expected) in [
            ("limits=1", "\"limits\" is unknown: use prefix, after, limit"),
            ("limit=1&limit=2", "\"limit\" is given twice"),
            ("prefix=%zz", "the value of \"prefix\" in the query has malformed"),
            ("prefix=%ff", "is not UTF-8"),
            ("%zz=1", "a name in the query has malformed"),
        ] {
            let problem = Query::parse(Some(raw), KNOWN).unwrap_err();
            assert!(problem.detail().contains(expected), "{raw}: {}", problem.detail());
        }
        let problem = Query::parse(Some("x"), &[]).unwrap_err();
        assert!(problem.detail().contains("takes none"));
    }

    #[test]
    fn cursors_have_the_length_of_keys() {
        let raw = format!("after={}", "k".repeat(limits::KEY_BYTES_MAX));
        assert!(Query::parse(Some(&raw), KNOWN).unwrap().page().is_ok());
        let raw = format!("{raw}k");
        assert!(Query::parse(Some(&raw), KNOWN).unwrap().page().is_err());
    }
}
