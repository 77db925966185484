//! Turns what QUIC and TLS say into sentences: what is wrong, on which side, and what helps.
//!
//! Words that came from a peer are cut and stripped of control characters before they reach an error or a log.

use std::time::{Duration, UNIX_EPOCH};

use quinn::{ConnectionError, TransportErrorCode};
use rustls::AlertDescription;

use crate::model::limits;
use crate::ports::link::{CloseCode, LinkError};

/// Crypto errors of QUIC are 0x100 plus the TLS alert (RFC 9001, 4.8).
const CRYPTO_ERROR_BASE: u64 = 0x100;

/// The end of the year 9999, after which dates cannot be written as RFC 3339.
const READABLE_MAX: Duration = Duration::from_secs(253_402_300_799);

/// Whose certificate, version or protocol was not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// This side refused the peer.
    Peer,
    /// The peer refused this side.
    Local,
}

/// Why a connection is gone, as the port's error. `local_reason` is why this side closed it, where it did.
pub(super) fn link_error(error: &ConnectionError, local_reason: Option<&str>) -> LinkError {
    if let Some(sentence) = tls_sentence(error) {
        return LinkError::Handshake(sentence);
    }
    match error {
        ConnectionError::TimedOut => LinkError::TimedOut,
        ConnectionError::LocallyClosed => LinkError::ClosedLocally {
            reason: local_reason.unwrap_or("the node shuts down").to_owned(),
        },
        ConnectionError::ApplicationClosed(close) => LinkError::ClosedByPeer {
            code: CloseCode::from_number(close.error_code.into_inner()),
            reason: peer_words(&close.reason),
        },
        ConnectionError::Reset => {
            LinkError::Failed("the peer no longer knows the connection: it restarted".to_owned())
        }
        ConnectionError::VersionMismatch => {
            LinkError::Handshake("the peer speaks no version of QUIC that this side does".to_owned())
        }
        ConnectionError::ConnectionClosed(close) => match close.error_code {
            TransportErrorCode::CONNECTION_REFUSED => LinkError::Failed(
                "the peer takes no connections now: it shuts down or has too many handshakes to do"
                    .to_owned(),
            ),
            // What an application says before the handshake is done is withheld by QUIC (RFC 9000, 10.2.3).
            TransportErrorCode::APPLICATION_ERROR => {
                LinkError::Failed("the peer closed the connection during the handshake".to_owned())
            }
            code => LinkError::Failed(with_detail(
                &format!("the peer's transport failed: {code}"),
                &close.reason,
            )),
        },
        ConnectionError::TransportError(error) => LinkError::Failed(with_detail(
            &format!("transport failed: {}", error.code),
            error.reason.as_bytes(),
        )),
        ConnectionError::CidsExhausted => LinkError::Failed("no connection ids are left".to_owned()),
    }
}

/// The words of a peer, fit to be shown: cut, without control characters.
pub(crate) fn peer_words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let printable: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    cut(&printable).to_owned()
}

/// The text up to the limit for reasons, at a character's edge.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::CLOSE_REASON_BYTES_MAX)]
}

/// The sentence for a failed TLS handshake, or `None` for any other error.
fn tls_sentence(error: &ConnectionError) -> Option<String> {
    let (side, code, words) = match error {
        ConnectionError::TransportError(error) => (Side::Peer, error.code, error.reason.as_bytes()),
        ConnectionError::ConnectionClosed(close) => (Side::Local, close.error_code, close.reason.as_ref()),
        _ => return None,
    };
    let alert = u64::from(code)
        .checked_sub(CRYPTO_ERROR_BASE)
        .and_then(|alert| u8::try_from(alert).ok())?;
    let alert = AlertDescription::from(alert);
    let detail = match alert {
        // The library's words count the seconds since, so each would be a new reason, and people do not read seconds.
        AlertDescription::CertificateExpired => validity_words(&peer_words(words)).unwrap_or_default(),
        _ => peer_words(words),
    };
    Some(with_detail(&alert_sentence(side, alert), detail.as_bytes()))
}

