//! What the nodes of the simulated region do, as a node will: each step asks the models and does what they say.

use super::*;

impl World {
    /// What a node does each 100 ms: a heartbeat, a commit if it leads, and standing for election.
    pub(super) fn look(&mut self, number: usize) {
        self.schedule(100 * MS, number, Event::Look);
        self.heartbeat(number);
        if self.nodes[number].leads().is_some() {
            self.propose(number);
        } else {
            self.maybe_stand(number);
        }
    }

    fn heartbeat(&mut self, number: usize) {
        let (is_leading, broken) = (self.nodes[number].leads().is_some(), self.broken);
        let (now, wall) = (
            self.nodes[number].tick(self.now),
            self.nodes[number].wall(self.now),
        );
        let id = self.nodes[number].id;
        let process = self.nodes[number].process.as_mut().unwrap();
        let mut wanted = Hlc::ZERO;
        if is_leading {
            wanted = process.last_stamp.max(Hlc::from_wall(wall));
            process.last_stamp = wanted;
        }
        let suspects = process.liveness.suspected(now);
        let heartbeat = process.leases.send(now);
        let leads = process.leases.leads();
        let message = Message::Heartbeat {
            number: heartbeat,
            leads: leads.clone(),
            wanted,
            suspects,
        };
        self.broadcast(number, &message);
        let (excepted, stamp) = self.acknowledge(number, id, &leads, wanted);
        self.acknowledged(number, id, heartbeat, &excepted, stamp);
        let process = self.nodes[number].process.as_mut().unwrap();
        if let Some((_, promise)) = &mut process.promise {
            if broken == Break::LeaderStoresNothing {
                promise.acknowledged(id, Hlc(u64::MAX));
            }
            let alone = Voters::new([id].into());
            let is_alone = broken == Break::PromiseAlone;
            let promised = promise.promise(wanted, if is_alone { &alone } else { &self.voters });
            self.promised = self.promised.max(promised);
        }
    }

    fn propose(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let epoch = node.leads().unwrap();
        let wall = Hlc::from_wall(node.wall(self.now));
        let process = node.process.as_mut().unwrap();
        let stamp = wall.max(process.last_stamp.plus(1));
        process.last_stamp = stamp;
        // Whoever is asked for an entry of this epoch later than the vote for another does not take it.
        if node.vote == Some(epoch) && process.storing.is_none() {
            process.proposals.insert(stamp, (self.promised, [node.id].into()));
            self.broadcast(number, &Message::Append(epoch, stamp));
        }
    }

    fn maybe_stand(&mut self, number: usize) {
        let stands = if self.is_wild {
            self.numbers.percent(self.stand_percent)
        } else {
            self.is_due(number)
        };
        let broken = self.broken;
        let node = &mut self.nodes[number];
        let now = node.tick(self.now);
        let epoch = Epoch {
            term: node.vote.map_or(1, |vote| vote.term + 1),
            leader: node.id,
        };
        let process = node.process.as_mut().unwrap();
        if stands && (broken == Break::OwnVoteIsFree || process.votes.ask(now, GROUP, epoch)) {
            self.store_vote(number, number, epoch);
        }
    }

    fn is_due(&mut self, number: usize) -> bool {
        let order: Vec<MemberId> = self.nodes.iter().map(|node| node.id).collect();
        let node = &mut self.nodes[number];
        let now = node.tick(self.now);
        let process = node.process.as_mut().unwrap();
        if !process.liveness.is_leaderless(now, GROUP, &self.voters) {
            process.candidacy.led();
            return false;
        }
        let gone = process.liveness.suspected(now);
        process
            .candidacy
            .is_due(now, node.id, &order, |voter| gone.contains(&voter))
    }

    fn store_vote(&mut self, number: usize, to: usize, epoch: Epoch) {
        let delay = self.numbers.below(self.vote_ms * MS);
        let process = self.nodes[number].process.as_mut().unwrap();
        if self.broken == Break::PromiseWhileStoring {
            process.votes.settle(GROUP, false);
        }
        process.storing = Some(epoch);
        self.schedule(delay, number, Event::VoteStored(to, epoch));
    }

