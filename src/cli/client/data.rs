//! The calls of `/v1/data`: registers, counters, sets, maps, listings and namespaces.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::value::RawValue;

use super::types::{
    CounterValue, FieldsPage, KeysPage, MapChange, MapChanged, MembersPage, NamespaceConfiguration,
    Namespaces, PageQuery, PutOptions, Receipt, RecordKind, RecordName, RegisterAnswer, RegisterValue,
    SetChange, SetChanged, collection,
};
use super::{Client, ClientError, Request, RequestPath, absent_as_none};
use crate::model::ids::{Namespace, SubKey};

impl Client {
    /// Writes a register.
    pub(crate) async fn register_put(
        &self,
        record: RecordName<'_>,
        value: Bytes,
        options: &PutOptions<'_>,
    ) -> Result<Receipt, ClientError> {
        let what = || record.describe("put", RecordKind::Registers);
        let ttl = options.ttl_seconds.map(|seconds| seconds.to_string());
        let path = record
            .path(RecordKind::Registers)?
            .query_optional("ttl_seconds", ttl.as_deref());
        let mut request = Request::new(Method::PUT, path);
        insert_header(&mut request.headers, CONTENT_TYPE, options.content_type)?;
        insert_header(
            &mut request.headers,
            HeaderName::from_static("atoll-context"),
            options.context,
        )?;
        request.body = value;
        Ok(Receipt::from(&self.send(request, &what).await?))
    }

    /// Reads a register; `None` if there is none.
    pub(crate) async fn register_get(
        &self,
        record: RecordName<'_>,
    ) -> Result<Option<RegisterAnswer>, ClientError> {
        let what = || record.describe("get", RecordKind::Registers);
        let request = Request::new(Method::GET, record.path(RecordKind::Registers)?);
        let Some(answer) = absent_as_none(self.send(request, &what).await)? else {
            return Ok(None);
        };
        if answer.status == StatusCode::MULTIPLE_CHOICES {
            return Ok(Some(RegisterAnswer::Siblings(self.parse(&answer.body, &what)?)));
        }
        Ok(Some(RegisterAnswer::Value(RegisterValue {
            content_type: answer.header("content-type"),
            receipt: Receipt::from(&answer),
            bytes: answer.body,
        })))
    }

    /// Deletes a register; succeeds also if there is none.
    pub(crate) async fn register_delete(&self, record: RecordName<'_>) -> Result<Receipt, ClientError> {
        let what = || record.describe("delete", RecordKind::Registers);
        let request = Request::new(Method::DELETE, record.path(RecordKind::Registers)?);
        Ok(Receipt::from(&self.send(request, &what).await?))
    }

    /// One page of the keys of a type, in byte order.
    pub(crate) async fn keys_page(
        &self,
        namespace: &Namespace,
        kind: RecordKind,
        query: &PageQuery<'_>,
    ) -> Result<KeysPage, ClientError> {
        let path = query.apply(collection(namespace, kind)?);
        self.send_json(Request::new(Method::GET, path), &|| {
            format!("list the {} of {namespace}", kind.plural())
        })
        .await
    }

    /// Adds to a counter and gives its value.
    pub(crate) async fn counter_add(
        &self,
        record: RecordName<'_>,
        amount: i64,
        idempotency_key: Option<&str>,
    ) -> Result<i64, ClientError> {
        let what = || record.describe("add to", RecordKind::Counters);
        let body = serde_json::json!({ "add": amount });
        let mut request = Request::json(Method::POST, record.path(RecordKind::Counters)?, &body);
        insert_header(
            &mut request.headers,
            HeaderName::from_static("idempotency-key"),
            idempotency_key,
        )?;
        Ok(self.send_json::<CounterValue>(request, &what).await?.value)
    }

    /// A counter's value.
    pub(crate) async fn counter_get(&self, record: RecordName<'_>) -> Result<i64, ClientError> {
        let what = || record.describe("get", RecordKind::Counters);
        let request = Request::new(Method::GET, record.path(RecordKind::Counters)?);
        Ok(self.send_json::<CounterValue>(request, &what).await?.value)
    }

    /// Resets what the region has seen of a counter.
    pub(crate) async fn counter_reset(&self, record: RecordName<'_>) -> Result<Receipt, ClientError> {
        let what = || record.describe("reset", RecordKind::Counters);
        let request = Request::new(Method::DELETE, record.path(RecordKind::Counters)?);
        Ok(Receipt::from(&self.send(request, &what).await?))
    }

