//! The network between nodes: paths with delay, jitter, loss, duplicates and cuts; connections that die in silence.
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
use super::site::Site;
use super::time;
use super::wire::Wire;
use crate::dice::Dice;
use crate::evidence::Moment;

/// A connection over which nothing was heard for so long ends; as the QUIC transport has it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long dialling a node that does not answer takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// A process that accepts connections.
struct Listener {
    incoming: Mutex<VecDeque<(Moment, Arc<dyn Connection>)>>,
    arrived: Notify,
    is_closed: Mutex<bool>,
}

struct State {
    dice: Dice,
    paths: BTreeMap<(Site, Site), Path>,
    listeners: BTreeMap<Site, Arc<Listener>>,
    wires: Vec<Weak<Wire>>,
}

/// The network of a world; clones share it.
#[derive(Clone)]
pub struct Fabric {
    state: Arc<Mutex<State>>,
    recorder: Recorder,
    cluster: ClusterName,
    /// By name.
    sites: Arc<BTreeMap<(RegionId, NodeId), Site>>,
}

impl Fabric {
    /// A network of nodes without paths between them.
    pub fn new(
        cluster: ClusterName,
        sites: impl IntoIterator<Item = Site>,
        dice: Dice,
        recorder: Recorder,
    ) -> Self {
        let sites = sites.into_iter().map(|site| ((site.region, site.node), site));
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
            sites: Arc::new(sites.collect()),
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
    pub fn set_path(&self, from: Site, to: Site, path: Path) {
        let mut state = self.lock();
        let cut_since = state.paths.get(&(from, to)).and_then(|path| path.cut_since);
        state.paths.insert((from, to), Path { cut_since, ..path });
    }

    /// Cuts one direction, or lets it through again.
    pub fn set_cut(&self, from: Site, to: Site, is_cut: bool) {
        let (wires, delay) = {
            let mut state = self.lock();
            let path = state.paths.get_mut(&(from, to)).expect("both nodes exist");
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
    pub fn is_cut(&self, from: Site, to: Site) -> bool {
        self.lock()
            .paths
            .get(&(from, to))
            .is_none_or(|path| path.cut_since.is_some())
    }

    /// The shortest time that a packet takes.
    pub fn base_delay(&self, from: Site, to: Site) -> Duration {
        self.lock()
            .paths
            .get(&(from, to))
            .map_or(Duration::ZERO, |path| path.delay)
    }

    /// How long some bytes take, were the path open; and whether they arrive twice.
    pub fn travel(&self, from: Site, to: Site, bytes: usize) -> (Duration, bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let path = &state.paths[&(from, to)];
        let time = path.travel(bytes, &mut state.dice);
        let twice = path.duplicate_permille > 0 && state.dice.permille(path.duplicate_permille);
        (time, twice)
    }

    /// The network of one life of a process.
    pub fn open(&self, site: Site) -> SimNetwork {
        let listener = Arc::new(Listener {
            incoming: Mutex::default(),
            arrived: Notify::new(),
            is_closed: Mutex::new(false),
        });
        self.lock().listeners.insert(site, Arc::clone(&listener));
        SimNetwork {
            fabric: self.clone(),
            identity: self.identity(site),
            site,
            listener,
        }
    }

    fn identity(&self, site: Site) -> PeerIdentity {
        PeerIdentity {
            cluster: self.cluster,
            region: site.region,
            node: site.node,
            certificate_expires: SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000),
        }
    }

    /// A process is gone without a word: its side of everything falls silent.
    pub fn crash(&self, site: Site) {
        let wires = {
            let mut state = self.lock();
            state.listeners.remove(&site);
            state.live_wires()
        };
        for wire in wires {
            wire.crash(site);
        }
    }

    /// Ends connections over which nothing was heard for too long. Called between ticks.
    pub fn expire(&self) {
        let wires = self.lock().live_wires();
        for wire in wires {
            wire.expire(self, IDLE_TIMEOUT);
        }
    }

    /// Breaks all connections between two nodes, as a box between them may.
    pub fn reset(&self, one: Site, other: Site) {
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
    site: Site,
    listener: Arc<Listener>,
}

impl SimNetwork {
    fn target_listens(&self, site: Site) -> Option<Arc<Listener>> {
        self.fabric.lock().listeners.get(&site).cloned()
    }
}

#[async_trait]
impl Network for SimNetwork {
    async fn dial(&self, target: &DialTarget) -> Result<Arc<dyn Connection>, LinkError> {
        let name = (target.region, target.node);
        let peer = *self.fabric.sites.get(&name).ok_or(LinkError::TimedOut)?;
        let own = self.site;
        let (there, _) = self.fabric.travel(own, peer, 1200);
        let (back, _) = self.fabric.travel(peer, own, 1200);
        tokio::time::sleep(there).await;
        let listener = self.target_listens(peer);
        let is_cut = self.fabric.is_cut(own, peer) || self.fabric.is_cut(peer, own);
        let Some(listener) = listener.filter(|_| !is_cut) else {
            tokio::time::sleep(DIAL_TIMEOUT).await;
            return Err(LinkError::TimedOut);
        };
        let theirs = self.fabric.identity(peer);
        let identities = [self.identity.clone(), theirs];
        let wire = Wire::new(self.fabric.clone(), [own, peer], identities);
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
        let site = self.site;
        let wires = {
            let mut state = self.fabric.lock();
            state.listeners.remove(&site);
            state.live_wires()
        };
        for wire in wires {
            wire.close_of(site, CloseCode::Done, "the node stops");
        }
    }
}
