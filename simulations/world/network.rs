//! The network between regions: paths with delay, jitter, loss, duplicates and cuts; connections that die in silence.
//! Implements the link port as QUIC would look to its users: streams are ordered and reliable among themselves and overtake
//! each other, lost packets come later, a connection over which nothing was heard ends by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use atoll::model::ids::{ClusterName, NodeId, RegionId};
use atoll::ports::link::{CloseCode, Connection, DialTarget, LinkError, Network, PeerIdentity};
use tokio::sync::Notify;

use super::path::Path;
use super::recorder::Recorder;
use super::time;
use super::wire::Wire;
use crate::dice::Dice;
use crate::evidence::Moment;

/// A connection over which nothing was heard for so long ends; as the QUIC transport has it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long dialling a region that does not answer takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// A process that accepts connections.
struct Listener {
    incoming: Mutex<VecDeque<(Moment, Arc<dyn Connection>)>>,
    arrived: Notify,
    is_closed: Mutex<bool>,
}

struct State {
    dice: Dice,
    paths: BTreeMap<(RegionId, RegionId), Path>,
    listeners: BTreeMap<RegionId, Arc<Listener>>,
    wires: Vec<Weak<Wire>>,
}

/// The network of a world; clones share it.
#[derive(Clone)]
pub struct Fabric {
    state: Arc<Mutex<State>>,
    recorder: Recorder,
    cluster: ClusterName,
}

