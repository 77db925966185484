//! Which node of the region answers a request: this one, where it holds what is asked for; else the request goes on whole, with all
//! that it asks for, to one that does, and a listing to as few as together hold everything. One hop: who is asked by another node
//! answers, or says that it does not hold the partition.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::timeout_at;

use crate::actors::link::requests::ForwardedAnswer;
use crate::actors::region::{AskError, AskedInVain, AtHome, InsideRequest, Reach, parts};
use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::data::gate::Gate;
use crate::api::data::{asked, errors, key_listing, passing_on};
use crate::api::forwarded::NotHeld;
use crate::api::headers::{ATOLL_CONSISTENCY, ATOLL_SESSION, ATOLL_STALENESS_MS, Level};
use crate::api::problem::{Code, Problem};
use crate::api::routes::{Route, Verb};
use crate::model::ids::{NodeId, PartitionId};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::model::record::RecordType;
use crate::model::session::SessionToken;

/// How long to wait before others are asked, where those who were asked could not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers a request that belongs to this region; none when it has to be looked at again.
///
/// # Errors
/// As all data requests.
pub(super) async fn answer(
    gate: &Gate<'_>,
    route: Route,
    verb: Verb,
    body: &mut RequestBody,
    at_home: Option<&AtHome>,
) -> Result<Option<Response<Body>>, Problem> {
    let region = &gate.api.region;
    let Some(held) = region.holding(gate.reach) else {
        let lacking = region.not_held(gate.reach);
        if gate.call.is_from_node {
            return Ok(Some(not_held(gate, lacking)));
        }
        // Boxed: what is held here, which is most, needs no room for it.
        return match (gate.reach, route) {
            (Reach::Partition(partition), _) => Box::pin(at_holder(gate, partition, body)).await.map(Some),
            (_, Route::Keys(record_type)) => {
                let listed = listing(gate, lacking, record_type, (route, verb), body, at_home);
                Box::pin(listed).await
            }
            _ => Err(Problem::unavailable(parts::nobody_holds(&lacking))),
        };
    };
    let answered = gate.answer_here(route, verb, body, at_home).await;
    // What this node does not lead it cannot have written.
    if gate.is_write || region.holding(gate.reach) == Some(held) {
        return answered.map_err(|problem| gate.name_leader_in(problem));
    }
    if gate.call.is_from_node {
        return Ok(Some(not_held(gate, region.not_held(gate.reach))));
    }
    if gate.remaining().is_zero() {
        return Err(gate.late("this node has given up its copy meanwhile, and nobody else was asked"));
    }
    Ok(None)
}

/// For the node that has asked; it sees the mark, and clients see neither.
fn not_held(gate: &Gate<'_>, partitions: PartitionSet) -> Response<Body> {
    let problem = Problem::unavailable(parts::nobody_holds(&partitions));
    let mut response = gate.name_leader_in(problem).into_response();
    response.extensions_mut().insert(NotHeld(partitions));
    response
}

/// Passes a request about one partition on: to whoever leads it, or to any that holds it, where that is enough.
async fn at_holder(
    gate: &Gate<'_>,
    partition: PartitionId,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let region = gate.api.region.as_ref();
    let bytes = body
        .peek(region, "the body", limits::BATCH_BODY_BYTES_MAX)
        .await?;
    let any_holder = !gate.is_write && gate.level == Level::Eventual;
    let mut tried = BTreeSet::new();
    loop {
        let node = if any_holder {
            any_of(gate, partition, &mut tried)?
        } else {
            let leading = timeout_at(gate.deadline, region.leader_inside(partition)).await;
            let leading = leading.map_err(|_| gate.late(&format!("partition {partition} had no leader")))?;
            Some(leading.map_err(errors::problem)?)
        };
        if let Some(node) = node {
            let patience = gate.remaining();
            let inside = InsideRequest {
                request: passing_on::request_of(gate.call, bytes.clone(), patience),
                passed_on_by: gate.call.passed_on.map(|passed_on| passed_on.from),
                part: None,
                led: (!any_holder).then_some(partition),
            };
            match region.ask_node(node, inside, patience).await {
                Ok(Ok(answer)) => return response_of(node, answer),
                // It does not hold it any more, or not yet: nothing was done.
                Ok(Err(_)) => {}
                Err(error) if gate.is_write && error.may_have_been_done => {
                    return Err(unknown(node, &error));
                }
                Err(error) => {
                    tracing::debug!(%node, %partition, %error, "a node that was asked for a partition has not answered");
                }
            }
            tried.insert(node);
        }
        if gate.remaining().is_zero() {
            return Err(gate.late(&format!(
                "partition {partition}, which this node does not hold, was not answered for by the nodes that do"
            )));
        }
        tokio::time::sleep(PAUSE.min(gate.remaining())).await;
    }
}

