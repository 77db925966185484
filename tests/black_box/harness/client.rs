//! HTTP calls to one node. Every test uses one namespace, `shop`, unless it names another.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::node::Node;

/// How long a node works on a request whose test names no time, in milliseconds: half of the patience of the tests, and so
/// less than that of the client. With the node's own default a machine that stalls would make 504 of any request.
const TIMEOUT: (&str, &str) = ("atoll-timeout-ms", "30000");

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts that it is a problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["code"], code, "{}", answer.text());
        answer
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A name as it stands in a path.
pub(crate) fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Node {
    /// Any call, to any node of what it stands for; the error is that of the connection.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        self.turn().try_call_one(method, path, headers, body).await
    }

    pub(super) async fn try_call_one(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url()))
            .body(body);
        let names_a_time = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(TIMEOUT.0));
        let timeout = if names_a_time { &[][..] } else { &[TIMEOUT] };
        for (name, value) in headers.iter().chain(timeout) {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Any call that must be answered.
    #[track_caller]
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> impl Future<Output = Answer> {
        let (caller, body) = (std::panic::Location::caller(), body.into());
        async move {
            match self.try_call(method, path, &[], body).await {
                Ok(answer) => answer,
                Err(error) => panic!("{} at {caller}: {method} {path}: {error:?}", self.node()),
            }
        }
    }

    /// Writes a register.
    pub(crate) async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Answer {
        let path = format!("/v1/data/shop/registers/{}", encoded(key));
        self.call("PUT", &path, value).await.expect(204)
    }

    /// Deletes a register.
    pub(crate) async fn delete(&self, key: &str) -> Answer {
        let path = format!("/v1/data/shop/registers/{}", encoded(key));
        self.call("DELETE", &path, "").await.expect(204)
    }

    /// Reads a register.
    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = format!("/v1/data/shop/registers/{}", encoded(key));
        let answer = self.call("GET", &path, "").await;
        match answer.status {
            404 => None,
            _ => Some(answer.expect(200).body),
        }
    }

    /// Adds to a counter and gives its value here.
    pub(crate) async fn add(&self, key: &str, add: i64) -> i64 {
        let path = format!("/v1/data/shop/counters/{}", encoded(key));
        let answer = self.call("POST", &path, json!({ "add": add }).to_string()).await;
        answer.expect(200).json()["value"].as_i64().unwrap()
    }

    /// Reads a counter.
    pub(crate) async fn count(&self, key: &str) -> i64 {
        let path = format!("/v1/data/shop/counters/{}", encoded(key));
        let answer = self.call("GET", &path, "").await.expect(200);
        answer.json()["value"].as_i64().unwrap()
    }

    /// Adds members to a set and removes others.
    pub(crate) async fn change_set(&self, key: &str, add: &[&str], remove: &[&str]) -> Value {
        let path = format!("/v1/data/shop/sets/{}", encoded(key));
        let body = json!({ "add": add, "remove": remove }).to_string();
        self.call("POST", &path, body).await.expect(200).json()
    }

    /// All members of a set, page by page.
    pub(crate) async fn members(&self, key: &str) -> Vec<String> {
        let (mut members, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .page(&format!("/v1/data/shop/sets/{}", encoded(key)), after.as_deref())
                .await;
            let found = page["members"].as_array().unwrap();
            members.extend(found.iter().map(|member| member.as_str().unwrap().to_owned()));
            after = match page["next"].as_str() {
                Some(next) => Some(next.to_owned()),
                None => return members,
            };
        }
    }

    /// Sets fields of a map and removes others.
    pub(crate) async fn change_map(&self, key: &str, set: Value, remove: &[&str]) -> Value {
        let path = format!("/v1/data/shop/maps/{}", encoded(key));
        let body = json!({ "set": set, "remove": remove }).to_string();
        self.call("POST", &path, body).await.expect(200).json()
    }

    /// All fields of a map, page by page.
    pub(crate) async fn fields(&self, key: &str) -> Value {
        let (mut fields, mut after) = (serde_json::Map::new(), None);
        loop {
            let page = self
                .page(&format!("/v1/data/shop/maps/{}", encoded(key)), after.as_deref())
                .await;
            fields.extend(page["fields"].as_object().unwrap().clone());
            after = match page["next"].as_str() {
                Some(next) => Some(next.to_owned()),
                None => return Value::Object(fields),
            };
        }
    }

    /// All keys of registers in a namespace.
    pub(crate) async fn keys(&self, namespace: &str) -> Vec<String> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .page(&format!("/v1/data/{namespace}/registers"), after.as_deref())
                .await;
            let found = page["keys"].as_array().unwrap();
            keys.extend(found.iter().map(|key| key["key"].as_str().unwrap().to_owned()));
            after = match page["next"].as_str() {
                Some(next) => Some(next.to_owned()),
                None => return keys,
            };
        }
    }

    /// The whole ledger of losers.
    pub(crate) async fn conflicts(&self) -> Vec<Value> {
        let (mut conflicts, mut after) = (Vec::new(), None);
        loop {
            let page = self.page("/v1/cluster/conflicts", after.as_deref()).await;
            conflicts.extend(page["conflicts"].as_array().unwrap().iter().cloned());
            after = match page["next"].as_str() {
                Some(next) => Some(next.to_owned()),
                None => return conflicts,
            };
        }
    }

    async fn page(&self, path: &str, after: Option<&str>) -> Value {
        let query = after.map_or(String::new(), |after| format!("?after={}", encoded(after)));
        self.call("GET", &format!("{path}{query}"), "")
            .await
            .expect(200)
            .json()
    }

    /// What the node says of itself.
    pub(crate) async fn status(&self) -> Value {
        self.turn().status_one().await
    }

    pub(super) async fn status_one(&self) -> Value {
        self.ask_one("/v1/cluster/status").await
    }

    async fn ask_one(&self, path: &str) -> Value {
        let answer = self.try_call_one("GET", path, &[], Vec::new()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {path}: {error:?}", self.node()));
        answer.expect(200).json()
    }

    /// How the node sees another region.
    pub(crate) async fn peer(&self, region: &str) -> Value {
        self.turn().peer_one(region).await
    }

    pub(super) async fn peer_one(&self, region: &str) -> Value {
        let status = self.status_one().await;
        let peers = status["peers"].as_array().unwrap();
        peers
            .iter()
            .find(|peer| peer["region"] == region)
            .unwrap()
            .clone()
    }

    /// The digest with its vectors.
    pub(crate) async fn digest(&self) -> Value {
        self.turn().digest_one().await
    }

    pub(super) async fn digest_one(&self) -> Value {
        self.ask_one("/v1/cluster/digest").await
    }

    /// Pauses the link to another region.
    pub(crate) async fn pause(&self, peer: &str) {
        let path = format!("/v1/cluster/links/{peer}/pause");
        self.call("POST", &path, "").await.expect(204);
    }

    /// Resumes it.
    pub(crate) async fn resume(&self, peer: &str) {
        let path = format!("/v1/cluster/links/{peer}/resume");
        self.call("POST", &path, "").await.expect(204);
    }
}
