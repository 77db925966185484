//! The shell of a partition: messages in, writes and timers out.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::actors::context::NodeContext;
use crate::actors::link::fetch;
use crate::actors::partition::core::{Built, PartitionCore, PendingWrite};
use crate::actors::partition::handle::PartitionHandle;
use crate::actors::partition::message::PartitionMessage;
use crate::model::ids::PartitionId;
use crate::model::limits;
use crate::model::replication::inbox::Missing;
use crate::model::tick::Tick;
use crate::storage::partition::{LoadError, SnapshotReceiver};

/// What a partition starts from.
#[derive(Debug)]
pub struct PartitionArguments {
    /// The node it is on.
    pub context: Arc<NodeContext>,
    /// Which it is.
    pub partition: PartitionId,
}

/// The actor.
#[derive(Debug)]
pub struct PartitionActor;

/// The actor's state: the core, and what was set in motion for it.
#[derive(Debug)]
pub struct PartitionShell {
    core: PartitionCore,
    is_check_scheduled: bool,
    is_fetching: bool,
    fetch_pause: Duration,
    fetch_not_before: Tick,
    taken_at_fetch: u64,
    is_recovering: bool,
}

impl Actor for PartitionActor {
    type Msg = PartitionMessage;
    type State = PartitionShell;
    type Arguments = PartitionArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: PartitionArguments,
    ) -> Result<PartitionShell, ActorProcessingErr> {
        let core = PartitionCore::load(arguments.context, arguments.partition)
            .map_err(|error: LoadError| crate::actors::error_chain(&error))?;
        Ok(PartitionShell {
            core,
            is_check_scheduled: false,
            is_fetching: false,
            fetch_pause: Duration::ZERO,
            fetch_not_before: Tick::default(),
            taken_at_fetch: 0,
            is_recovering: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: PartitionMessage,
        shell: &mut PartitionShell,
    ) -> Result<(), ActorProcessingErr> {
        shell.dispatch(&myself, message);
        shell.work(&myself);
        Ok(())
    }
}

impl PartitionShell {
    fn dispatch(&mut self, myself: &ActorRef<PartitionMessage>, message: PartitionMessage) {
        let clock = &self.core.context().clock;
        let (now, tick) = (clock.now(), clock.tick());
        match message {
            PartitionMessage::Write {
                submission,
                only_in,
                admission,
                reply,
            } => {
                self.core.handle_write(PendingWrite {
                    submission,
                    only_in,
                    admission,
                    reply,
                });
            }
            PartitionMessage::Offer {
                origin,
                commits,
                permit,
            } => {
                self.core.handle_offer(&origin, commits, now, tick);
                drop(permit);
            }
            PartitionMessage::GroupWritten(result) => {
                let partition = self.core.partition();
                self.core.context().health.commit_ended(partition, tick);
                self.core.handle_written(result);
            }
            PartitionMessage::CheckMissing => {
                self.is_check_scheduled = false;
                let missing = self.core.missing(tick);
                self.fetch(myself, missing);
            }
            PartitionMessage::FetchEnded(lacking) => {
                self.core.show_lacking(lacking);
                self.note_fetch_ended(tick);
            }
            PartitionMessage::CatchUp { holder, vector } => {
                let caught_up = self.core.handle_catch_up(holder, &vector);
                // What is held may wait for what another region has: without it nothing that is fetched here helps, and
                // the pause after each fetch in vain would leave no turn for it.
                let mut missing = self.core.missing(tick);
                missing.extend(caught_up);
                self.fetch(myself, missing);
            }
            PartitionMessage::Led(leadership) => {
                let built = self.core.handle_led(leadership);
                self.carry_out(myself, built);
            }
            PartitionMessage::Agreed(entries, done) => self.core.handle_agreed(entries, done),
            PartitionMessage::Install(snapshot, done) => self.core.handle_install(snapshot, done),
            PartitionMessage::InstallEnded(result) => self.core.handle_installed(result),
            PartitionMessage::CutLog(cut) => self.core.handle_cut(cut),
            PartitionMessage::ForgetOutcomes(expired) => self.core.handle_expired(expired),
            PartitionMessage::Reload => {
                self.is_recovering = false;
                self.core.reload();
            }
            PartitionMessage::Drain(done) => self.core.handle_drain(done),
        }
    }

    /// Sets in motion what the state asks for.
    fn work(&mut self, myself: &ActorRef<PartitionMessage>) {
        if self.core.is_member() {
            if let Some(snapshot) = self.core.begin_install() {
                self.install(myself, snapshot);
            }
            let built = self.core.apply_next();
            self.carry_out(myself, built);
        }
        loop {
            let built = self.core.build(self.core.context().clock.now());
            if !self.carry_out(myself, built) {
                break;
            }
        }
        if self.core.is_waiting_for_others() && !self.is_check_scheduled {
            self.is_check_scheduled = true;
            let delay = Duration::from_millis(limits::GAP_PATIENCE_MS);
            drop(myself.send_after(delay, || PartitionMessage::CheckMissing));
        }
        if self.core.needs_recovery() && !self.is_recovering && !self.core.is_in_flight() {
            self.recover(myself);
        }
    }

    /// Sets in motion what was built; whether more may be built at once.
    fn carry_out(&mut self, myself: &ActorRef<PartitionMessage>, built: Built) -> bool {
        match built {
            Built::Nothing => false,
            Built::Answered => true,
            Built::Write(set) => {
                let me = myself.clone();
                let done = Box::new(move |result| {
                    // An error means that the actor was stopped: nobody waits for the group.
                    let _ = me.cast(PartitionMessage::GroupWritten(result));
                });
                let context = self.core.context();
                context
                    .health
                    .commit_begun(self.core.partition(), context.clock.tick());
                context.committer.submit(set, self.core.durability(), done);
                false
            }
            Built::Propose(proposal, group) => {
                let (region, partition) = (self.core.context().identity.region, self.core.partition());
                tokio::spawn(async move {
                    // The log shows what becomes of it, not this answer.
                    if let Err(error) = group.propose(&proposal).await {
                        tracing::info!(%region, %partition, %error, "a proposal was not answered");
                    }
                });
                false
            }
        }
    }

    /// Puts a snapshot into its place, which waits for the disk.
    fn install(&self, myself: &ActorRef<PartitionMessage>, snapshot: Box<SnapshotReceiver>) {
        let (me, blocking) = (myself.clone(), self.core.context().blocking);
        tokio::spawn(async move {
            let installed = blocking.run(move || snapshot.finish()).await;
            let installed = match installed {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(crate::actors::error_chain(&error)),
                Err(error) => Err(error.to_string()),
            };
            let _ = me.cast(PartitionMessage::InstallEnded(installed));
        });
    }

    /// Tries to recover the store until it works again; the state is read anew then.
    fn recover(&mut self, myself: &ActorRef<PartitionMessage>) {
        self.is_recovering = true;
        let (me, store) = (myself.clone(), Arc::clone(&self.core.context().store));
        let blocking = self.core.context().blocking;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(limits::STORE_REOPEN_INTERVAL_MS)).await;
                let store = Arc::clone(&store);
                // Reopening blocks on the disk.
                match blocking.run(move || store.recover()).await {
                    Ok(Ok(_generation)) => break,
                    Ok(Err(error)) => tracing::warn!(%error, "the store is not usable yet; trying again"),
                    Err(_) => return, // The runtime stops.
                }
            }
            let _ = me.cast(PartitionMessage::Reload);
        });
    }

    /// A fetch that brought nothing is not repeated at once, and then ever more seldom.
    fn note_fetch_ended(&mut self, tick: Tick) {
        self.is_fetching = false;
        self.fetch_pause = if self.core.changes_taken() > self.taken_at_fetch {
            Duration::ZERO
        } else {
            let longer = self
                .fetch_pause
                .max(Duration::from_millis(limits::GAP_PATIENCE_MS))
                * 2;
            longer.min(Duration::from_millis(limits::FETCH_BACKOFF_MS_MAX))
        };
        self.fetch_not_before = tick.plus(self.fetch_pause);
    }

    fn fetch(&mut self, myself: &ActorRef<PartitionMessage>, missing: Vec<Missing>) {
        let tick = self.core.context().clock.tick();
        if missing.is_empty() || self.is_fetching || tick < self.fetch_not_before {
            return;
        }
        self.is_fetching = true;
        self.taken_at_fetch = self.core.changes_taken();
        let handle = PartitionHandle::new(self.core.partition(), myself.clone());
        let context = Arc::clone(self.core.context());
        tokio::spawn(async move {
            let mut lacking = None;
            for missing in missing {
                if !fetch::fetch(&context, &handle, &missing).await {
                    lacking = Some(missing);
                }
            }
            handle.send(PartitionMessage::FetchEnded(lacking));
        });
    }
}