    pub(super) fn vote_stored(&mut self, number: usize, to: usize, epoch: Epoch) {
        let node = &mut self.nodes[number];
        let now = node.tick(self.now);
        node.steps_down();
        node.vote = node.vote.max(Some(epoch));
        let id = node.id;
        let process = node.process.as_mut().unwrap();
        process.candidacy.voted(now);
        process.storing = None;
        process.votes.settle(GROUP, true);
        process.votes.saw(GROUP, epoch);
        let floor = process.floor.floor();
        if to == number {
            process.campaign = Some((epoch, [(id, floor)].into()));
            self.broadcast(number, &Message::AskVote(epoch));
        } else {
            self.send(number, to, Message::Vote(epoch, floor));
        }
    }

    pub(super) fn deliver(&mut self, number: usize, from: usize, message: Message) {
        let from_id = self.nodes[from].id;
        match message {
            Message::Heartbeat {
                number: heartbeat,
                leads,
                wanted,
                suspects,
            } => {
                let node = &mut self.nodes[number];
                let now = node.tick(self.now);
                let process = node.process.as_mut().unwrap();
                let groups = leads.keys().copied().collect();
                process.liveness.heard(now, from_id, groups, suspects);
                // In the wild everybody is acknowledged: safety does not rest on it.
                if self.is_wild || process.liveness.is_mutual(now, from_id) {
                    let (excepted, stamp) = self.acknowledge(number, from_id, &leads, wanted);
                    let answer = Message::Acknowledge {
                        number: heartbeat,
                        excepted,
                        stamp,
                    };
                    self.send(number, from, answer);
                }
            }
            Message::Acknowledge {
                number: heartbeat,
                excepted,
                stamp,
            } => self.acknowledged(number, from_id, heartbeat, &excepted, stamp),
            Message::AskVote(epoch) => self.vote_asked(number, from, epoch),
            Message::Vote(epoch, floor) => self.voted(number, from_id, epoch, floor),
            Message::Append(epoch, stamp) => self.append(number, from, epoch, stamp),
            Message::Appended(epoch, stamp) => self.appended(number, from_id, epoch, stamp),
        }
    }

    /// What a voter answers to a heartbeat; also the leader itself.
    fn acknowledge(
        &mut self,
        number: usize,
        sender: MemberId,
        leads: &BTreeMap<PartitionId, u64>,
        wanted: Hlc,
    ) -> (Vec<PartitionId>, Hlc) {
        let delay = self.numbers.below(self.floor_ms * MS);
        let node = &mut self.nodes[number];
        let (now, wall) = (node.tick(self.now), node.wall(self.now));
        let process = node.process.as_mut().unwrap();
        let mut excepted = process.votes.acknowledge(now, sender, leads);
        if self.broken == Break::AcknowledgeOldLeader {
            excepted.clear();
        }
        let step = process.floor.ask(wall, wanted);
        let stamp = if self.broken == Break::FloorNotDurable {
            process.floor.floor()
        } else {
            process.floor.acknowledged()
        };
        if let Some(step) = step {
            self.schedule_floor(number, delay, step);
        }
        (excepted, stamp)
    }

    fn acknowledged(
        &mut self,
        number: usize,
        from: MemberId,
        heartbeat: HeartbeatNumber,
        excepted: &[PartitionId],
        stamp: Hlc,
    ) {
        let node = &mut self.nodes[number];
        let now = node.tick(self.now);
        let process = node.process.as_mut().unwrap();
        let counted = if self.broken == Break::CountReceipt {
            process.leases.send(now)
        } else {
            heartbeat
        };
        let groups = process.leases.acknowledged(from, counted, excepted);
        let counts = groups.contains(&GROUP);
        if let Some((_, promise)) = process.promise.as_mut().filter(|_| counts) {
            promise.acknowledged(from, stamp);
        }
    }

    fn vote_asked(&mut self, number: usize, from: usize, epoch: Epoch) {
        let is_refused = self.is_wild && self.numbers.percent(10);
        let node = &mut self.nodes[number];
        let now = node.tick(self.now);
        let process = node.process.as_mut().unwrap();
        if node.vote >= Some(epoch) || process.storing.is_some() || !process.votes.ask(now, GROUP, epoch) {
            return;
        }
        // As if this node's log were longer.
        if is_refused {
            process.votes.settle(GROUP, false);
        } else {
            self.store_vote(number, from, epoch);
        }
    }

