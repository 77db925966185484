//! Outcomes of writes with an idempotency key, as one group looks them up, adds and forgets them. They go into the group's
//! write set: an outcome is remembered exactly if what it tells of is there (invariant 2).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::model::entry::{AgedOutcome, DecidedOutcome};
use crate::model::hlc::WallTime;
use crate::model::idempotency::{self, IdempotencyScope, IdempotencyTally, Remembered};
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::mutation::{self, Mutation};
use crate::ports::store::{Family, Store, WriteSet};
use crate::storage::partition::rows::{ReadError, StoredRows};
use crate::wire::idempotency as stored;
use crate::wire::keys::idempotency::{OutcomeKey, OutcomeTimeKey, tally};

/// The outcomes of one partition as a group will leave them.
pub(super) struct Outcomes<'a> {
    rows: &'a StoredRows<'a>,
    /// How much is remembered; none until somebody had to know.
    tally: Option<IdempotencyTally>,
    /// What the group has added, and with none what it has dropped.
    changed: BTreeMap<IdempotencyScope, Option<Remembered>>,
    /// What the writes of the group have changed, in order.
    decided: Vec<DecidedOutcome>,
    set: WriteSet,
}

impl<'a> Outcomes<'a> {
    pub(super) fn new(rows: &'a StoredRows<'a>) -> Self {
        Self {
            rows,
            tally: None,
            changed: BTreeMap::new(),
            decided: Vec::new(),
            set: WriteSet::new(),
        }
    }

    /// What was decided when the request was first sent; none if it never was, or is forgotten at `now`.
    pub(super) fn recall(
        &mut self,
        scope: &IdempotencyScope,
        now: WallTime,
    ) -> Result<Option<Remembered>, ReadError> {
        if let Some(changed) = self.changed.get(scope) {
            return Ok(changed.clone());
        }
        let Some((remembered, size_bytes)) = self.read(scope)? else {
            return Ok(None);
        };
        if !remembered.is_expired(now) {
            return Ok(Some(remembered));
        }
        // A new outcome may take its place, to which the time of the old one must not lead.
        self.drop_outcome(scope, remembered.at, size_bytes)?;
        self.decided.push((scope.clone(), None));
        Ok(None)
    }

    /// How much is remembered.
    pub(super) fn tally(&mut self) -> Result<IdempotencyTally, ReadError> {
        if let Some(known) = self.tally {
            return Ok(known);
        }
        let key = tally(self.rows.partition);
        let bytes = self.rows.store.get(Family::Idempotency, &key)?;
        let known = bytes.map(|bytes| stored::decode_tally(&bytes)).transpose()?;
        let known = known.unwrap_or_default();
        self.tally = Some(known);
        Ok(known)
    }

    /// Remembers what was decided.
    pub(super) fn remember(
        &mut self,
        scope: IdempotencyScope,
        remembered: Remembered,
    ) -> Result<(), ReadError> {
        if mutation::is_on(Mutation::ForgetIdempotency) {
            return Ok(());
        }
        let mut known = self.tally()?;
        let (key, time_key) = self.keys(&scope, remembered.at);
        let value = stored::encode_remembered(&remembered);
        known.records += 1;
        known.bytes += size_of_entry(&key, &time_key, &value);
        self.tally = Some(known);
        self.set.put(Family::Idempotency, &key, &value);
        self.set.put(Family::Idempotency, &time_key, &[]);
        self.changed.insert(scope.clone(), Some(remembered.clone()));
        self.decided.push((scope, Some(remembered)));
        Ok(())
    }

    /// Does again what was decided at `now` over the same rows.
    pub(super) fn repeat(&mut self, decided: &DecidedOutcome, now: WallTime) -> Result<(), ReadError> {
        let (scope, remembered) = decided;
        match remembered {
            Some(remembered) => self.remember(scope.clone(), remembered.clone()),
            // It had expired, so that looking it up drops it.
            None => self.recall(scope, now).map(drop),
        }
    }

