//! Bodies of requests: read up to a limit and within a time, and JSON in them.
//!
//! Nothing is buffered before the announced length was held against the limit, and never more than the limit. A body
//! that nobody wanted is read to its end and thrown away, so that the client gets to read the answer.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::actors::region::{Admission, Region};
use crate::api::data::errors;
use crate::api::problem::{Code, Problem};
use crate::model::limits;

/// The body of a request.
pub(crate) struct RequestBody {
    stream: Body,
    announced_bytes: Option<u64>,
    expects_continue: bool,
    timeout: Duration,
    finished: bool,
    /// Of what was read already and is kept here.
    admission: Option<Admission>,
}

impl RequestBody {
    /// The body that came with `headers`; it must arrive within `timeout`.
    pub(crate) fn new(stream: Body, headers: &HeaderMap, timeout: Duration) -> Self {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        Self {
            announced_bytes: length.or_else(|| stream.size_hint().exact()),
            expects_continue: headers.contains_key(header::EXPECT),
            finished: stream.is_end_stream(),
            stream,
            timeout,
            admission: None,
        }
    }

    /// Reads all of it as [`RequestBody::read`], admitted, and keeps it to be read again.
    ///
    /// # Errors
    /// Those of [`RequestBody::read`], and 503 where the node works on as much as it may.
    pub(crate) async fn peek(
        &mut self,
        region: &dyn Region,
        what: &str,
        bytes_max: usize,
    ) -> Result<Bytes, Problem> {
        let admission = self.admit(region, what, bytes_max)?;
        let bytes = self.read(what, bytes_max).await?;
        self.put_back(bytes.clone());
        self.admission = Some(admission);
        Ok(bytes)
    }

