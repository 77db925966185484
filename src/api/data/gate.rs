//! What happens around every request for records: what it asks for beyond a local read or write is met here, before and
//! after its handler. The handlers know nothing of sessions, other regions and homes.
//!
//! ```text
//! home elsewhere? ──> pass it on          not held here? ──> another node (`within_region`)
//! session ──> wait, or pass it on       staleness ──> wait
//! global_quorum read ──> catch up with a majority      HANDLER      global_quorum write ──> wait for a majority
//! ```
//! A guarantee that is not met in time is an error that says whether the write was made; never a silent 2xx.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use tokio::time::{Instant, timeout_at};

use crate::actors::region::{AtHome, NotHome, Reach};
use crate::api::Api;
use crate::api::body::RequestBody;
use crate::api::call::Call;
use crate::api::data::{self, asked, batch_reach, errors, passing_on, within_region};
use crate::api::headers::{
    ATOLL_CONSISTENCY, ATOLL_HOME_MOVED, ATOLL_LEADER, ATOLL_SESSION, ATOLL_STALENESS_MS, ATOLL_VERSION,
    Level,
};
use crate::api::path;
use crate::api::problem::{Code, Problem};
use crate::api::routes::{Route, Verb};
use crate::model::ids::{Namespace, RegionId};
use crate::model::limits;

use asked::Asked;
use passing_on::Way;

/// How often a home that moves is looked for.
const HOME_POLL: Duration = Duration::from_millis(20);
/// A session that may be answered elsewhere waits here no longer than this.
const FALLBACK_PATIENCE: Duration = Duration::from_millis(250);

/// One request on its way through.
#[derive(Clone)]
pub(super) struct Gate<'a> {
    pub(super) api: &'a Api,
    pub(super) call: &'a Call<'a>,
    pub(super) namespace: Namespace,
    pub(super) reach: Reach,
    pub(super) is_write: bool,
    pub(super) asked: Asked,
    pub(super) level: Level,
    pub(super) begun: Instant,
    pub(super) deadline: Instant,
}

/// Answers a request for data. `verb` is one that the route knows.
pub(crate) async fn handle(
    api: &Api,
    route: Route,
    verb: Verb,
    call: &Call<'_>,
    body: &mut RequestBody,
) -> Result<Response<Body>, Problem> {
    let reach = match route {
        Route::Keys(_) => call.part.map_or(Reach::All, Reach::These),
        Route::Record(_) | Route::Member | Route::Field => api
            .region
            .reach(&path::namespace(call.names[0])?, &path::key(call.names[1])?),
        Route::Batch => batch_reach::reach(api, &path::namespace(call.names[0])?, body).await?,
        // How a namespace is configured is not asked of the namespace.
        _ => return data::run(api, route, verb, call, body).await,
    };
    let asked = Asked::parse(api, call.headers)?;
    let namespace = path::namespace(call.names[0])?;
    let level = asked.level_in(api, &namespace)?;
    let begun = Instant::now();
    let gate = Gate {
        api,
        call,
        namespace,
        reach,
        is_write: !matches!(verb, Verb::Get | Verb::Head),
        deadline: begun + asked.timeout,
        asked,
        level,
        begun,
    };
    gate.check()?;
    loop {
        let home = match gate.enter().await? {
            // Nothing: a copy has gone while it was read, or the home has moved.
            Entry::Here(at_home) => {
                let at_home = at_home.as_ref();
                match within_region::answer(&gate, route, verb, body, at_home).await? {
                    Some(response) => return Ok(response),
                    None => None,
                }
            }
            Entry::At(home) => Some(home),
        };
        if let Some(home) = home {
            let response = gate.pass_on(body, home).await?;
            if !has_moved(&response) || gate.remaining() == Duration::ZERO {
                return Ok(response);
            }
        }
        // Nothing was done. The new home, or who has a copy, is about to be known here too.
        tokio::time::sleep(HOME_POLL).await;
    }
}

/// Where a request is answered.
enum Entry {
    /// Here; as the home of its namespace, where that matters.
    Here(Option<AtHome>),
    /// At its namespace's home, which is this other region.
    At(RegionId),
}