    /// Adds and removes members.
    pub(crate) async fn set_change(
        &self,
        record: RecordName<'_>,
        change: &SetChange<'_>,
    ) -> Result<SetChanged, ClientError> {
        let what = || record.describe("change", RecordKind::Sets);
        let request = Request::json(Method::POST, record.path(RecordKind::Sets)?, change);
        self.send_json(request, &what).await
    }

    /// One page of members.
    pub(crate) async fn members_page(
        &self,
        record: RecordName<'_>,
        query: &PageQuery<'_>,
    ) -> Result<MembersPage, ClientError> {
        let what = || record.describe("list the members of", RecordKind::Sets);
        let path = query.apply(record.path(RecordKind::Sets)?);
        self.send_json(Request::new(Method::GET, path), &what).await
    }

    /// Whether a set has a member.
    pub(crate) async fn set_contains(
        &self,
        record: RecordName<'_>,
        member: &SubKey,
    ) -> Result<bool, ClientError> {
        let what = || record.describe("look for a member of", RecordKind::Sets);
        let path = record.path(RecordKind::Sets)?.segment(member.as_str())?;
        let answer = self.send(Request::new(Method::GET, path), &what).await;
        Ok(absent_as_none(answer)?.is_some())
    }

    /// Writes and removes fields.
    pub(crate) async fn map_change(
        &self,
        record: RecordName<'_>,
        change: &MapChange<'_>,
    ) -> Result<MapChanged, ClientError> {
        let what = || record.describe("change", RecordKind::Maps);
        let request = Request::json(Method::POST, record.path(RecordKind::Maps)?, change);
        self.send_json(request, &what).await
    }

    /// One field's JSON as the node wrote it; `None` if there is none.
    pub(crate) async fn map_get(
        &self,
        record: RecordName<'_>,
        field: &SubKey,
    ) -> Result<Option<Box<RawValue>>, ClientError> {
        let what = || record.describe("get a field of", RecordKind::Maps);
        let path = record.path(RecordKind::Maps)?.segment(field.as_str())?;
        absent_as_none(self.send_json(Request::new(Method::GET, path), &what).await)
    }

    /// One page of fields.
    pub(crate) async fn fields_page(
        &self,
        record: RecordName<'_>,
        query: &PageQuery<'_>,
    ) -> Result<FieldsPage, ClientError> {
        let what = || record.describe("list the fields of", RecordKind::Maps);
        let path = query.apply(record.path(RecordKind::Maps)?);
        self.send_json(Request::new(Method::GET, path), &what).await
    }

    /// Makes the writes of a batch, given as JSON, and gives the answer as the node wrote it.
    pub(crate) async fn batch(
        &self,
        namespace: &Namespace,
        operations: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Box<RawValue>, ClientError> {
        let path = RequestPath::new("/v1/data")
            .segment(namespace.as_str())?
            .segment("batch")?;
        let mut request = Request::new(Method::POST, path);
        insert_header(&mut request.headers, CONTENT_TYPE, Some("application/json"))?;
        insert_header(
            &mut request.headers,
            HeaderName::from_static("idempotency-key"),
            idempotency_key,
        )?;
        request.body = operations;
        self.send_json(request, &|| format!("write a batch to {namespace}"))
            .await
    }

    /// A namespace's configuration; one that was never written has the defaults.
    pub(crate) async fn namespace_get(
        &self,
        namespace: &Namespace,
    ) -> Result<NamespaceConfiguration, ClientError> {
        let path = RequestPath::new("/v1/data").segment(namespace.as_str())?;
        self.send_json(Request::new(Method::GET, path), &|| {
            format!("get namespace {namespace}")
        })
        .await
    }

    /// Writes a namespace's configuration.
    pub(crate) async fn namespace_put(
        &self,
        namespace: &Namespace,
        configuration: &NamespaceConfiguration,
    ) -> Result<(), ClientError> {
        let path = RequestPath::new("/v1/data").segment(namespace.as_str())?;
        let request = Request::json(Method::PUT, path, configuration);
        self.send(request, &|| format!("configure namespace {namespace}"))
            .await?;
        Ok(())
    }

    /// All namespaces.
    pub(crate) async fn namespaces(&self) -> Result<Vec<String>, ClientError> {
        let request = Request::new(Method::GET, RequestPath::new("/v1/data"));
        Ok(self
            .send_json::<Namespaces>(request, &|| "list the namespaces".to_owned())
            .await?
            .namespaces)
    }
}

fn insert_header(headers: &mut HeaderMap, name: HeaderName, text: Option<&str>) -> Result<(), ClientError> {
    let Some(text) = text else { return Ok(()) };
    let value = HeaderValue::from_str(text)
        .map_err(|_| ClientError::Setup(format!("{text:?} cannot be the value of header {name}")))?;
    headers.insert(name, value);
    Ok(())
}