    /// What was read of it is to be read again.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.announced_bytes = Some(bytes.len() as u64);
        self.finished = bytes.is_empty();
        self.stream = Body::from(bytes);
    }

    /// Admission for what is announced, or for what is kept already.
    ///
    /// # Errors
    /// 413 when more than `bytes_max` is announced, 503 where the node works on as much as it may.
    pub(crate) fn admit(
        &mut self,
        region: &dyn Region,
        what: &str,
        bytes_max: usize,
    ) -> Result<Admission, Problem> {
        let bytes = self.admission_bytes(what, bytes_max)?;
        match self.admission.take() {
            Some(admission) => Ok(admission),
            None => region.admit(bytes).map_err(errors::problem),
        }
    }

    /// How many bytes to ask admission for: what is announced, else all that may come.
    ///
    /// # Errors
    /// 413 when more than `bytes_max` is announced; nothing was read then.
    pub(crate) fn admission_bytes(&self, what: &str, bytes_max: usize) -> Result<usize, Problem> {
        match self.announced_bytes {
            None => Ok(bytes_max),
            Some(announced) => usize::try_from(announced)
                .ok()
                // `<=`: exactly the limit is allowed.
                .filter(|announced| *announced <= bytes_max)
                .ok_or_else(|| Problem::too_large(what, bytes_max)),
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// 413 for more than `bytes_max`, 408 when it does not arrive in time, 400 when it ends early.
    pub(crate) async fn read(&mut self, what: &str, bytes_max: usize) -> Result<Bytes, Problem> {
        let capacity = self.admission_bytes(what, bytes_max)?;
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.collect(what, bytes_max, capacity)).await {
            Ok(result) => result,
            Err(_) => Err(Problem::new(
                Code::RequestTimeout,
                format!(
                    "{what} did not arrive within {} ms: nothing was done; send it again",
                    timeout.as_millis()
                ),
            )),
        }
    }

    async fn collect(&mut self, what: &str, bytes_max: usize, capacity: usize) -> Result<Bytes, Problem> {
        let mut collected = BytesMut::new();
        let mut first = Bytes::new();
        while let Some(data) = self.next_data(what).await? {
            if collected.len() + first.len() + data.len() > bytes_max {
                return Err(Problem::too_large(what, bytes_max));
            }
            if first.is_empty() && collected.is_empty() {
                // A body that comes in one piece is used as it came.
                first = data;
                continue;
            }
            if collected.is_empty() {
                let announced = self.announced_bytes.map_or(0, |_| capacity);
                collected.reserve(announced.max(first.len() + data.len()));
                collected.extend_from_slice(&std::mem::take(&mut first));
            }
            collected.extend_from_slice(&data);
        }
        Ok(if collected.is_empty() {
            first
        } else {
            collected.freeze()
        })
    }

    /// The next piece of data; none at the end.
    async fn next_data(&mut self, what: &str) -> Result<Option<Bytes>, Problem> {
        while !self.finished {
            match self.stream.frame().await {
                None => self.finished = true,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(_)) => {
                    self.finished = true;
                    return Err(Problem::invalid(format!(
                        "{what} ended before all of it had arrived: nothing was done"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Reads and throws away what is left, within limits.
    pub(crate) async fn discard(&mut self) {
        // Who waits for "100 Continue" has sent nothing; reading would ask for it.
        if self.finished || self.expects_continue {
            return;
        }
        let limit = Duration::from_millis(limits::DISCARDED_BODY_MS_MAX);
        let reading = async {
            let mut discarded = 0;
            while discarded < limits::DISCARDED_BODY_BYTES_MAX {
                match self.next_data("the body").await {
                    Ok(Some(data)) => discarded += data.len(),
                    Ok(None) | Err(_) => return,
                }
            }
        };
        // The answer is sent either way; this only made it likelier to be read.
        let _ = tokio::time::timeout(limit, reading).await;
    }
}

/// Parses JSON, whatever the `Content-Type`.
///
/// # Errors
/// 400 with the place of the mistake.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let problem = Problem::invalid(format!("the body is not the JSON that is expected: {error}"));
        problem.with("line", line.into()).with("column", column.into())
    })
}

/// Parses a JSON object. Serde alone would take an array of the fields' values for it.
///
/// # Errors
/// As [`parse_json`].
pub(crate) fn parse_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        let problem =
            Problem::invalid("the body is not the JSON that is expected: it must be an object, not an array");
        return Err(problem.with("line", 1.into()).with("column", 1.into()));
    }
    parse_json(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(chunks: &'static [&'static str]) -> RequestBody {
        let stream = futures_util::stream::iter(
            chunks
                .iter()
                .map(|chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk.as_bytes()))),
        );
        RequestBody::new(
            Body::from_stream(stream),
            &HeaderMap::new(),
            Duration::from_secs(1),
        )
    }

    #[tokio::test]
    async fn chunks_are_put_together_up_to_the_limit() {
        assert_eq!(chunked(&[]).read("it", 5).await.unwrap(), "");
        assert_eq!(chunked(&["ab"]).read("it", 5).await.unwrap(), "ab");
        assert_eq!(
            chunked(&["", "ab", "", "c", "de"]).read("it", 5).await.unwrap(),
            "abcde"
        );
        let problem = chunked(&["ab", "cd", "ef"]).read("it", 5).await.unwrap_err();
        assert_eq!(problem.detail(), "it is larger than the limit of 5 bytes");
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let mut body = RequestBody::new(stalled, &HeaderMap::new(), Duration::from_millis(10));
        let problem = body.read("it", 5).await.unwrap_err();
        assert!(problem.detail().contains("within 10 ms"), "{}", problem.detail());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let pieces = [Ok(Bytes::from_static(b"ab")), Err(std::io::Error::other("reset"))];
        let stream = futures_util::stream::iter(pieces);
        let mut body = RequestBody::new(
            Body::from_stream(stream),
            &HeaderMap::new(),
            Duration::from_secs(1),
        );
        let problem = body.read("it", 5).await.unwrap_err();
        assert!(problem.detail().contains("ended before"), "{}", problem.detail());
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, "6".parse().unwrap());
        let mut body = RequestBody::new(Body::from("ab"), &headers, Duration::from_secs(1));
        assert!(body.read("it", 5).await.is_err());
        assert_eq!(body.read("it", 6).await.unwrap(), "ab");
    }

    #[tokio::test]
    async fn what_is_left_is_thrown_away() {
        let mut body = chunked(&["ab", "cd", "ef"]);
        assert!(body.read("it", 1).await.is_err());
        body.discard().await;
        assert!(body.finished);
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, serde::Deserialize)]
        struct Fields {
            field: u8,
        }
        assert_eq!(parse_object::<Fields>(b" {\"field\": 1}").unwrap().field, 1);
        assert!(parse_object::<Fields>(b" [1]").is_err());
        assert!(parse_object::<Fields>(b"1").is_err());
    }

    #[test]
    fn json_mistakes_have_a_place() {
        let problem = parse_json::<u8>(b"{\n 1").unwrap_err();
        assert!(problem.detail().contains("line 1"), "{}", problem.detail());
    }
}