/// The best of those that were not tried; none once all were, after which they are tried again.
fn any_of(
    gate: &Gate<'_>,
    partition: PartitionId,
    tried: &mut BTreeSet<NodeId>,
) -> Result<Option<NodeId>, Problem> {
    let wanted: PartitionSet = [partition].into_iter().collect();
    let in_vain: AskedInVain = tried.iter().map(|node| (*node, partition)).collect();
    // In the order of placement, so that all nodes ask the same one first, as long as anybody has it by placement.
    let holders = gate.api.region.holders(partition);
    if let Some(node) = holders.into_iter().find(|node| !tried.contains(node)) {
        return Ok(Some(node));
    }
    match gate.api.region.cover(wanted, &in_vain) {
        Ok(asked) => Ok(asked.into_keys().next()),
        Err(lacking) if tried.is_empty() => {
            Err(Problem::unavailable(parts::nobody_holds(&lacking)).with("committed_locally", false.into()))
        }
        Err(_) => {
            tried.clear();
            Ok(None)
        }
    }
}

fn response_of(node: NodeId, answer: ForwardedAnswer) -> Result<Response<Body>, Problem> {
    passing_on::response_of(answer)
        .ok_or_else(|| Problem::unavailable(format!("{node} gave an answer that is none: try again")))
}

/// A write that may have been made.
fn unknown(node: NodeId, error: &AskError) -> Problem {
    let code = if error.is_late {
        Code::Timeout
    } else {
        Code::Unavailable
    };
    let detail = format!(
        "{node}, which leads the partition, has not answered ({error}): the write may have been made there; read to find out"
    );
    Problem::new(code, detail)
        .with("committed_locally", "unknown".into())
        .with("version", serde_json::Value::Null)
        .with("session", serde_json::Value::Null)
}

/// What nodes have said of their parts of a listing.
#[derive(Default)]
struct Pages {
    bodies: Vec<Bytes>,
    session: SessionToken,
    staleness_ms: Option<u64>,
    /// All have said how old what they read can be.
    is_staleness_known: bool,
}

impl Pages {
    async fn take(&mut self, gate: &Gate<'_>, response: Response<Body>) -> Result<(), Problem> {
        let (parts, body) = response.into_parts();
        self.session.merge(&asked::session_of(gate.api, &parts.headers)?);
        let staleness = parts.headers.get(&ATOLL_STALENESS_MS);
        let staleness: Option<u64> = staleness.and_then(|value| value.to_str().ok()?.parse().ok());
        self.is_staleness_known &= staleness.is_some();
        self.staleness_ms = self.staleness_ms.max(staleness);
        let body = axum::body::to_bytes(body, limits::FORWARDED_ANSWER_BYTES_MAX).await;
        self.bodies.push(body.map_err(|_| Problem::internal())?);
        Ok(())
    }

    fn merge(self, gate: &Gate<'_>, record_type: RecordType) -> Result<Response<Body>, Problem> {
        let query = gate.call.query(&["prefix", "after", "limit"])?;
        let merged = key_listing::merge(&self.bodies, record_type, query.page()?.limit);
        let mut response = merged.ok_or_else(|| {
            Problem::unavailable(
                "another node of this region has answered with what is no listing: try again",
            )
        })?;
        let headers = response.headers_mut();
        headers.insert(&ATOLL_SESSION, asked::token_header(gate.api, &self.session));
        headers.insert(&ATOLL_CONSISTENCY, gate.level.header());
        if let Some(ms) = self.staleness_ms.filter(|_| self.is_staleness_known) {
            headers.insert(&ATOLL_STALENESS_MS, HeaderValue::from(ms));
        }
        Ok(response)
    }
}

