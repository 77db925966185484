//! One connection: two sides, streams of frames between them, and how it ends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use atoll::ports::link::{
    CloseCode, Connection, FrameReceiver, FrameSender, LinkError, PeerIdentity, Stream,
};
use atoll::wire::messages::Message;
use bytes::Bytes;
use tokio::sync::Notify;

use super::network::Fabric;
use super::site::Site;
use super::time;
use crate::evidence::Moment;

/// Bytes that a stream may have under way: QUIC's flow control.
const WINDOW_BYTES: usize = 1 << 20;

/// Frames of one stream in one direction.
#[derive(Default)]
struct Pipe {
    frames: VecDeque<(Moment, Bytes)>,
    bytes: usize,
    last_due: Moment,
    /// Nothing more follows.
    is_finished: bool,
    /// Nobody reads any more.
    is_stopped: bool,
    /// It carries batches: the only frames that may come twice.
    is_lane: bool,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// For each side how the connection ended, and from when on it knows.
    ends: [Option<(Moment, LinkError)>; 2],
    /// The process of a side is gone.
    is_gone: [bool; 2],
    /// Since when a side hears nothing.
    deaf_since: [Option<Moment>; 2],
    /// By stream: what goes towards each side.
    streams: BTreeMap<u64, [Pipe; 2]>,
    /// Streams that each side has not accepted yet.
    unaccepted: [VecDeque<u64>; 2],
    /// Which side has opened each stream.
    openers: BTreeMap<u64, usize>,
    next_stream: u64,
}

impl State {
    /// A stream that both sides have let go of is forgotten.
    fn forget_if_over(&mut self, id: u64) {
        let is_over = self.streams.get(&id).is_some_and(|pipes| {
            pipes
                .iter()
                .all(|pipe| pipe.is_stopped && (pipe.is_finished || pipe.frames.is_empty()))
        });
        if is_over {
            self.streams.remove(&id);
            self.openers.remove(&id);
        }
    }
}

/// A connection.
pub struct Wire {
    fabric: Fabric,
    sites: [Site; 2],
    identities: [PeerIdentity; 2],
    state: Mutex<State>,
    changed: [Notify; 2],
}

impl Wire {
    /// A connection that is open; side 0 has dialled.
    pub fn new(fabric: Fabric, sites: [Site; 2], identities: [PeerIdentity; 2]) -> Arc<Self> {
        Arc::new(Self {
            fabric,
            sites,
            identities,
            state: Mutex::default(),
            changed: [Notify::new(), Notify::new()],
        })
    }