/// The moment in the library's words about a certificate that is not valid now, readable.
pub(crate) fn validity_words(words: &str) -> Option<String> {
    [
        ("not valid after ", "expired at"),
        ("not valid before ", "is valid from"),
    ]
    .iter()
    .find_map(|(before, meaning)| {
        let (_, rest) = words.split_once(before)?;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(digits.parse().ok()?))?;
        // Formatting fails beyond the year 9999, which a peer may well claim.
        (time <= UNIX_EPOCH + READABLE_MAX)
            .then(|| format!("it {meaning} {}", humantime::format_rfc3339_seconds(time)))
    })
}

fn with_detail(sentence: &str, words: &[u8]) -> String {
    if words.is_empty() {
        sentence.to_owned()
    } else {
        format!("{sentence} ({})", peer_words(words))
    }
}

fn alert_sentence(side: Side, alert: AlertDescription) -> String {
    // HERE stands for the side whose certificate it is.
    let refused_certificate = |what: &str, help: &str| match side {
        Side::Peer => format!(
            "the peer's certificate {what}: {}",
            help.replace("HERE", "on the peer")
        ),
        Side::Local => {
            format!(
                "the peer refused this node's certificate because it {what}: {}",
                help.replace("HERE", "on this node")
            )
        }
    };
    match alert {
        AlertDescription::CertificateExpired => refused_certificate(
            "has expired, or is not valid yet",
            "renew it HERE with `atoll certs issue --force`, or set the clock that is wrong",
        ),
        // A bad signature is what an authority of the same name with another key looks like.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => refused_certificate(
            "was not issued by the cluster's authority",
            "give both nodes the same ca.pem, and certificates issued by it",
        ),
        AlertDescription::BadCertificate => refused_certificate(
            "is not that of the node meant",
            "compare region, node and address in regions.toml with the names in the certificate",
        ),
        AlertDescription::CertificateRevoked => refused_certificate("was revoked", "issue another HERE"),
        AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            refused_certificate("is not one of a node", "issue one HERE with `atoll certs issue`")
        }
        AlertDescription::CertificateRequired => match side {
            Side::Peer => "the peer showed no certificate: it is no node of this cluster".to_owned(),
            Side::Local => "the peer wants a certificate, and this node showed none".to_owned(),
        },
        AlertDescription::NoApplicationProtocol => {
            "the two sides speak different protocols: one is no Atoll node, or of a version without atoll/1"
                .to_owned()
        }
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => {
            "the two sides have no TLS version and ciphers in common: TLS 1.3 is needed".to_owned()
        }
        other => match side {
            Side::Peer => format!("the TLS handshake with the peer failed: {other:?}"),
            Side::Local => format!("the peer broke off the TLS handshake: {other:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_a_characters_edge() {
        let long = format!("{}é", "x".repeat(limits::CLOSE_REASON_BYTES_MAX - 1));
        assert_eq!(cut(&long), "x".repeat(limits::CLOSE_REASON_BYTES_MAX - 1));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn moments_in_the_librarys_words_become_dates() {
        let words = "certificate expired: verification time 1797846459 (UNIX), but certificate is not valid after 1795859259 (1987200 seconds ago)";
        assert_eq!(
            validity_words(words).unwrap(),
            "it expired at 2026-11-28T09:47:39Z"
        );
        assert_eq!(
            validity_words("not valid before 0 (soon)").unwrap(),
            "it is valid from 1970-01-01T00:00:00Z"
        );
        for bad in [
            "",
            "not valid after ",
            "not valid after x",
            "not valid after 18446744073709551615",
        ] {
            assert_eq!(validity_words(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_of_a_peer_cannot_break_a_log_line() {
        assert_eq!(peer_words(b"a\nb\x1b[31m\xff"), "a b [31m\u{fffd}");
    }
}
