//! Text that people, clients and peers write: names, opaque tokens, lines to load, the configuration.

use std::fmt::Display;
use std::str::FromStr;

use atoll::config::{ClusterConfig, HostPort};
use atoll::fuzzing;
use atoll::model::ids::{ClusterName, Key, Namespace, NodeId, RegionId, SubKey};
use atoll::model::record::Version;
use atoll::wire::keys::ledger::LedgerKey;
use atoll::wire::session;

use super::Verdict;

/// A text as every kind of name: what is accepted is shown as it was written.
pub(super) fn name(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let key = Key::new(text).inspect(|key| assert_eq!(key.as_str(), text));
    let sub_key = SubKey::new(text).inspect(|key| assert_eq!(key.as_str(), text));
    assert_eq!(key.is_ok(), sub_key.is_ok());
    let accepted = [
        key.is_ok(),
        shown_alike::<RegionId>(text),
        shown_alike::<NodeId>(text),
        shown_alike::<ClusterName>(text),
        shown_alike::<Namespace>(text),
        shown_alike::<Version>(text),
        host_port(text),
    ];
    Verdict::of(accepted.contains(&true))
}

fn shown_alike<T: FromStr + Display>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else {
        return false;
    };
    assert_eq!(value.to_string(), text);
    true
}

/// Addresses are brought into one form, which stays as it is.
fn host_port(text: &str) -> bool {
    let Ok(address) = text.parse::<HostPort>() else {
        return false;
    };
    assert_ne!(address.port(), 0);
    assert_eq!(address.to_string().parse().as_ref(), Ok(&address));
    let _ = (address.as_socket_addr(), address.is_unspecified());
    true
}

/// An `Atoll-Context`.
pub(super) fn context(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let Some(dots) = fuzzing::context_dots(text) else {
        return Verdict::Refused;
    };
    assert_eq!(fuzzing::context_dots(&fuzzing::context_text(&dots)), Some(dots));
    Verdict::Accepted
}

/// A cursor of the conflict ledger: only what the listing gives out is taken, so that it goes on where it stopped.
pub(super) fn cursor(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let Some(start) = fuzzing::ledger_start(text) else {
        return Verdict::Refused;
    };
    let (zero, key) = start.split_last().expect("it is the key and a zero");
    assert_eq!(*zero, 0);
    assert!(LedgerKey::decode(key).is_ok());
    let given_out: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(given_out, text);
    Verdict::Accepted
}

/// The words of a peer: shown cut and without control characters.
pub(super) fn peer_words(input: &[u8]) -> Verdict {
    let shown = fuzzing::peer_words(input);
    assert!(shown.len() <= atoll::model::limits::CLOSE_REASON_BYTES_MAX);
    assert!(!shown.contains(char::is_control));
    let moment = fuzzing::validity_words(&String::from_utf8_lossy(input));
    Verdict::of(moment.is_some() || !shown.is_empty())
}

/// An input of `atoll load`, tab-separated or NDJSON: no record without a key, and none more than there are lines.
pub(super) fn load_lines(input: &[u8]) -> Verdict {
    let records = fuzzing::load_lines(input);
    assert!(records.len() <= 1 + input.iter().filter(|byte| **byte == b'\n').count());
    for (key, value, content_type) in records.iter().flatten() {
        assert!(!key.as_str().is_empty() && value.len() <= input.len() && !content_type.is_empty());
    }
    Verdict::of(records.iter().any(Option::is_some))
}

/// `regions.toml`: accepted, or refused with the file and a line of it.
pub(super) fn regions_toml(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    match ClusterConfig::parse("regions.toml", text) {
        Ok(_) => Verdict::Accepted,
        Err(error) => {
            let shown = error.to_string();
            let line = shown
                .strip_prefix("regions.toml:")
                .and_then(|rest| rest.split(':').next());
            let line: usize = line
                .and_then(|line| line.parse().ok())
                .expect("an error names its line");
            assert!((1..=text.split('\n').count()).contains(&line), "{shown}");
            Verdict::Refused
        }
    }
}

/// The bytes of a session token, as they come out of its text.
pub(super) fn session_token(input: &[u8]) -> Verdict {
    let cluster: ClusterName = "test".parse().expect("a valid name");
    let regions = || ["us-east", "eu-west"].map(|name| name.parse::<RegionId>().expect("a valid name"));
    let Ok(token) = session::decode(input, &cluster, regions().into_iter()) else {
        return Verdict::Refused;
    };
    let again = session::encode(&token, &cluster);
    assert_eq!(
        session::decode(&again, &cluster, regions().into_iter()),
        Ok(token)
    );
    Verdict::Accepted
}