impl Gate<'_> {
    fn check(&self) -> Result<(), Problem> {
        if self.is_write && self.level == Level::GlobalQuorum && asked::has_precondition(self.call.headers) {
            return Err(no_precondition());
        }
        asked::check_believable(self.api, &self.asked.session)
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Strong requests, and writes of namespaces that are written at home, belong to the home region.
    async fn enter(&self) -> Result<Entry, Problem> {
        let is_for_home =
            self.level == Level::Strong || (self.is_write && self.api.region.writes_at_home(&self.namespace));
        if !is_for_home {
            return Ok(Entry::Here(None));
        }
        let mut is_news = true;
        loop {
            match self.api.region.at_home(&self.namespace, self.reach) {
                Ok(guard) => return Ok(Entry::Here(Some(guard))),
                // It has moved while this was on its way, or this region does not know yet that it is the home: whoever
                // has passed it on looks again.
                Err(error @ (NotHome::Elsewhere { .. } | NotHome::None(_)))
                    if self.call.passed_on.is_some() =>
                {
                    return Err(moved(error.to_string()));
                }
                Err(NotHome::Elsewhere { home, .. }) => return Ok(Entry::At(home)),
                Err(NotHome::TakingOver { .. }) if self.remaining() > Duration::ZERO => {
                    tokio::time::sleep(HOME_POLL).await;
                }
                // Another node of this region may have been told of it.
                Err(NotHome::None(_)) if is_news => {
                    is_news = false;
                    let catching_up = self.api.region.catch_up_with_configuration(&self.namespace);
                    match timeout_at(self.deadline, catching_up).await {
                        Ok(caught_up) => caught_up.map_err(errors::problem)?,
                        Err(_) => {
                            return Err(self.late("this node did not get how the namespace is configured"));
                        }
                    }
                }
                Err(NotHome::None(namespace)) => {
                    return Err(Problem::invalid(NotHome::None(namespace).to_string()));
                }
                Err(error @ NotHome::TakingOver { .. }) => return Err(not_done(error.to_string())),
            }
        }
    }

    async fn pass_on(&self, body: &mut RequestBody, home: RegionId) -> Result<Response<Body>, Problem> {
        let why = format!("the home region of namespace {}", self.namespace);
        passing_on::pass_on(self.api, self.call, body, &self.way(home, &why)).await
    }

    fn way<'w>(&self, region: RegionId, why: &'w str) -> Way<'w> {
        Way {
            region,
            why,
            way_out: "try again, or ask another region",
            patience: self.remaining(),
            is_write: self.is_write,
        }
    }

    /// Answers from what this node holds, as the home where that matters; nothing if this region turns out not to be it, and
    /// nothing was done.
    pub(super) async fn answer_here(
        &self,
        route: Route,
        verb: Verb,
        body: &mut RequestBody,
        at_home: Option<&AtHome>,
    ) -> Result<Option<Response<Body>>, Problem> {
        let mut call = *self.call;
        call.is_at_home = at_home.is_some();
        let found_out_later = at_home.filter(|at_home| matches!(at_home, AtHome::By(_)));
        let Some(at_home) = found_out_later else {
            return self.answer(route, verb, &call, body).await.map(Some);
        };
        if self.is_write {
            let region = self.api.region.as_ref();
            let kept = body
                .peek(region, "the body", limits::BATCH_BODY_BYTES_MAX)
                .await?;
            let response = self.answer(route, verb, &call, body).await?;
            if !has_moved(&response) || self.remaining() == Duration::ZERO {
                return Ok(Some(response));
            }
            body.put_back(kept);
            return Ok(None);
        }
        let response = self.answer(route, verb, &call, body).await?;
        let confirming = self.api.region.is_still_home(&self.namespace, at_home);
        match timeout_at(self.deadline, confirming).await {
            Ok(Ok(true)) => Ok(Some(response)),
            Ok(Ok(false)) if self.remaining() > Duration::ZERO => Ok(None),
            Ok(Ok(false)) => Err(moved(format!(
                "the home region of {} has moved while it was read",
                self.namespace
            ))),
            Ok(Err(error)) => Err(errors::problem(error)),
            Err(_) => Err(self.late("this region could not make sure that it is still the home")),
        }
    }

    async fn answer(
        &self,
        route: Route,
        verb: Verb,
        call: &Call<'_>,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, Problem> {
        if let Some(elsewhere) = self.meet_session().await? {
            let why = "a region that has what the session has seen";
            return passing_on::pass_on(self.api, call, body, &self.way(elsewhere, why)).await;
        }
        if self.is_write {
            self.api.region.observe(&self.asked.session);
        }
        if !self.is_write && self.level != Level::Eventual {
            let catching_up = self.api.region.catch_up_with_region(self.reach);
            match timeout_at(self.deadline, catching_up).await {
                Ok(caught_up) => caught_up.map_err(errors::problem)?,
                Err(_) => return Err(self.late("this node did not get what others of its region have")),
            }
        }
        if !self.is_write && self.level == Level::GlobalQuorum {
            let catching_up = self.api.region.catch_up_with_majority(self.reach);
            if timeout_at(self.deadline, catching_up).await.is_err() {
                return Err(
                    self.late("a majority of regions did not tell what they have, or it did not arrive here")
                );
            }
        }
        let staleness = self.meet_staleness().await?;
        let measured = Instant::now();
        let running = data::run(self.api, route, verb, call, body);
        let mut response = match timeout_at(self.deadline, running).await {
            Ok(Ok(response)) => response,
            Ok(Err(problem)) => problem.into_response(),
            Err(_) if self.is_write => return Err(errors::timed_out(self.asked.timeout)),
            Err(_) => return Err(self.late("reading took too long")),
        };
        self.tell_session(&mut response)?;
        if let Some(leader) = self.leader() {
            response.headers_mut().insert(&ATOLL_LEADER, leader);
        }
        if !self.is_write
            && let Some(staleness) = staleness
        {
            // What was read is no older than what was there when staleness was measured.
            let age = staleness + measured.elapsed();
            let ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            // Rounded up: it never claims more than is known.
            response
                .headers_mut()
                .insert(&ATOLL_STALENESS_MS, HeaderValue::from(ms.saturating_add(1)));
        }
        if self.is_write && self.level == Level::GlobalQuorum && response.status().is_success() {
            let replicating = self.api.region.wait_for_majority(self.reach);
            if timeout_at(self.deadline, replicating).await.is_err() {
                return Err(self.not_confirmed(&response));
            }
        }
        let status = response.status();
        // That there is nothing is an answer at this level too.
        if status.is_success() || status.is_redirection() || status == StatusCode::NOT_FOUND {
            response
                .headers_mut()
                .insert(&ATOLL_CONSISTENCY, self.level.header());
        }
        Ok(response)
    }

    /// Who leads what is asked for: a client that goes there next time saves the way from here.
    fn leader(&self) -> Option<HeaderValue> {
        let leader = self.api.region.leader(self.reach)?;
        Some(
            HeaderValue::from_str(leader.as_str())
                .expect("a node's name has only letters, digits and hyphens"),
        )
    }

    pub(super) fn name_leader_in(&self, problem: Problem) -> Problem {
        match self.leader() {
            Some(leader) => problem.with_header(ATOLL_LEADER.clone(), leader),
            None => problem,
        }
    }

    /// Waits until what the session has seen is here; or names a region that can answer instead.
    async fn meet_session(&self) -> Result<Option<RegionId>, Problem> {
        let (region, token) = (&self.api.region, &self.asked.session);
        let patience = if self.asked.may_answer_elsewhere && self.call.passed_on.is_none() {
            self.deadline.min(self.begun + FALLBACK_PATIENCE)
        } else {
            self.deadline
        };
        if timeout_at(patience, region.wait_for_session(self.reach, token))
            .await
            .is_ok()
        {
            return Ok(None);
        }
        let lacking = region.lacking_of_session(self.reach, token);
        if patience < self.deadline
            && let Some(elsewhere) = lacking.iter().find(|other| **other != region.region())
        {
            return Ok(Some(*elsewhere));
        }
        let names: Vec<String> = lacking.iter().map(ToString::to_string).collect();
        Err(self.late(&format!(
            "the session has seen changes of {} that are not known to be here",
            names.join(", ")
        )))
    }

    /// How old what is read can be. Waits for a bound that was asked for.
    async fn meet_staleness(&self) -> Result<Option<Duration>, Problem> {
        if self.is_write {
            return Ok(None);
        }
        loop {
            let staleness = self.api.region.staleness(self.reach);
            // Looked up in each round: the region may become degraded while the client waits.
            let Some((bound, whose)) = self.staleness_bound() else {
                return Ok(staleness);
            };
            // `<`: a part of a millisecond is rounded up in the answer.
            if staleness.is_some_and(|staleness| staleness < bound) {
                return Ok(staleness);
            }
            if self.remaining() == Duration::ZERO {
                let known = staleness
                    .map_or("not known since this node was started".to_owned(), |staleness| {
                        format!("up to {} ms", staleness.as_millis())
                    });
                return Err(Problem::unavailable(format!(
                    "what this region has of {} can be older than the {} ms of {whose}: its age is {known}; ask another region, or allow more with Atoll-Max-Staleness-Ms",
                    self.namespace,
                    bound.as_millis()
                )));
            }
            tokio::time::sleep(Duration::from_millis(5).min(self.remaining())).await;
        }
    }

    /// How old what is read may be, and who says so. What other regions are asked at the higher levels has no such age.
    fn staleness_bound(&self) -> Option<(Duration, &'static str)> {
        if let Some(bound) = self.asked.staleness_max {
            return Some((bound, "Atoll-Max-Staleness-Ms"));
        }
        match self.level {
            Level::Eventual | Level::LocalQuorum => {
                let allowance = self.api.region.staleness_allowance();
                allowance.map(|bound| (bound, "max_staleness_ms, which this region allows"))
            }
            Level::GlobalQuorum | Level::Strong => None,
        }
    }

    fn tell_session(&self, response: &mut Response<Body>) -> Result<(), Problem> {
        let mut token = self.asked.session.clone();
        token.merge(&self.api.region.seen(self.reach).map_err(errors::problem)?);
        let token = asked::token_header(self.api, &token);
        response.headers_mut().insert(&ATOLL_SESSION, token);
        Ok(())
    }

    /// 504 for what was not done because a guarantee was not met in time.
    pub(super) fn late(&self, why: &str) -> Problem {
        Problem::new(
            Code::Timeout,
            format!(
                "{why} within {} ms: nothing was done; allow more with Atoll-Timeout-Ms, or ask another region",
                self.asked.timeout.as_millis()
            ),
        )
        .with("committed_locally", false.into())
        .with("version", serde_json::Value::Null)
        .with("session", serde_json::Value::Null)
    }

    /// 504 for a write that is durable here and not confirmed by a majority of regions.
    fn not_confirmed(&self, response: &Response<Body>) -> Problem {
        let version = response
            .headers()
            .get(&ATOLL_VERSION)
            .and_then(|value| value.to_str().ok());
        let session = response
            .headers()
            .get(&ATOLL_SESSION)
            .and_then(|value| value.to_str().ok());
        Problem::new(
            Code::Timeout,
            format!(
                "the write is durable in this region and goes to all others, but a majority has not confirmed it within {} ms",
                self.asked.timeout.as_millis()
            ),
        )
        .with("committed_locally", true.into())
        .with("version", version.map_or(serde_json::Value::Null, Into::into))
        .with("session", session.map_or(serde_json::Value::Null, Into::into))
    }
}

/// 400 for a precondition that regions would each check alone.
pub(crate) fn no_precondition() -> Problem {
    Problem::invalid(
        "a precondition cannot be linearizable at consistency global_quorum, where regions write without asking each other: use strong, or local_quorum for a precondition within this region",
    )
}

/// 503: nothing was done, since the home is elsewhere, or about to be here.
fn moved(detail: String) -> Problem {
    not_done(detail).with_header(ATOLL_HOME_MOVED.clone(), HeaderValue::from_static("true"))
}

fn has_moved(response: &Response<Body>) -> bool {
    response.headers().contains_key(&ATOLL_HOME_MOVED)
}

/// 503: a guarantee cannot be given now, and nothing was done.
fn not_done(detail: String) -> Problem {
    Problem::unavailable(detail).with("committed_locally", false.into())
}