    /// Both sides.
    pub fn sides(wire: &Arc<Self>) -> [Arc<dyn Connection>; 2] {
        [0, 1].map(|side| {
            let wire = Arc::clone(wire);
            let handle: Arc<dyn Connection> = Arc::new(Handle(Arc::new(Side { wire, side })));
            handle
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn site(&self, side: usize) -> Site {
        self.sites[side]
    }

    /// Whether it is between regions; if not, it is of a region's mesh.
    fn is_link(&self) -> bool {
        self.sites[0].region != self.sites[1].region
    }

    /// A side hears nothing while what comes towards it is cut.
    fn is_cut_towards(&self, side: usize) -> bool {
        self.fabric.is_cut(self.site(1 - side), self.site(side))
    }

    /// Wakes everybody who waits on it.
    pub fn wake_all(&self) {
        for changed in &self.changed {
            changed.notify_waiters();
        }
        for pipe in self.lock().streams.values().flatten() {
            pipe.changed.notify_waiters();
        }
    }

    /// What was held back goes on its way.
    pub fn healed(&self, from: Site, to: Site, now: Moment, delay: Duration) {
        for side in [0, 1] {
            if self.site(side) != to || self.site(1 - side) != from {
                continue;
            }
            let mut state = self.lock();
            let due = Moment::after(now.elapsed() + delay);
            for pipes in state.streams.values_mut() {
                let pipe = &mut pipes[side];
                for frame in &mut pipe.frames {
                    frame.0 = frame.0.max(due);
                }
                pipe.last_due = pipe.last_due.max(due);
            }
        }
    }

    /// The process of a node is gone.
    pub fn crash(&self, site: Site) {
        {
            let mut state = self.lock();
            for side in [0, 1] {
                if self.site(side) == site {
                    state.is_gone[side] = true;
                }
            }
        }
        self.wake_all();
    }

    /// Ends the connection for a side that has heard nothing for too long.
    pub fn expire(&self, fabric: &Fabric, idle: Duration) {
        let now = time::now();
        let mut has_ended = false;
        for side in [0, 1] {
            let is_cut = fabric.is_cut(self.site(1 - side), self.site(side));
            let mut state = self.lock();
            // A side that knows of its end, and has not said so because it ended in silence, is heard no more.
            let is_mute = state.is_gone[1 - side] || state.ends[1 - side].is_some();
            if !is_cut && !is_mute {
                state.deaf_since[side] = None;
            } else if state.ends[side].is_none() && !state.is_gone[side] {
                let since = *state.deaf_since[side].get_or_insert(now);
                if now.elapsed().saturating_sub(since.elapsed()) >= idle {
                    state.ends[side] = Some((now, LinkError::TimedOut));
                    has_ended = true;
                }
            }
        }
        if has_ended {
            self.wake_all();
        }
    }

    /// Both sides lose it at once.
    pub fn reset(&self, one: Site, other: Site) {
        let mut ours = [self.site(0), self.site(1)];
        let mut theirs = [one, other];
        ours.sort_unstable();
        theirs.sort_unstable();
        if ours != theirs {
            return;
        }
        let now = time::now();
        {
            let mut state = self.lock();
            for end in &mut state.ends {
                end.get_or_insert((now, LinkError::Failed("connection reset".to_owned())));
            }
        }
        self.wake_all();
    }

    /// Bytes on their way.
    pub fn bytes_under_way(&self) -> u64 {
        let state = self.lock();
        if state.ends.iter().any(Option::is_some) {
            return 0;
        }
        state
            .streams
            .values()
            .flatten()
            .map(|pipe| pipe.bytes as u64)
            .sum()
    }

    /// Closes it on behalf of a node.
    pub fn close_of(&self, site: Site, code: CloseCode, reason: &str) {
        for side in [0, 1] {
            if self.site(side) == site {
                self.close(side, code, reason);
            }
        }
    }

    fn close(&self, side: usize, code: CloseCode, reason: &str) {
        let now = time::now();
        let (travel, _) = self.fabric.travel(self.site(side), self.site(1 - side), 100);
        let is_cut = self.is_cut_towards(1 - side);
        {
            let mut state = self.lock();
            if state.is_gone[side] || state.ends[side].is_some() {
                return;
            }
            let reason = reason.to_owned();
            state.ends[side] = Some((
                now,
                LinkError::ClosedLocally {
                    reason: reason.clone(),
                },
            ));
            if !is_cut && !state.is_gone[1 - side] && state.ends[1 - side].is_none() {
                let due = Moment::after(now.elapsed() + travel);
                state.ends[1 - side] = Some((due, LinkError::ClosedByPeer { code, reason }));
            }
        }
        self.wake_all();
    }

    fn end_of(&self, side: usize) -> Result<(), (Moment, LinkError)> {
        match &self.lock().ends[side] {
            Some(end) => Err(end.clone()),
            None => Ok(()),
        }
    }

    fn open_stream(self: &Arc<Self>, handle: &Arc<Side>) -> Stream {
        let mut state = self.lock();
        let id = state.next_stream;
        state.next_stream += 1;
        state.streams.insert(id, Default::default());
        state.openers.insert(id, handle.side);
        drop(state);
        Side::stream(handle, id)
    }
}

/// One side of a connection; open for as long as somebody holds it.
struct Side {
    wire: Arc<Wire>,
    side: usize,
}

impl Side {
    fn stream(handle: &Arc<Self>, id: u64) -> Stream {
        Stream {
            sender: Box::new(Sender {
                handle: Arc::clone(handle),
                id,
                is_announced: false,
            }),
            receiver: Box::new(Receiver {
                handle: Arc::clone(handle),
                id,
            }),
        }
    }

    /// The error that this side knows of by now.
    fn check(&self) -> Result<(), LinkError> {
        match self.wire.end_of(self.side) {
            Err((due, error)) if due <= time::now() => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until `changed`, or the end becomes known, or `due`.
    async fn wait(&self, changed: &Notify, due: Option<Moment>) {
        let end = self.wire.end_of(self.side).err().map(|(due, _)| due);
        let due = match (due, end) {
            (Some(due), Some(end)) => Some(due.min(end)),
            (due, end) => due.or(end),
        };
        match due {
            Some(due) => {
                tokio::select! {
                    biased;
                    () = changed.notified() => {}
                    () = time::sleep_until(due) => {}
                }
            }
            None => changed.notified().await,
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // As QUIC: nobody holds it any more.
        self.wire.close(self.side, CloseCode::Done, "");
    }
}

/// What the port hands out: its streams hold the side too, as QUIC's do.
struct Handle(Arc<Side>);

#[async_trait]
impl Connection for Handle {
    fn peer(&self) -> &PeerIdentity {
        &self.0.wire.identities[1 - self.0.side]
    }

    async fn open_stream(&self) -> Result<Stream, LinkError> {
        self.0.check()?;
        Ok(self.0.wire.open_stream(&self.0))
    }

    async fn accept_stream(&self) -> Result<Stream, LinkError> {
        let (wire, side) = (&self.0.wire, self.0.side);
        loop {
            self.0.check()?;
            let mut due = None;
            if !wire.is_cut_towards(side) {
                let mut state = wire.lock();
                // Streams overtake each other: whichever has a frame that has arrived.
                let now = time::now();
                let arrivals = state.unaccepted[side]
                    .iter()
                    .enumerate()
                    .filter_map(|(place, id)| {
                        let first = state.streams.get(id)?[side].frames.front()?;
                        Some((first.0, place, *id))
                    });
                match arrivals.min() {
                    Some((arrival, place, id)) if arrival <= now => {
                        state.unaccepted[side].remove(place);
                        drop(state);
                        return Ok(Side::stream(&self.0, id));
                    }
                    Some((arrival, _, _)) => due = Some(arrival),
                    None => {}
                }
            }
            self.0.wait(&wire.changed[side], due).await;
        }
    }

    fn round_trip(&self) -> Duration {
        let (one, other) = (self.0.wire.site(0), self.0.wire.site(1));
        self.0.wire.fabric.base_delay(one, other) + self.0.wire.fabric.base_delay(other, one)
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.0.wire.close(self.0.side, code, reason);
    }

    async fn closed(&self) -> LinkError {
        loop {
            if let Err(error) = self.0.check() {
                return error;
            }
            self.0.wait(&self.0.wire.changed[self.0.side], None).await;
        }
    }
}

struct Sender {
    handle: Arc<Side>,
    id: u64,
    is_announced: bool,
}

impl Sender {
    fn enqueue(&mut self, frame: Bytes) {
        let (wire, side) = (&self.handle.wire, self.handle.side);
        let (from, to) = (wire.site(side), wire.site(1 - side));
        let (travel, twice) = wire.fabric.travel(from, to, frame.len());
        let now = time::now();
        let mut state = wire.lock();
        let Some(pipes) = state.streams.get_mut(&self.id) else {
            return;
        };
        let pipe = &mut pipes[1 - side];
        if !self.is_announced {
            pipe.is_lane = wire.is_link() && matches!(Message::decode(&frame), Ok(Message::OpenLane { .. }));
        }
        let due = Moment::after(now.elapsed() + travel).max(pipe.last_due);
        pipe.last_due = due;
        pipe.bytes += frame.len();
        pipe.frames.push_back((due, frame.clone()));
        if twice && pipe.is_lane && self.is_announced {
            pipe.bytes += frame.len();
            pipe.frames.push_back((due, frame));
            wire.fabric.recorder().reached("batch delivered twice");
        }
        let changed = Arc::clone(&pipe.changed);
        let is_new = !self.is_announced && self.id_is_ours(&state);
        if is_new {
            state.unaccepted[1 - side].push_back(self.id);
        }
        self.is_announced = true;
        drop(state);
        changed.notify_waiters();
        if is_new {
            wire.changed[1 - side].notify_waiters();
        }
    }

    /// Whether this side has opened the stream: only then must the other accept it.
    fn id_is_ours(&self, state: &State) -> bool {
        state.openers.get(&self.id) == Some(&self.handle.side)
    }
}

#[async_trait]
impl FrameSender for Sender {
    async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        loop {
            self.handle.check()?;
            let (has_room, is_stopped, changed) = {
                let state = self.handle.wire.lock();
                let Some(pipes) = state.streams.get(&self.id) else {
                    return Err(LinkError::Failed("the stream is gone".to_owned()));
                };
                let pipe = &pipes[1 - self.handle.side];
                (
                    pipe.bytes == 0 || pipe.bytes + frame.len() <= WINDOW_BYTES,
                    pipe.is_stopped,
                    Arc::clone(&pipe.changed),
                )
            };
            if is_stopped {
                return Err(LinkError::Failed("the peer reads this stream no more".to_owned()));
            }
            if has_room {
                let (from, to) = (
                    self.handle.wire.site(self.handle.side),
                    self.handle.wire.site(1 - self.handle.side),
                );
                self.handle.wire.fabric.recorder().sent(from, to, &frame);
                self.enqueue(frame);
                return Ok(());
            }
            self.handle.wait(&changed, None).await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.handle.wire.lock();
        if state.is_gone[self.handle.side] {
            return; // A crash finishes nothing.
        }
        if let Some(pipes) = state.streams.get_mut(&self.id) {
            let pipe = &mut pipes[1 - self.handle.side];
            pipe.is_finished = true;
            pipe.changed.notify_waiters();
        }
        state.forget_if_over(self.id);
    }
}

struct Receiver {
    handle: Arc<Side>,
    id: u64,
}

#[async_trait]
impl FrameReceiver for Receiver {
    async fn receive(&mut self) -> Result<Option<Bytes>, LinkError> {
        let (wire, side) = (&self.handle.wire, self.handle.side);
        loop {
            self.handle.check()?;
            let is_cut = wire.is_cut_towards(side);
            let mut due = None;
            let changed = {
                let mut state = wire.lock();
                let Some(pipes) = state.streams.get_mut(&self.id) else {
                    return Ok(None);
                };
                let pipe = &mut pipes[side];
                match pipe.frames.front() {
                    Some((arrival, _)) if !is_cut && *arrival <= time::now() => {
                        let (_, frame) = pipe.frames.pop_front().expect("it was looked at just now");
                        pipe.bytes -= frame.len();
                        pipe.changed.notify_waiters();
                        return Ok(Some(frame));
                    }
                    Some((arrival, _)) if !is_cut => due = Some(*arrival),
                    None if pipe.is_finished && !is_cut => return Ok(None),
                    _ => {}
                }
                Arc::clone(&pipe.changed)
            };
            self.handle.wait(&changed, due).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.handle.wire.lock();
        if state.is_gone[self.handle.side] {
            return;
        }
        if let Some(pipes) = state.streams.get_mut(&self.id) {
            let pipe = &mut pipes[self.handle.side];
            pipe.is_stopped = true;
            pipe.changed.notify_waiters();
        }
        state.forget_if_over(self.id);
    }
}