impl Fabric {
    /// A network without regions.
    pub fn new(cluster: ClusterName, dice: Dice, recorder: Recorder) -> Self {
        let state = State {
            dice,
            paths: BTreeMap::new(),
            listeners: BTreeMap::new(),
            wires: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            recorder,
            cluster,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorder of the run.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Sets the quality of one direction; keeps whether it is cut.
    pub fn set_path(&self, from: RegionId, to: RegionId, path: Path) {
        let mut state = self.lock();
        let cut_since = state.paths.get(&(from, to)).and_then(|path| path.cut_since);
        state.paths.insert((from, to), Path { cut_since, ..path });
    }

    /// Cuts one direction, or lets it through again.
    pub fn set_cut(&self, from: RegionId, to: RegionId, is_cut: bool) {
        let (wires, delay) = {
            let mut state = self.lock();
            let path = state.paths.get_mut(&(from, to)).expect("both regions exist");
            if path.cut_since.is_some() == is_cut {
                return;
            }
            path.cut_since = is_cut.then(time::now);
            let delay = path.delay;
            (state.live_wires(), delay)
        };
        self.recorder.event(format!(
            "{from} -> {to} {}",
            if is_cut { "is cut" } else { "is healed" }
        ));
        for wire in wires {
            if !is_cut {
                wire.healed(from, to, time::now(), delay);
            }
            wire.wake_all();
        }
    }

    /// Whether a direction is cut.
    pub fn is_cut(&self, from: RegionId, to: RegionId) -> bool {
        self.lock()
            .paths
            .get(&(from, to))
            .is_none_or(|path| path.cut_since.is_some())
    }

    /// The shortest time that a packet takes.
    pub fn base_delay(&self, from: RegionId, to: RegionId) -> Duration {
        self.lock()
            .paths
            .get(&(from, to))
            .map_or(Duration::ZERO, |path| path.delay)
    }

    /// How long some bytes take, were the path open; and whether they arrive twice.
    pub fn travel(&self, from: RegionId, to: RegionId, bytes: usize) -> (Duration, bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = &state.paths[&(from, to)];
        let time = path.travel(bytes, &mut state.dice);
        let twice = path.duplicate_permille > 0 && state.dice.permille(path.duplicate_permille);
        (time, twice)
    }

    /// The network of one life of a process.
    pub fn open(&self, region: RegionId, node: NodeId) -> SimNetwork {
        let listener = Arc::new(Listener {
            incoming: Mutex::default(),
            arrived: Notify::new(),
            is_closed: Mutex::new(false),
        });
        self.lock().listeners.insert(region, Arc::clone(&listener));
        SimNetwork {
            fabric: self.clone(),
            identity: self.identity(region, node),
            listener,
        }
    }

    fn identity(&self, region: RegionId, node: NodeId) -> PeerIdentity {
        PeerIdentity {
            cluster: self.cluster,
            region,
            node,
            certificate_expires: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
        }
    }

    /// A process is gone without a word: its side of everything falls silent.
    pub fn crash(&self, region: RegionId) {
        let wires = {
            let mut state = self.lock();
            state.listeners.remove(&region);
            state.live_wires()
        };
        for wire in wires {
            wire.crash(region);
        }
    }

    /// Ends connections over which nothing was heard for too long. Called between ticks.
    pub fn expire(&self) {
        let wires = self.lock().live_wires();
        for wire in wires {
            wire.expire(self, IDLE_TIMEOUT);
        }
    }

    /// Breaks all connections between two regions, as a box between them may.
    pub fn reset(&self, one: RegionId, other: RegionId) {
        let wires = self.lock().live_wires();
        self.recorder
            .event(format!("connections between {one} and {other} break"));
        for wire in wires {
            wire.reset(one, other);
        }
    }

    /// Bytes on their way in the whole network.
    pub fn bytes_under_way(&self) -> u64 {
        let wires = self.lock().live_wires();
        wires.iter().map(|wire| wire.bytes_under_way()).sum()
    }
}

impl State {
    fn live_wires(&mut self) -> Vec<Arc<Wire>> {
        self.wires.retain(|wire| wire.strong_count() > 0);
        self.wires.iter().filter_map(Weak::upgrade).collect()
    }
}

/// The network as one life of a process sees it.
pub struct SimNetwork {
    fabric: Fabric,
    identity: PeerIdentity,
    listener: Arc<Listener>,
}

impl SimNetwork {
    fn target_listens(&self, region: RegionId) -> Option<Arc<Listener>> {
        self.fabric.lock().listeners.get(&region).cloned()
    }
}

#[async_trait]
impl Network for SimNetwork {
    async fn dial(&self, target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        let (own, peer) = (self.identity.region, target.region);
        let (there, _) = self.fabric.travel(own, peer, 1200);
        let (back, _) = self.fabric.travel(peer, own, 1200);
        tokio::time::sleep(there).await;
        let listener = self.target_listens(peer);
        let is_cut = self.fabric.is_cut(own, peer) || self.fabric.is_cut(peer, own);
        let Some(listener) = listener.filter(|_| !is_cut) else {
            tokio::time::sleep(DIAL_TIMEOUT).await;
            return Err(LinkError::TimedOut);
        };
        let theirs = self.fabric.identity(peer, target.node);
        let wire = Wire::new(self.fabric.clone(), [self.identity.clone(), theirs]);
        self.fabric.lock().wires.push(Arc::downgrade(&wire));
        let [mine, accepted] = Wire::sides(&wire);
        {
            let mut incoming = listener.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            incoming.push_back((time::now(), accepted));
        }
        listener.arrived.notify_one();
        tokio::time::sleep(back).await;
        Ok(mine)
    }

    async fn accept(&self) -> Option<Arc<dyn Connection>> {
        loop {
            if *self
                .listener
                .is_closed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
            {
                return None;
            }
            let next = {
                let mut incoming = self
                    .listener
                    .incoming
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                incoming.pop_front()
            };
            match next {
                Some((due, side)) => {
                    time::sleep_until(due).await;
                    return Some(side);
                }
                None => self.listener.arrived.notified().await,
            }
        }
    }

    async fn shutdown(&self) {
        *self
            .listener
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.listener.arrived.notify_one();
        let region = self.identity.region;
        let wires = {
            let mut state = self.fabric.lock();
            state.listeners.remove(&region);
            state.live_wires()
        };
        for wire in wires {
            wire.close_of(region, CloseCode::Done, "the node stops");
        }
    }
}
