//! One life of a node's process: the real composition on simulated ports, in a runtime of its own that ends, with
//! everything in it, when the process crashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atoll::actors::context::NodeContext;
use atoll::actors::health::IgnoreLag;
use atoll::actors::partition::PartitionHandle;
use atoll::actors::region::FixedConfiguration;
use atoll::api::IgnoreRequests;
use atoll::config::ClusterConfig;
use atoll::model::agreement::REGION_GROUP;
use atoll::node::{Assembly, Entrance, Fence, NodePorts, NodeSurface};
use atoll::ports::blocking::BlockingWork;
use atoll::ports::clock::Clock as _;
use atoll::ports::entropy::Entropy;
use atoll::ports::store::Committer;
use atoll::storage::{ExpectedIdentity, Identity, bump_incarnation, check_or_create};
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::disk::{Leftover, SimCommitter, SimDisk};
use super::network::Fabric;
use super::site::Site;
use super::standings::stored_members;
use super::time::{self, Anchor, ProcessClock, SimClock};
use crate::dice::Dice;
use crate::evidence::Moment;

/// Tasks that run between two looks at the clock: few, so that a crash can fall between any two.
const EVENT_INTERVAL: u32 = 7;

/// What a client gets back: when it arrives, and what.
pub type Reply = (Moment, Response<Bytes>);

/// A request on its way to a node.
pub struct Incoming {
    /// When it arrives.
    pub due: Moment,
    /// What is asked.
    pub request: Request<Body>,
    /// How long the answer takes.
    pub back: Duration,
    /// Where it goes.
    pub reply: oneshot::Sender<Reply>,
    /// Ends when the client hangs up.
    pub hung_up: oneshot::Receiver<()>,
}

/// Answers that a process owes, in the order of their requests. Kept outside of its runtime, which drops its tasks in no
/// order that could be repeated: clients must hear of a crash in the same order in every run.
#[derive(Clone, Default)]
struct Owed(Arc<Mutex<BTreeMap<u64, oneshot::Sender<Reply>>>>);

impl Owed {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Reply>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<Reply>> {
        self.lock().remove(&number)
    }
}

/// What outlives the processes of a node.
pub struct Machine {
    pub site: Site,
    pub cluster: Arc<ClusterConfig>,
    pub disk: Arc<SimDisk>,
    pub clock: Arc<SimClock>,
    pub fabric: Fabric,
    /// The write under way when the process died was torn: the store says so when it is opened.
    pub has_torn_tail: bool,
    /// Entries that the log of a group keeps behind what is applied.
    pub raft_entries_kept: u64,
    /// Its configuration may change while it runs.
    pub may_change: bool,
}

impl Machine {
    /// The process has died, and that is left of what it wrote.
    pub fn note(&mut self, leftover: Leftover) {
        // Among several a torn write is as good as none: nobody was told of it, and the others have what was agreed on.
        self.has_torn_tail |= leftover == Leftover::Torn && self.site.is_alone;
    }
}

struct SeededEntropy(Mutex<Dice>);

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// A process that runs.
pub struct Process {
    runtime: Runtime,
    /// Dropped after the runtime.
    _owed: Owed,
    anchor: Anchor,
    requests: mpsc::UnboundedSender<Incoming>,
    context: Arc<Mutex<Option<Arc<NodeContext>>>>,
    partitions: Arc<Mutex<Option<Arc<[PartitionHandle]>>>>,
    stop: Option<oneshot::Sender<()>>,
    reload: mpsc::UnboundedSender<Arc<ClusterConfig>>,
    in_force: Arc<Mutex<InForce>>,
    ended: Arc<Mutex<Option<Ended>>>,
    begins_anew: bool,
}

/// The configuration that a process has made its parts by.
struct InForce {
    cluster: Arc<ClusterConfig>,
    reloads: u64,
}

/// How a process has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did not start.
    NotStarted,
    /// It was asked to stop, and has.
    Stopped,
}

