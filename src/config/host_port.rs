//! An address as people write it: a host name or IP address, and a port.
//!
//! Kept as text because Compose and DNS names are resolved anew by whoever dials or binds: the address behind a name
//! may change while the process lives. Resolving is I/O and therefore not done here. The text is canonical (names in
//! lower case, IPv6 without brackets), so equal addresses compare equal.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Length of a DNS name in bytes, by RFC 1035.
const HOST_BYTES_MAX: usize = 253;

/// Length of one part of a DNS name in bytes, by RFC 1035.
const HOST_LABEL_BYTES_MAX: usize = 63;

/// Host and port, such as `127.0.0.1:8101`, `[::1]:8101` or `atoll-us-east:8101`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why an address was not accepted. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// Nothing behind the last colon, or no colon.
    #[error("{0:?} has no port: write host:port, such as 127.0.0.1:8101")]
    NoPort(String),
    /// A port that is no number from 1 to 65535. Port 0 would be another one at each start, so no peer could dial it.
    #[error("{0:?} has no valid port: use a number from 1 to 65535 behind the colon")]
    Port(String),
    /// A host that is neither an IP address nor a DNS name.
    #[error(
        "{0:?} has no valid host: use an IP address ([...] around IPv6) or a DNS name of a-z, 0-9, '-', '_' and '.'"
    )]
    Host(String),
}

impl HostPort {
    /// The host name or IP address, IPv6 without brackets: with [`Self::port`] it makes the pair that
    /// `tokio::net::lookup_host` and `bind` take.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port.
    ///
    /// # Panics
    /// With port 0.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        assert!(port != 0, "nobody can dial port 0");
        Self {
            host: self.host.clone(),
            port,
        }
    }

    /// The IP address, if the host is written as one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The socket address, if the host is an IP address and nothing has to be resolved.
    #[must_use]
    pub fn as_socket_addr(&self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Whether this is `0.0.0.0` or `::`, on which one can listen but which nobody can dial.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether two listeners of one protocol on one machine would get in each other's way: the same port, on the same
    /// host or where one of them takes all addresses. Names are compared as text.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.port == other.port
            && (self.host == other.host || self.is_unspecified() || other.is_unspecified())
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| HostPortError::NoPort(text.to_owned()))?;
        let host = canonical_host(host).ok_or_else(|| HostPortError::Host(text.to_owned()))?;
        if port.is_empty() {
            return Err(HostPortError::NoPort(text.to_owned()));
        }
        // `u16::from_str` would take a leading `+`.
        let digits_only = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port) if port != 0 && digits_only => Ok(Self { host, port }),
            _ => Err(HostPortError::Port(text.to_owned())),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The host in the one form that compares, or `None` if it is not valid.
fn canonical_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let name = host.to_ascii_lowercase();
    let valid_label = |label: &str| {
        (1..=HOST_LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            // DNS host names have no '_', but Compose makes such names from folders.
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    // A name whose last part is a number is meant as an IPv4 address (WHATWG URL); a mistyped one must not go to DNS.
    let meant_as_ipv4 = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let valid = name.len() <= HOST_BYTES_MAX
        && name.split('.').all(valid_label)
        && (!meant_as_ipv4 || name.parse::<std::net::Ipv4Addr>().is_ok());
    valid.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_names_round_trip_through_text() {
        for text in [
            "127.0.0.1:8101",
            "[::1]:7101",
            "localhost:1",
            "atoll_us-east_1:65535",
            "a.b.example:80",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn equal_addresses_have_one_form() {
        assert_eq!(parse("LocalHost:80"), parse("localhost:80"));
        assert_eq!(parse("[0:0:0:0:0:0:0:1]:80"), parse("[::1]:80"));
        assert_eq!(
            HostPort::from(SocketAddr::from(([10, 0, 0, 1], 80))),
            parse("10.0.0.1:80")
        );
    }

    #[test]
    fn ip_addresses_need_no_resolution_and_names_do() {
        assert_eq!(
            parse("127.0.0.1:80").as_socket_addr(),
            Some(SocketAddr::from(([127, 0, 0, 1], 80)))
        );
        assert_eq!(
            parse("[::1]:80").as_socket_addr(),
            Some("[::1]:80".parse().unwrap())
        );
        assert_eq!(parse("us-east:80").as_socket_addr(), None);
    }

    #[test]
    fn a_missing_port_is_said_to_be_missing() {
        for bad in ["", "localhost", "127.0.0.1", "localhost:"] {
            assert_eq!(
                bad.parse::<HostPort>().unwrap_err(),
                HostPortError::NoPort(bad.to_owned())
            );
        }
    }

    #[test]
    fn bad_ports_are_refused() {
        for bad in ["a:0", "a:65536", "a:+80", "a:-1", "a:80 ", "a:http"] {
            assert_eq!(
                bad.parse::<HostPort>().unwrap_err(),
                HostPortError::Port(bad.to_owned())
            );
        }
    }

    #[test]
    fn bad_hosts_are_refused() {
        let long_label = format!("{}:80", "x".repeat(64));
        let long_name = format!("{}:80", ["x".repeat(63).as_str(); 4].join("."));
        for bad in [
            ":80",
            "::1:80",
            "[::1:80",
            "[127.0.0.1]:80",
            "http://a:80",
            "a b:80",
            "-a:80",
            "a-:80",
            "a..b:80",
            "127.0.0:80",
            "127.0.0.256:80",
            "é:80",
            &long_label,
            &long_name,
        ] {
            assert_eq!(
                bad.parse::<HostPort>().unwrap_err(),
                HostPortError::Host(bad.to_owned()),
                "{bad}"
            );
        }
    }

    #[test]
    fn listeners_overlap_on_one_port_where_the_hosts_meet() {
        assert!(parse("127.0.0.1:80").overlaps(&parse("0.0.0.0:80")));
        assert!(parse("a:80").overlaps(&parse("a:80")));
        assert!(!parse("a:80").overlaps(&parse("b:80")));
        assert!(!parse("0.0.0.0:80").overlaps(&parse("0.0.0.0:81")));
    }
}
