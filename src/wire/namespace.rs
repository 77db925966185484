//! How a namespace's configuration is stored: as JSON in a register of the system namespace, so that it replicates,
//! converges and loses to the ledger like all data.

use serde::{Deserialize, Serialize};

use crate::model::change::ConflictPolicy;
use crate::model::ids::{Key, Namespace, PartitionId, RegionId, Seq};
use crate::model::record::{RecordId, RecordType};
use crate::wire::codec::DecodeError;

/// The stored form. Unknown fields are ignored: a newer version may have added some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNamespace {
    /// `lww`, `siblings` or `custom`.
    pub conflict_policy: String,
    /// The home region.
    pub home_region: Option<RegionId>,
    /// The level of requests that name none.
    pub default_consistency: String,
    /// [`HOME_WRITES`], or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The home takes over from another region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takeover: Option<StoredTakeover>,
}

/// The mode in which all writes of a namespace are made by its home region.
pub const HOME_WRITES: &str = "home_writes";

/// A home that takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTakeover {
    /// The home before.
    pub from: RegionId,
    /// What it had applied when it had stopped; none before.
    pub needs: Option<Vec<(PartitionId, Vec<StoredDot>)>>,
}

/// An entry of a vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDot {
    /// The replica's region.
    pub region: RegionId,
    /// The replica's incarnation.
    pub incarnation: u32,
    /// The highest contiguous seq.
    pub seq: Seq,
}

/// The record that configures a namespace.
#[must_use]
pub fn record_of(namespace: &Namespace) -> RecordId {
    let key = Key::new(namespace.as_str()).expect("namespace names are valid keys");
    RecordId::new(Namespace::system(), RecordType::Register, key)
}

/// The namespace that a record configures; none if it is another record.
#[must_use]
pub fn namespace_of(record: &RecordId) -> Option<Namespace> {
    let is_configuration = record.namespace.is_system() && record.record_type == RecordType::Register;
    if is_configuration {
        record.key.as_str().parse().ok()
    } else {
        None
    }
}

/// The name of a policy.
#[must_use]
pub fn policy_name(policy: ConflictPolicy) -> &'static str {
    match policy {
        ConflictPolicy::Lww => "lww",
        ConflictPolicy::Siblings => "siblings",
        ConflictPolicy::Custom => "custom",
    }
}

/// The policy of a name.
#[must_use]
pub fn policy_of(name: &str) -> Option<ConflictPolicy> {
    [
        ConflictPolicy::Lww,
        ConflictPolicy::Siblings,
        ConflictPolicy::Custom,
    ]
    .into_iter()
    .find(|policy| policy_name(*policy) == name)
}

/// The bytes of a configuration.
#[must_use]
pub fn encode(stored: &StoredNamespace) -> Vec<u8> {
    serde_json::to_vec(stored).expect("plain fields always encode")
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<StoredNamespace, DecodeError> {
    serde_json::from_slice(bytes).map_err(|e| DecodeError::new("a namespace's configuration", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_and_round_trip() {
        let stored = StoredNamespace {
            conflict_policy: "lww".into(),
            home_region: Some("us-east".parse().unwrap()),
            default_consistency: "local_quorum".into(),
            mode: None,
            takeover: None,
        };
        let text =
            br#"{"conflict_policy":"lww","home_region":"us-east","default_consistency":"local_quorum"}"#;
        assert_eq!(encode(&stored), text);
        assert_eq!(decode(text), Ok(stored));
    }

    #[test]
    fn records_lead_to_their_namespace_and_back() {
        let namespace: Namespace = "shop".parse().unwrap();
        assert_eq!(namespace_of(&record_of(&namespace)), Some(namespace));
    }
}
