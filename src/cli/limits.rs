//! Limits of the command line as a client (STYLE 17). The store's own limits are in [`crate::model::limits`].

use std::time::Duration;

use crate::model::limits;

/// Time to open a TCP connection. A node that needs longer than three seconds for a handshake is not usable.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How much longer than the node's own deadline the client waits, so that the node's 504, which says what was
/// committed, arrives before the client gives up.
pub(crate) const TIMEOUT_GRACE: Duration = Duration::from_secs(2);

/// Deadline of one request to one node while `status` and `digest` ask all of them: one dead region must not hold
/// back the picture of the others.
pub(crate) const SURVEY_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer that is read: a full page of a listing ([`limits::LISTING_BYTES_MAX`]) with JSON escapes.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * limits::LISTING_BYTES_MAX;

/// Members in one request of `set add` and `set remove`, in bytes: JSON escapes grow text up to six times, and the
/// body must stay within [`limits::REQUEST_BODY_BYTES_MAX`].
pub(crate) const MEMBER_BATCH_BYTES_MAX: usize = limits::REQUEST_BODY_BYTES_MAX / 8;

/// Connections of `load`: more gain nothing against one node and run into the usual limit of open files.
pub(crate) const CONNECTIONS_MAX: u16 = 512;

/// Longest line of input: a value and a key of full length, each byte written as a six-byte JSON escape.
pub(crate) const LINE_BYTES_MAX: usize = 6 * (limits::VALUE_BYTES_MAX + limits::KEY_BYTES_MAX) + 4096;

/// Records that wait for one connection of `load`: enough to keep it busy while another is slow.
pub(crate) const QUEUED_RECORDS_MAX: usize = 16;

/// Bytes of records in memory at a time, whatever the number of connections; holds several of the longest lines.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Attempts after the first for one record of `load`, unless told otherwise. With [`RETRY_DELAY_MAX`] that is about 20
/// seconds, longer than a node takes to restart.
pub(crate) const RETRIES_DEFAULT: u32 = 10;
/// The most that can be asked for: more than an hour with [`RETRY_DELAY_MAX`].
pub(crate) const RETRIES_MAX: u32 = 1000;
/// Delay before the first retry; it doubles with each further one.
pub(crate) const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// Longest delay between two attempts, unless the node asks for more.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// Longest `Retry-After` that is obeyed; a larger one is cut to it.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Errors that `load` prints one by one; further ones are counted, so that a wrong file does not flood the terminal.
pub(crate) const ERRORS_PRINTED_MAX: u64 = 20;
/// Errors after which `load` stops by default: by then it is the wrong file or the wrong node.
pub(crate) const ERRORS_DEFAULT: u64 = 1000;

/// How long requests under way may still finish after Ctrl-C.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(1);
