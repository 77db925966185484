//! Short ways to say what the clients of a test cluster do.

use std::time::Duration;

use atoll::model::ids::Key;
use atoll::model::record::{RecordId, RecordType};
use bytes::Bytes;

use crate::evidence::{Action, Condition, Moment};

use super::region::SIBLINGS;

/// A record by `type/key`, or `siblings/key` for a register that keeps siblings.
pub(crate) fn record(name: &str) -> RecordId {
    let (kind, key) = name.split_once('/').unwrap();
    let (namespace, record_type) = match kind {
        "register" => ("shop", RecordType::Register),
        "siblings" => (SIBLINGS, RecordType::Register),
        "counter" => ("shop", RecordType::Counter),
        "set" => ("shop", RecordType::Set),
        "map" => ("shop", RecordType::Map),
        other => panic!("{other} is no type of records"),
    };
    RecordId::new(namespace.parse().unwrap(), record_type, Key::new(key).unwrap())
}

/// Writes a register, whatever it holds.
pub(crate) fn put(value: &str) -> Action {
    put_if(value, Condition::None)
}

/// Writes a register on a condition.
pub(crate) fn put_if(value: &str, condition: Condition) -> Action {
    Action::Put {
        value: Bytes::copy_from_slice(value.as_bytes()),
        condition,
        context: None,
    }
}

/// Deletes a register.
pub(crate) fn delete() -> Action {
    Action::Delete {
        condition: Condition::None,
    }
}

/// Adds to a counter, whatever it holds.
pub(crate) fn add(delta: i64) -> Action {
    add_if(delta, Condition::None)
}

/// Adds to a counter on a condition.
pub(crate) fn add_if(delta: i64, condition: Condition) -> Action {
    Action::Add { delta, condition }
}

/// Adds and removes members.
pub(crate) fn members(add: &[&str], remove: &[&str]) -> Action {
    members_if(add, remove, Condition::None)
}

/// Adds or removes one member on a condition.
pub(crate) fn members_if(add: &[&str], remove: &[&str], condition: Condition) -> Action {
    Action::ChangeMembers {
        add: texts(add),
        remove: texts(remove),
        condition,
    }
}

/// Sets and removes fields; values are JSON texts.
pub(crate) fn fields(set: &[(&str, &str)], remove: &[&str]) -> Action {
    let pairs = set.iter();
    Action::ChangeFields {
        set: pairs
            .map(|(field, value)| ((*field).to_owned(), (*value).to_owned()))
            .collect(),
        remove: texts(remove),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A number of milliseconds after the beginning.
pub(crate) fn moment(millis: u64) -> Moment {
    Moment::after(Duration::from_millis(millis))
}
