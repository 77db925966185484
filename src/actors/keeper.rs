//! The keeper: forgets log entries that nobody needs, outcomes of writes with an idempotency key that have expired, and the
//! oldest ledger entries over their limit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::partition::{PartitionHandle, PartitionMessage};
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::replication::retention::{Cut, Cutter};
use crate::model::vector::VersionVector;
use crate::ports::store::{Durability, Family, StoreError, WriteSet};
use crate::storage::partition::{ReadError, expired_outcomes, marks_from};
use crate::wire::keys::row::KeyRange;

/// How often logs are looked through.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many of those looks pass between two at the ledger.
const LEDGER_TURNS: u32 = 30;
/// Over the limit, logs are cut to this share of it, so that it is not met again at once.
const CUT_TO_PERCENT: u64 = 90;
/// Entries that one look at a log goes through: the next look goes on.
const ENTRIES_PER_LOOK_MAX: u32 = 100_000;

/// A message to the keeper.
#[derive(Debug)]
pub enum KeeperMessage {
    /// Look through logs and ledger.
    Look,
}

/// What the keeper starts from.
#[derive(Debug)]
pub struct KeeperArguments {
    /// The node it is on.
    pub context: Arc<NodeContext>,
    /// Its partitions, in order.
    pub partitions: Arc<[PartitionHandle]>,
}

/// The actor.
#[derive(Debug)]
pub struct KeeperActor;

/// The actor's state.
#[derive(Debug)]
pub struct Keeper {
    context: Arc<NodeContext>,
    partitions: Arc<[PartitionHandle]>,
    turn: u32,
    losers_seen: Option<u64>,
    was_over_limit: bool,
    /// This region's own changes that a log has forgotten and not all peers have acknowledged, by partition.
    forgotten: BTreeMap<PartitionId, VersionVector>,
}

impl Actor for KeeperActor {
    type Msg = KeeperMessage;
    type State = Keeper;
    type Arguments = KeeperArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<KeeperMessage>,
        arguments: KeeperArguments,
    ) -> Result<Keeper, ActorProcessingErr> {
        drop(myself.send_interval(INTERVAL, || KeeperMessage::Look));
        let KeeperArguments { context, partitions } = arguments;
        Ok(Keeper {
            context,
            partitions,
            turn: 0,
            losers_seen: None,
            was_over_limit: false,
            forgotten: BTreeMap::new(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<KeeperMessage>,
        message: KeeperMessage,
        keeper: &mut Keeper,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMessage::Look => keeper.look().await,
        }
        Ok(())
    }
}

impl Keeper {
    async fn look(&mut self) {
        self.note_limit();
        let context = Arc::clone(&self.context);
        // Scans may wait for the disk.
        let plan = self.context.blocking.run(move || {
            let ids = context.identity.partitions.ids();
            ids.map(|partition| (partition, plan_cut(&context, partition)))
                .collect::<Vec<_>>()
        });
        let Ok(planned) = plan.await else { return }; // The runtime stops.
        for (partition, cut) in planned {
            match cut {
                Ok(Some(cut)) => {
                    self.note_forgotten(partition, &cut);
                    self.partitions[usize::from(partition.0)].send(PartitionMessage::CutLog(cut));
                }
                Ok(None) => {}
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(region = %self.context.identity.region, %partition, %error, "looking through the log failed");
                }
            }
        }
        self.show_lacking();
        self.forget_outcomes().await;
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(LEDGER_TURNS) {
            self.trim_ledger().await;
        }
    }

    /// Other regions' changes reach the peers from their own regions.
    fn note_forgotten(&mut self, partition: PartitionId, cut: &Cut) {
        let own = self.context.identity.region;
        let forgotten = cut.forgotten.iter().filter(|dot| dot.replica.region == own);
        let noted = self.forgotten.entry(partition).or_default();
        noted.merge(&forgotten.collect());
    }

    /// Which peers need a resync: shown at once, also while they are away, and until they have what the log has forgotten
    /// from elsewhere. The shipper finds out the same of what it has not shipped yet, when it comes to it.
    fn show_lacking(&mut self) {
        let peers = &self.context.peers;
        for peer in peers {
            let has = |(partition, vector): (&PartitionId, &VersionVector)| {
                peer.watermark(*partition).covers_all(vector)
            };
            peer.set_log_lacks(!self.forgotten.iter().all(has));
        }
        self.forgotten.retain(|partition, vector| {
            let mut peers = peers.iter();
            !peers.all(|peer| peer.watermark(*partition).covers_all(vector))
        });
    }

    /// Names each partition a portion of the outcomes that have expired; it forgets them when it has nothing else to do.
    async fn forget_outcomes(&self) {
        let context = Arc::clone(&self.context);
        let plan = self.context.blocking.run(move || {
            let now = context.clock.now();
            let ids = context.identity.partitions.ids();
            ids.map(|partition| {
                let expired = expired_outcomes(context.store.as_ref(), partition, now);
                (partition, expired)
            })
            .collect::<Vec<_>>()
        });
        let Ok(planned) = plan.await else { return }; // The runtime stops.
        for (partition, expired) in planned {
            match expired {
                Ok(expired) if expired.is_empty() => {}
                Ok(expired) => {
                    self.partitions[usize::from(partition.0)].send(PartitionMessage::ForgetOutcomes(expired));
                }
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(region = %self.context.identity.region, %partition, %error, "looking for expired outcomes failed");
                }
            }
        }
    }

    /// Says once when the logs pass their limit, and once when they are back under it.
    fn note_limit(&mut self) {
        let (bytes, limit) = (
            self.context.partitions.log_bytes(),
            self.context.replication.log_retention_bytes,
        );
        let is_over = bytes > limit;
        if is_over != self.was_over_limit {
            let region = self.context.identity.region;
            if is_over {
                tracing::warn!(%region, bytes, limit, "the logs are over log_retention_bytes: the oldest entries go, and peers that lack them need a resync");
            } else {
                tracing::info!(%region, bytes, limit, "the logs are under log_retention_bytes again");
            }
            self.was_over_limit = is_over;
        }
    }

    async fn trim_ledger(&mut self) {
        let ids = self.context.partitions.ids();
        let written: u64 = ids
            .map(|id| self.context.partitions.read(id, |view| view.losers_written))
            .sum();
        if self.losers_seen == Some(written) {
            return; // Nothing new has been lost.
        }
        let context = Arc::clone(&self.context);
        let planned = self
            .context
            .blocking
            .run(move || plan_ledger_trim(&context))
            .await;
        match planned {
            Ok(Ok(None)) => self.losers_seen = Some(written),
            Ok(Ok(Some((range, count)))) => {
                tracing::warn!(
                    region = %self.context.identity.region, count, limit = limits::LEDGER_ENTRIES_MAX,
                    "the conflict ledger is over its limit: its oldest entries go"
                );
                let mut set = WriteSet::new();
                set.delete_range(Family::Losers, &range.from, &range.to);
                let region = self.context.identity.region;
                self.context.committer.submit(
                    set,
                    Durability::Synced,
                    Box::new(move |result| {
                        if let Err(error) = result {
                            tracing::warn!(%region, %error, "trimming the conflict ledger failed; it is tried again");
                        }
                    }),
                );
            }
            Ok(Err(error)) => {
                tracing::error!(region = %self.context.identity.region, %error, "looking through the conflict ledger failed");
            }
            Err(_) => {} // The runtime stops.
        }
    }
}