impl Process {
    /// Boots a process on a machine.
    pub fn boot(machine: &mut Machine, dice: Dice) -> Self {
        let runtime = paused_runtime();
        let anchor = anchor_of(&runtime);
        let (requests, incoming) = mpsc::unbounded_channel();
        let (stop, stopping) = oneshot::channel();
        let (reload, wanted) = mpsc::unbounded_channel();
        let in_force = Arc::new(Mutex::new(InForce {
            cluster: Arc::clone(&machine.cluster),
            reloads: 0,
        }));
        let (context, ended, owed) = (Arc::default(), Arc::default(), Owed::default());
        let partitions = Arc::default();
        let begins_anew = std::mem::take(&mut machine.has_torn_tail);
        let life = Life {
            site: machine.site,
            in_force: Arc::clone(&in_force),
            disk: Arc::clone(&machine.disk),
            clock: Arc::clone(&machine.clock),
            booted: anchor.booted,
            fabric: machine.fabric.clone(),
            entropy: Arc::new(SeededEntropy(Mutex::new(dice))),
            begins_anew,
            raft_entries_kept: machine.raft_entries_kept,
            may_change: machine.may_change,
            context: Arc::clone(&context),
            partitions: Arc::clone(&partitions),
            ended: Arc::clone(&ended),
        };
        runtime.spawn(life.run(incoming, owed.clone(), stopping, wanted));
        Self {
            runtime,
            _owed: owed,
            anchor,
            requests,
            context,
            partitions,
            stop: Some(stop),
            reload,
            in_force,
            ended,
            begins_anew,
        }
    }

    /// Lets it run until a moment.
    pub fn run_until(&self, moment: Moment) {
        let until = self.anchor.instant + moment.elapsed().saturating_sub(self.anchor.booted.elapsed());
        time::within(self.anchor, || {
            self.runtime
                .block_on(async { tokio::time::sleep_until(until).await });
        });
    }

    /// Its clock jumps to a moment, as it does for a process that was stopped.
    pub fn jump_to(&self, moment: Moment) {
        time::within(self.anchor, || {
            self.runtime.block_on(async {
                let behind = moment.elapsed().saturating_sub(time::now().elapsed());
                tokio::time::advance(behind).await;
            });
        });
    }

    /// Lets it take some more steps, so that a crash finds it in the middle of something.
    pub fn run_steps(&self, steps: u64) {
        time::within(self.anchor, || {
            self.runtime.block_on(async {
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                }
            });
        });
    }

    /// Where requests go.
    pub fn requests(&self) -> mpsc::UnboundedSender<Incoming> {
        self.requests.clone()
    }

    /// What its actors share, once it has started.
    pub fn context(&self) -> Option<Arc<NodeContext>> {
        self.context
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its partitions, once it has started.
    pub fn partitions(&self) -> Option<Arc<[PartitionHandle]>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration that it runs with.
    pub fn cluster(&self) -> Arc<ClusterConfig> {
        Arc::clone(&self.in_force().cluster)
    }

    /// How often it has gone over to another configuration.
    pub fn reloads(&self) -> u64 {
        self.in_force().reloads
    }

    /// Asks it to go over to another configuration, which it may refuse.
    pub fn reload(&self, cluster: Arc<ClusterConfig>) {
        // One that ends takes it from its machine the next time.
        let _ = self.reload.send(cluster);
    }

    /// Asks it to stop in good order.
    pub fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_none()
    }

    /// Whether it had a torn write to deal with.
    pub fn began_anew(&self) -> bool {
        self.begins_anew
    }

    /// How it has ended by itself, if it has.
    pub fn ended(&self) -> Option<Ended> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime on one thread whose clock moves only when all its tasks wait.
pub fn paused_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .event_interval(EVENT_INTERVAL)
        .build()
        .expect("a runtime without I/O needs nothing that could be missing")
}

/// The anchor of a runtime that begins now.
pub fn anchor_of(runtime: &Runtime) -> Anchor {
    let booted = time::now();
    let instant = runtime.block_on(async { Instant::now() });
    Anchor { booted, instant }
}

struct Life {
    site: Site,
    in_force: Arc<Mutex<InForce>>,
    disk: Arc<SimDisk>,
    clock: Arc<SimClock>,
    booted: Moment,
    fabric: Fabric,
    entropy: Arc<dyn Entropy>,
    begins_anew: bool,
    raft_entries_kept: u64,
    may_change: bool,
    context: Arc<Mutex<Option<Arc<NodeContext>>>>,
    partitions: Arc<Mutex<Option<Arc<[PartitionHandle]>>>>,
    ended: Arc<Mutex<Option<Ended>>>,
}