/// Puts a listing together from what this node holds and what few others do. Each meets what is asked for in its part. None when
/// the region turns out not to be the home.
async fn listing(
    gate: &Gate<'_>,
    lacking: PartitionSet,
    record_type: RecordType,
    asked: (Route, Verb),
    body: &mut RequestBody,
    at_home: Option<&AtHome>,
) -> Result<Option<Response<Body>>, Problem> {
    let region = gate.api.region.as_ref();
    // For what is put together here.
    let _admission = region.admit(0).map_err(errors::problem)?;
    let mut pages = Pages {
        session: gate.asked.session.clone(),
        is_staleness_known: true,
        ..Pages::default()
    };
    let (mut missing, mut in_vain) = (lacking, AskedInVain::new());
    match own_part(gate, lacking, asked, body, at_home).await? {
        Own::Nothing => {}
        Own::Moved => return Ok(None),
        Own::Page(response) if !response.status().is_success() => return Ok(Some(response)),
        Own::Page(response) => pages.take(gate, response).await?,
        Own::Gone(own) => own.iter().for_each(|partition| missing.insert(partition)),
    }
    while !missing.is_empty() {
        let patience = gate.remaining();
        if patience.is_zero() {
            return Err(gate.late(&parts::nobody_holds(&missing)));
        }
        let asked = match region.cover(missing, &in_vain) {
            Ok(asked) => asked,
            Err(lacking) if in_vain.is_empty() => {
                return Err(Problem::unavailable(parts::nobody_holds(&lacking)));
            }
            Err(_) => {
                in_vain.clear();
                tokio::time::sleep(PAUSE.min(patience)).await;
                continue;
            }
        };
        let asking = asked.into_iter().map(|(node, part)| async move {
            let mut request = passing_on::request_of(gate.call, Bytes::new(), patience);
            // The answer to HEAD is made of all of it, too.
            Verb::Get.name().clone_into(&mut request.method);
            let inside = InsideRequest {
                request,
                passed_on_by: gate.call.passed_on.map(|passed_on| passed_on.from),
                part: Some(part),
                led: None,
            };
            (node, part, region.ask_node(node, inside, patience).await)
        });
        for (node, part, answered) in join_all(asking).await {
            let not_here = match answered {
                Ok(Ok(answer)) => {
                    let response = response_of(node, answer)?;
                    if !response.status().is_success() {
                        return Ok(Some(response));
                    }
                    pages.take(gate, response).await?;
                    missing = missing.without(&part);
                    continue;
                }
                Ok(Err(not_held)) => not_held.and(&part),
                Err(error) => {
                    tracing::debug!(%node, %error, "a node that was asked for a part of a listing has not answered");
                    part
                }
            };
            in_vain.extend(not_here.iter().map(|partition| (node, partition)));
        }
    }
    pages.merge(gate, record_type).map(Some)
}

/// The part of a listing that this node can answer.
enum Own {
    Nothing,
    Page(Response<Body>),
    /// The region is not the home any more.
    Moved,
    /// These were here, and are not any more.
    Gone(PartitionSet),
}

async fn own_part(
    gate: &Gate<'_>,
    lacking: PartitionSet,
    (route, verb): (Route, Verb),
    body: &mut RequestBody,
    at_home: Option<&AtHome>,
) -> Result<Own, Problem> {
    let region = gate.api.region.as_ref();
    let own = region.partitions().without(&lacking);
    let reach = Reach::These(own);
    if own.is_empty() {
        return Ok(Own::Nothing);
    }
    let Some(held) = region.holding(reach) else {
        return Ok(Own::Gone(own));
    };
    let call = Call {
        part: Some(own),
        ..*gate.call
    };
    let part = Gate {
        call: &call,
        reach,
        ..gate.clone()
    };
    let Some(answered) = Box::pin(part.answer_here(route, verb, body, at_home)).await? else {
        return Ok(Own::Moved);
    };
    if region.holding(reach) == Some(held) {
        Ok(Own::Page(answered))
    } else {
        Ok(Own::Gone(own))
    }
}
