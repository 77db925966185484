//! Fields of a JSON object with their values left as text, so that what is stored is what was sent.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of an object, each once, in the order given.
#[derive(Debug, Default)]
pub(crate) struct JsonFields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonFields<'a> {
    /// The fields.
    pub(crate) fn fields(&self) -> &[(String, &'a RawValue)] {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = JsonFields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields and their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = HashSet::new();
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            // Which of two values is meant nobody can tell, and one would be silently gone.
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!(
                    "the field {name:?} is given twice"
                )));
            }
            fields.push((name, value));
        }
        Ok(JsonFields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_sent() {
        let parsed: JsonFields<'_> =
            serde_json::from_str(r#"{"a": {"z": 1.0,  "b":1e400} , "\u0062":"\u00e9"}"#).unwrap();
        let texts: Vec<_> = parsed
            .fields()
            .iter()
            .map(|(name, value)| (name.as_str(), value.get()))
            .collect();
        assert_eq!(texts, [("a", r#"{"z": 1.0,  "b":1e400}"#), ("b", r#""\u00e9""#)]);
    }

    #[test]
    fn a_field_that_is_given_twice_is_refused() {
        let error = serde_json::from_str::<JsonFields<'_>>(r#"{"a":1,"\u0061":2}"#).unwrap_err();
        assert!(error.to_string().contains("\"a\" is given twice"), "{error}");
    }
}