/// The parts of a node, and what cuts them off from the disk when others take their place.
struct Parts {
    assembly: Assembly,
    fence: Option<Arc<Fence>>,
}

impl Life {
    async fn run(
        self,
        incoming: mpsc::UnboundedReceiver<Incoming>,
        owed: Owed,
        mut stopping: oneshot::Receiver<()>,
        mut wanted: mpsc::UnboundedReceiver<Arc<ClusterConfig>>,
    ) {
        let committer = Arc::new(SimCommitter::new(Arc::clone(&self.disk)));
        let mut parts = tokio::select! {
            biased;
            // One that waits for its region is asked to stop.
            _ = &mut stopping, if self.may_change => return self.end(Ended::Stopped).await,
            begun = self.begin(&committer) => match begun {
                Ok(parts) => parts,
                Err(detail) => return self.fail(&detail).await,
            },
        };
        self.show(&parts.assembly);
        // Where the parts stay, requests go to them without a way round.
        let entrance = self.may_change.then(|| Entrance::new(parts.assembly.router()));
        let router = match &entrance {
            Some(entrance) => entrance.router(),
            None => parts.assembly.router(),
        };
        let serving = tokio::spawn(serve(router, incoming, owed));
        loop {
            tokio::select! {
                biased;
                stop = &mut stopping => {
                    if stop.is_err() {
                        return std::future::pending().await;
                    }
                    break;
                }
                Some(cluster) = wanted.recv() => {
                    // It may have been told twice.
                    if Arc::ptr_eq(&cluster, &self.cluster()) || !self.may_go_over_to(&cluster) {
                        continue;
                    }
                    let Some(entrance) = &entrance else { continue };
                    entrance.close();
                    parts = match self.go_over_to(cluster, parts, &committer).await {
                        Ok(parts) => parts,
                        Err(detail) => return self.fail(&detail).await,
                    };
                    self.show(&parts.assembly);
                    entrance.open(parts.assembly.router());
                }
            }
        }
        stop_in_order(parts.assembly).await;
        serving.abort();
        self.fabric.recorder().event(format!("{} has stopped", self.site));
        self.end(Ended::Stopped).await;
    }