    fn voted(&mut self, number: usize, from: MemberId, epoch: Epoch, floor: Hlc) {
        let node = &mut self.nodes[number];
        let process = node.process.as_mut().unwrap();
        let Some((_, floors)) = process.campaign.as_mut().filter(|(own, _)| *own == epoch) else {
            return;
        };
        floors.insert(from, floor);
        let is_elected = self
            .voters
            .reached_by_majority(|voter| floors.contains_key(&voter));
        if !is_elected || node.vote != Some(epoch) || process.storing.is_some() {
            return;
        }
        let (_, floors) = process.campaign.take().unwrap();
        let is_told = self.broken != Break::FloorNotTold;
        let told = floors
            .into_iter()
            .filter(|(voter, _)| is_told || *voter == node.id);
        let told: Vec<Hlc> = told.map(|(_, floor)| floor).collect();
        process.won = Some((epoch, told.iter().copied().max().unwrap()));
        let is_adopted = self.broken != Break::FloorNotAdopted;
        let step = is_adopted.then(|| process.floor.adopt(told)).flatten();
        self.elected = self.elected.max(Some(epoch));
        self.elections += 1;
        if let Some(step) = step {
            let delay = self.numbers.below(self.floor_ms * MS);
            self.schedule_floor(number, delay, step);
        }
        self.maybe_lead(number);
    }

    /// What goes to the disk gets there in the order in which it was sent.
    fn schedule_floor(&mut self, number: usize, delay: u64, step: Hlc) {
        let process = self.nodes[number].process.as_mut().unwrap();
        let at = process.floor_stored_at.max(self.now + delay);
        process.floor_stored_at = at;
        self.schedule(at - self.now, number, Event::FloorStored(step));
    }

    pub(super) fn maybe_lead(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let process = node.process.as_mut().unwrap();
        let is_adopted = self.broken != Break::FloorNotAdopted;
        let is_stored = |(_, floor): &(Epoch, Hlc)| !is_adopted || process.floor.acknowledged() >= *floor;
        let Some((epoch, floor)) = process.won.filter(is_stored) else {
            return;
        };
        process.won = None;
        let promise = StampPromise::new(node.id, process.floor.floor().max(floor));
        process.last_stamp = process.last_stamp.max(promise.floor());
        process.leases.lead(GROUP, epoch.term);
        process.promise = Some((epoch, promise));
        node.led = Some(epoch);
        self.heartbeat(number);
    }

    fn append(&mut self, number: usize, from: usize, epoch: Epoch, stamp: Hlc) {
        let node = &mut self.nodes[number];
        let storing = node.process.as_ref().unwrap().storing;
        if node.vote.max(storing) > Some(epoch) {
            return;
        }
        if node.vote < Some(epoch) {
            node.vote = Some(epoch);
            node.steps_down();
        }
        node.process.as_mut().unwrap().votes.saw(GROUP, epoch);
        self.send(number, from, Message::Appended(epoch, stamp));
    }

    fn appended(&mut self, number: usize, from: MemberId, epoch: Epoch, stamp: Hlc) {
        if self.nodes[number].leads() != Some(epoch) {
            return;
        }
        let process = self.nodes[number].process.as_mut().unwrap();
        let Some((promised, holders)) = process.proposals.get_mut(&stamp) else {
            return;
        };
        holders.insert(from);
        if self.voters.reached_by_majority(|voter| holders.contains(&voter)) {
            // `<=`: a promise includes the stamp itself.
            if stamp <= *promised {
                self.violation = Some(Violation::Stamp);
            }
            self.commits += 1;
            process.proposals.remove(&stamp);
        }
    }

    /// Nobody who runs believes in its lease when a later leader was elected: that one may have committed already.
    pub(super) fn check(&mut self) {
        for node in self.nodes.iter().filter(|node| node.paused_until <= self.now) {
            let (Some(epoch), Some(process)) = (node.leads(), &node.process) else {
                continue;
            };
            let longer = if self.broken == Break::LongLease { 500 } else { 0 };
            let now = node.tick(self.now).minus_millis(longer);
            if process.leases.holds(now, GROUP, epoch.term, &self.voters) {
                self.leased_looks += 1;
                if self.elected > Some(epoch) {
                    self.violation = Some(Violation::Lease);
                }
            }
        }
    }
}
