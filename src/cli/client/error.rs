//! Why a call to a node failed, in words that name the call, the node and what to do.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::cli::client::path::DotSegment;
use crate::cli::client::problem::Problem;
use crate::cli::endpoints::BaseUrl;

/// Why a call failed. `what` is the call as an infinitive, such as `put register "vim" of packages`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection could be opened: nothing was sent.
    #[error(
        "cannot reach {endpoint}: {reason}; is the node running? start one with scripts/dev or pass --endpoint"
    )]
    Unreachable {
        /// Who was called.
        endpoint: BaseUrl,
        /// What the system said, in short.
        reason: String,
    },
    /// The connection broke: whether the node acted is unknown.
    #[error("cannot {what}: the connection to {endpoint} was lost: {reason}")]
    Lost {
        /// The call.
        what: String,
        /// Who was called.
        endpoint: BaseUrl,
        /// What the system said, in short.
        reason: String,
    },
    /// No answer in time: whether the node acted is unknown.
    #[error("cannot {what}: no answer from {endpoint} within {:.1} s", timeout.as_secs_f64())]
    TimedOut {
        /// The call.
        what: String,
        /// Who was called.
        endpoint: BaseUrl,
        /// How long was waited.
        timeout: Duration,
    },
    /// The node answered with an error.
    #[error("cannot {what}: {problem}")]
    Refused {
        /// The call.
        what: String,
        /// What it said.
        problem: Problem,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer is not what the HTTP contract promises.
    #[error("cannot {what}: {endpoint} answered what this client does not understand: {detail}")]
    Contract {
        /// The call.
        what: String,
        /// Who was called.
        endpoint: BaseUrl,
        /// What is wrong with the answer.
        detail: String,
    },
    /// A key, member or field that URLs cannot carry.
    #[error(transparent)]
    Path(#[from] DotSegment),
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

impl ClientError {
    /// What to do about it, where the message does not say so already.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { problem, .. } => problem.hint(),
            Self::TimedOut { .. } => {
                Some("see `atoll status`; give the node more time with --timeout-ms".to_owned())
            }
            Self::Contract { .. } => Some(
                "is it an Atoll node of a compatible version? check --endpoint and `atoll --version`"
                    .to_owned(),
            ),
            Self::Lost { .. } => Some(
                "if it was a write, whether it was applied is unknown; read it back before repeating"
                    .to_owned(),
            ),
            Self::Unreachable { .. } | Self::Path(_) | Self::Setup(_) => None,
        }
    }

    /// Whether an idempotent call may succeed when repeated a little later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::TimedOut { .. } => true,
            Self::Refused { problem, .. } => problem.is_temporary(),
            Self::Contract { .. } | Self::Path(_) | Self::Setup(_) => false,
        }
    }

    /// How long the node asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a node said that the thing asked for does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.is_not_found())
    }

    /// The reason in few words, for a table: without the call and without advice.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unreachable { reason, .. } | Self::Lost { reason, .. } => reason.clone(),
            Self::TimedOut { timeout, .. } => format!("no answer within {:.1} s", timeout.as_secs_f64()),
            Self::Refused { problem, .. } => problem.to_string(),
            Self::Contract { detail, .. } => detail.clone(),
            Self::Path(_) | Self::Setup(_) => self.to_string(),
        }
    }
}

/// The innermost cause of a transport error: the layers above it say only "error sending request".
pub(crate) fn root_reason(error: &reqwest::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if let Some(io_error) = cause.downcast_ref::<io::Error>()
            && let Some(reason) = io_reason(io_error.kind())
        {
            return reason.to_owned();
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None => return cause.to_string(),
        }
    }
}

fn io_reason(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::TimedOut => "connection attempt timed out",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        _ => return None,
    })
}