fn plan_cut(context: &NodeContext, partition: PartitionId) -> Result<Option<Cut>, ReadError> {
    let view = context.partitions.view(partition);
    // `>`: the log is empty.
    if view.first_index > view.applied_index {
        return Ok(None);
    }
    let watermarks: Vec<VersionVector> = context
        .peers
        .iter()
        .map(|peer| peer.watermark(partition))
        .collect();
    let excess_bytes = excess_bytes(context, view.log_bytes);
    let mut cutter = Cutter::new(view.first_index, &watermarks, &view.vector, excess_bytes);
    let mut looked_at = 0;
    marks_from(context.store.as_ref(), partition, view.first_index, |mark| {
        looked_at += 1;
        // `<=`: what is not applied yet stays, whoever has it.
        mark.index <= view.applied_index && looked_at <= ENTRIES_PER_LOOK_MAX && cutter.consider(&mark)
    })?;
    Ok(cutter.finish())
}

/// The share of a partition in what all logs have over their limit.
fn excess_bytes(context: &NodeContext, log_bytes: u64) -> u64 {
    let (total, limit) = (
        context.partitions.log_bytes(),
        context.replication.log_retention_bytes,
    );
    // `<=`: the limit itself may be reached.
    if total <= limit {
        return 0;
    }
    let target = u128::from(limit) * u128::from(CUT_TO_PERCENT) / 100;
    let excess = u128::from(total).saturating_sub(target);
    u64::try_from(excess * u128::from(log_bytes) / u128::from(total)).unwrap_or(u64::MAX)
}

/// The oldest ledger entries that are over the limit, and how many they are.
fn plan_ledger_trim(context: &NodeContext) -> Result<Option<(KeyRange, u64)>, StoreError> {
    let mut count = 0_u64;
    let end = vec![u8::MAX; 32];
    context.store.scan(Family::Losers, &[], &end, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    let excess = count.saturating_sub(limits::LEDGER_ENTRIES_MAX);
    if excess == 0 {
        return Ok(None);
    }
    let (mut passed, mut first_kept) = (0, None);
    context.store.scan(Family::Losers, &[], &end, &mut |key, _| {
        passed += 1;
        // `>`: the first one after those that go.
        if passed > excess {
            first_kept = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(first_kept.map(|to| (KeyRange { from: Vec::new(), to }, excess)))
}