    async fn end(&self, how: Ended) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        std::future::pending::<()>().await;
    }

    async fn fail(&self, detail: &str) {
        let (site, recorder) = (self.site, self.fabric.recorder());
        recorder.event(format!("{site} does not start: {detail}"));
        recorder.reached("process could not start");
        self.end(Ended::NotStarted).await;
    }

    fn show(&self, assembly: &Assembly) {
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(assembly.context()));
        let handles = Arc::clone(assembly.partitions());
        *self.partitions.lock().unwrap_or_else(PoisonError::into_inner) = Some(handles);
        self.fabric.recorder().event(format!("{} serves", self.site));
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cluster(&self) -> Arc<ClusterConfig> {
        Arc::clone(&self.in_force().cluster)
    }

    /// As a node does it that is told to read its configuration again.
    fn may_go_over_to(&self, cluster: &ClusterConfig) -> bool {
        let members = stored_members(self.disk.contents(), REGION_GROUP);
        let members = members.map(|stored| stored.nodes).unwrap_or_default();
        let members: Vec<String> = members
            .keys()
            .filter_map(|member| Some(member.node()?.to_string()))
            .collect();
        let (region, node) = (self.site.region, self.site.node);
        let may = self.cluster().may_become(cluster, region, node, &members);
        if let Err(error) = &may {
            let recorder = self.fabric.recorder();
            recorder.event(format!(
                "{} does not take another configuration: {error}",
                self.site
            ));
            recorder.reached("configuration refused");
        }
        may.is_ok()
    }

    /// Makes the parts anew, as [`atoll::node::Node::reload`] does.
    async fn go_over_to(
        &self,
        cluster: Arc<ClusterConfig>,
        parts: Parts,
        committer: &Arc<SimCommitter>,
    ) -> Result<Parts, String> {
        let recorder = self.fabric.recorder();
        recorder.event(format!("{} goes over to another configuration", self.site));
        *self.context.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.partitions.lock().unwrap_or_else(PoisonError::into_inner) = None;
        stop_in_order(parts.assembly).await;
        if let Some(fence) = &parts.fence {
            fence.close().await.map_err(|error| error.to_string())?;
        }
        {
            let mut in_force = self.in_force();
            in_force.cluster = cluster;
            in_force.reloads += 1;
        }
        let parts = self.assemble(committer).await?;
        recorder.reached("configuration read again");
        Ok(parts)
    }

    fn folder() -> &'static std::path::Path {
        std::path::Path::new("simulated")
    }

    async fn begin(&self, committer: &Arc<SimCommitter>) -> Result<Parts, String> {
        if self.begins_anew {
            self.identity()?;
            bump_incarnation(self.disk.as_ref(), Self::folder(), self.clock().now())
                .map_err(|error| error.to_string())?;
        }
        tokio::spawn(Arc::clone(committer).run());
        self.assemble(committer).await
    }

    fn clock(&self) -> ProcessClock {
        ProcessClock {
            clock: Arc::clone(&self.clock),
            booted: self.booted,
        }
    }

    fn identity(&self) -> Result<Identity, String> {
        let cluster = self.cluster();
        let expected = ExpectedIdentity {
            cluster: cluster.cluster,
            region: self.site.region,
            node: self.site.node,
            partitions: cluster.partitions,
            now: self.clock().now(),
        };
        let identity = check_or_create(self.disk.as_ref(), Self::folder(), &expected);
        identity.map_err(|error| error.to_string())
    }

    async fn assemble(&self, committer: &Arc<SimCommitter>) -> Result<Parts, String> {
        let (identity, cluster) = (self.identity()?, self.cluster());
        let committer: Arc<dyn Committer> = Arc::<SimCommitter>::clone(committer);
        let fence = self.may_change.then(|| Fence::new(Arc::clone(&committer)));
        let ports = NodePorts {
            clock: Arc::new(self.clock()),
            entropy: Arc::clone(&self.entropy),
            store: Arc::<SimDisk>::clone(&self.disk),
            committer: match &fence {
                Some(fence) => Arc::<Fence>::clone(fence),
                None => committer,
            },
            network: Arc::new(self.fabric.open(self.site)),
            blocking: BlockingWork::AtOnce,
            raft_entries_kept: self.raft_entries_kept,
        };
        let surface = NodeSurface {
            certificate_expires: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
            render_metrics: Box::new(|_| String::new()),
            requests: Arc::new(IgnoreRequests),
            lag: Arc::new(IgnoreLag),
            configuration: Arc::new(FixedConfiguration {
                version: String::new(),
                since: std::time::SystemTime::UNIX_EPOCH,
            }),
        };
        let assembly = Assembly::start(&cluster, &identity, ports, surface).await;
        let assembly = assembly.map_err(|error| error.to_string())?;
        Ok(Parts { assembly, fence })
    }
}

async fn stop_in_order(assembly: Assembly) {
    assembly.stop_admitting();
    let deadline = Instant::now() + Duration::from_secs(2);
    while assembly.requests_under_way() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assembly.stop(deadline).await;
}

async fn serve(router: axum::Router, mut incoming: mpsc::UnboundedReceiver<Incoming>, owed: Owed) {
    for number in 0.. {
        let Some(arriving) = incoming.recv().await else {
            break;
        };
        let Incoming {
            due,
            request,
            back,
            reply,
            hung_up,
        } = arriving;
        owed.lock().insert(number, reply);
        let (router, owed) = (router.clone(), owed.clone());
        tokio::spawn(async move {
            time::sleep_until(due).await;
            let answered = async {
                let response = router
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {});
                let (parts, body) = response.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
                Response::from_parts(parts, body)
            };
            tokio::select! {
                biased;
                // The client has hung up: the handler ends wherever it is.
                _ = hung_up => drop(owed.take(number)),
                response = answered => {
                    let due = Moment::after(time::now().elapsed() + back);
                    if let Some(reply) = owed.take(number) {
                        let _ = reply.send((due, response));
                    }
                }
            }
        });
    }
}
