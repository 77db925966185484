//! Sending a request under an idempotency key again: until something was decided, through crashes of its region, and also
//! when it was answered already.

use std::time::Duration;

use atoll::model::ids::RegionId;
use axum::http::HeaderValue;

use super::batches::Ask;
use super::client::{Client, Memory, PATIENCE};
use super::requests::Wishes;
use super::{answers, requests};
use crate::evidence::{Action, OperationId, Outcome};
use crate::world::Called;

/// A region that was ended is back within seconds; a client does not try for ever.
const ATTEMPTS_MAX: u32 = 12;
/// Between two attempts, at most.
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// One request as it is sent, again and again if need be.
pub struct Sending {
    /// The idempotency key; without it the request is sent once.
    pub key: Option<String>,
    pub region: RegionId,
    pub ask: Ask,
    pub level: Option<&'static str>,
    pub delay: Duration,
}

impl Client {
    /// Sends a request, with a key until something was decided. The error says how an answer breaks the contract.
    pub(super) async fn send_until_decided(
        &mut self,
        sending: &Sending,
        patience: Duration,
        memory: &mut Memory,
    ) -> Result<Vec<Outcome>, String> {
        let mut outcomes = self.send(sending, patience, memory).await?;
        let mut may_be_made = is_unknown(&outcomes);
        let attempts = if sending.key.is_some() { ATTEMPTS_MAX } else { 1 };
        for _ in 1..attempts {
            if is_decided(&outcomes) {
                break;
            }
            let pause = self.dice.up_to(PAUSE_MAX);
            tokio::time::sleep(pause).await;
            outcomes = self.send(sending, PATIENCE, memory).await?;
            may_be_made |= is_unknown(&outcomes);
            if may_be_made && is_decided(&outcomes) {
                self.history
                    .reached("write of unknown outcome repeated until it was decided");
            }
        }
        if may_be_made && !is_decided(&outcomes) {
            // That the last attempt was refused says nothing about those before it.
            outcomes.fill(Outcome::Unknown { status: None });
        }
        Ok(outcomes)
    }

    /// Sends a request again that was answered: it must be told the same, and do nothing.
    pub(super) async fn repeat_for_nothing(
        &mut self,
        sending: &Sending,
        id: OperationId,
        outcomes: &[Outcome],
        memory: &mut Memory,
    ) {
        if sending.key.is_none() || !is_decided(outcomes) || !self.dice.percent(30) {
            return;
        }
        let pause = self.dice.up_to(PAUSE_MAX);
        tokio::time::sleep(pause).await;
        match self.send(sending, PATIENCE, memory).await {
            Ok(again) if is_decided(&again) && again != outcomes => {
                let detail = format!("a repeat was told {again:?}, and at first {outcomes:?}");
                self.history.violated(id, &detail);
            }
            Ok(_) => {}
            Err(detail) => self.history.violated(id, &detail),
        }
    }

    async fn send(
        &mut self,
        sending: &Sending,
        patience: Duration,
        memory: &mut Memory,
    ) -> Result<Vec<Outcome>, String> {
        let Ask { parts, is_batch } = &sending.ask;
        let wishes = Wishes {
            level: sending.level,
            token: memory.token.as_deref().filter(|_| self.workload.tokens),
        };
        let mut request = if *is_batch {
            requests::batch(parts, wishes)
        } else {
            let (record, action) = &parts[0];
            requests::request(record, action, wishes)
        };
        if let Some(key) = &sending.key {
            let value = HeaderValue::from_str(key).expect("keys are letters and digits");
            request.headers_mut().insert("Idempotency-Key", value);
        }
        memory.answered_by = None;
        let called = self
            .gateway
            .call(sending.region, request, sending.delay, patience)
            .await;
        let response = match called {
            Called::Answered(response) => response,
            Called::NotTaken => {
                let refused = Outcome::Refused {
                    status: 0,
                    code: "connection refused".to_owned(),
                };
                return Ok(vec![refused; parts.len()]);
            }
            Called::Lost => return Ok(vec![Outcome::Unknown { status: None }; parts.len()]),
        };
        memory.answered_by = answers::region(&response);
        if answers::is_taking_over(&response) {
            self.history
                .reached("operation refused while a new home takes over");
        }
        if let Some(token) = answers::header(&response, "atoll-session") {
            memory.token = Some(token.to_owned());
        }
        if answers::is_repeat(&response) {
            self.history.reached("repeat told the first outcome");
        }
        if !*is_batch {
            let (record, action) = &parts[0];
            if let Some(context) = answers::context(&response) {
                memory.contexts.insert(record.clone(), context);
            }
            return Ok(vec![answers::outcome(action, &response)?]);
        }
        let actions: Vec<&Action> = parts.iter().map(|(_, action)| action).collect();
        let outcomes = answers::outcomes(&actions, &response)?;
        match outcomes.first() {
            Some(Outcome::Done(_)) => self.history.reached("batch made"),
            Some(Outcome::Refused {
                status: 412 | 424, ..
            }) => {
                self.history.reached("batch refused for one of its operations");
            }
            _ => {}
        }
        Ok(outcomes)
    }
}

fn is_unknown(outcomes: &[Outcome]) -> bool {
    matches!(outcomes.first(), Some(Outcome::Unknown { .. }))
}

/// Whether the store has decided: done, or refused for what it holds.
fn is_decided(outcomes: &[Outcome]) -> bool {
    match outcomes.first() {
        Some(Outcome::Done(_)) => true,
        // What is remembered: that the request cannot be met here and now (400) is not.
        Some(Outcome::Refused { status, .. }) => matches!(status, 409 | 412 | 424),
        _ => false,
    }
}