    /// Forgets those of the named outcomes that have expired.
    pub(super) fn forget(&mut self, aged: &[AgedOutcome], now: WallTime) -> Result<(), ReadError> {
        for (at, scope) in aged {
            if !idempotency::is_expired(*at, now) {
                continue;
            }
            match self.read(scope)? {
                // Another one has taken its place since it was looked for, and its time with it.
                Some((remembered, _)) if remembered.at != *at => {}
                Some((_, size_bytes)) => self.drop_outcome(scope, *at, size_bytes)?,
                None => {
                    let (_, time_key) = self.keys(scope, *at);
                    self.set.delete(Family::Idempotency, &time_key);
                }
            }
        }
        Ok(())
    }

    /// Adds everything to what the group writes, and gives what its writes have changed.
    pub(super) fn write_into(self, set: &mut WriteSet) -> Vec<DecidedOutcome> {
        if self.set.is_empty() {
            return self.decided;
        }
        set.append(self.set);
        if let Some(known) = self.tally {
            let key = tally(self.rows.partition);
            set.put(Family::Idempotency, &key, &stored::encode_tally(known));
        }
        self.decided
    }

    fn keys(&self, scope: &IdempotencyScope, at: WallTime) -> (Vec<u8>, Vec<u8>) {
        let partition = self.rows.partition;
        let key = OutcomeKey {
            partition,
            scope: scope.clone(),
        };
        let time_key = OutcomeTimeKey {
            partition,
            at,
            scope: scope.clone(),
        };
        (key.encode(), time_key.encode())
    }

    fn read(&self, scope: &IdempotencyScope) -> Result<Option<(Remembered, u64)>, ReadError> {
        let (key, _) = self.keys(scope, WallTime::default());
        let Some(value) = self.rows.store.get(Family::Idempotency, &key)? else {
            return Ok(None);
        };
        let remembered = stored::decode_remembered(&value)?;
        let (key, time_key) = self.keys(scope, remembered.at);
        Ok(Some((remembered, size_of_entry(&key, &time_key, &value))))
    }

    /// Takes away an outcome, its place in the order of time, and what it counts.
    fn drop_outcome(
        &mut self,
        scope: &IdempotencyScope,
        at: WallTime,
        size_bytes: u64,
    ) -> Result<(), ReadError> {
        let mut known = self.tally()?;
        known.records = known.records.saturating_sub(1);
        known.bytes = known.bytes.saturating_sub(size_bytes);
        self.tally = Some(known);
        let (key, time_key) = self.keys(scope, at);
        self.set.delete(Family::Idempotency, &key);
        self.set.delete(Family::Idempotency, &time_key);
        self.changed.insert(scope.clone(), None);
        Ok(())
    }
}

/// The oldest outcomes of a partition, as far as they have expired: one portion, found without reading any that have not.
///
/// # Errors
/// When the store fails or holds what cannot be decoded.
pub fn expired_outcomes(
    store: &dyn Store,
    partition: PartitionId,
    now: WallTime,
) -> Result<Vec<AgedOutcome>, ReadError> {
    let range = OutcomeTimeKey::range(partition);
    let (mut expired, mut failure) = (Vec::new(), None);
    store.scan(Family::Idempotency, &range.from, &range.to, &mut |key, _| {
        match OutcomeTimeKey::decode(key) {
            Ok(key) if idempotency::is_expired(key.at, now) => expired.push((key.at, key.scope)),
            // In the order of time: all behind it are younger.
            Ok(_) => return ControlFlow::Break(()),
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        if expired.len() < limits::IDEMPOTENCY_SWEEP_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    failure.map_or(Ok(expired), |error| Err(error.into()))
}

/// What one outcome takes, its two keys included.
fn size_of_entry(key: &[u8], time_key: &[u8], value: &[u8]) -> u64 {
    (key.len() + time_key.len() + value.len()) as u64
}

#[cfg(test)]
#[path = "outcomes_test.rs"]
mod tests;
