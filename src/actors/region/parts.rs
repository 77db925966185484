//! What is about all partitions and no client's session: the conflict ledger, the namespaces with data, the digest. Each node
//! answers for partitions that it holds; a node that does not hold all of them asks few others for the rest, and puts together
//! what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::actors::context::NodeContext;
use crate::actors::error_chain;
use crate::actors::group::RegionGroups;
use crate::actors::region::holding::{AskedInVain, Holding as _};
use crate::actors::region::reading::Within;
use crate::actors::region::{Admission, ConflictPage, DigestView, LocalRegion, Reach, RegionError, reading};
use crate::model::digest::{DigestSum, combined_root};
use crate::model::ids::{Namespace, PartitionId};
use crate::model::limits;
use crate::model::partition_set::PartitionSet;
use crate::model::vector::VersionVector;
use crate::wire::questions::{NodeAnswer, NodeQuestion};

/// How long to wait before all are asked again, where nobody had a partition.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers a question from what is here.
///
/// # Errors
/// When the store fails, or for a question about something else.
pub(crate) fn answer(context: &NodeContext, question: NodeQuestion) -> Result<NodeAnswer, RegionError> {
    let part = match &question {
        NodeQuestion::Conflicts { part, .. }
        | NodeQuestion::Namespaces(part)
        | NodeQuestion::HasData(part, _)
        | NodeQuestion::Digests(part) => *part,
        NodeQuestion::Request { .. } | NodeQuestion::OwnThrough => {
            return Err(RegionError::Internal("a question about no partitions".to_owned()));
        }
    };
    // A peer may name what does not exist.
    let part = part.and(&PartitionSet::all(context.identity.partitions));
    let reach = Reach::These(part);
    let before = holding(context, reach);
    let lacking = not_held(context, reach);
    if before.is_none() {
        return Ok(NodeAnswer::NotHeld(lacking));
    }
    let answer = match question {
        NodeQuestion::Conflicts {
            namespace,
            from,
            limit,
            ..
        } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let found = reading::ledger(
                context.store.as_ref(),
                namespace.as_ref(),
                &from,
                limit,
                within(context, part),
            )?;
            NodeAnswer::Conflicts(found.entries, found.is_cut)
        }
        NodeQuestion::HasData(_, namespace) => NodeAnswer::HasData(reading::has_data(
            context.store.as_ref(),
            &namespace,
            within(context, part),
        )?),
        NodeQuestion::Digests(_) => NodeAnswer::Digests(digests(context, part)),
        _ => NodeAnswer::Namespaces(reading::namespaces(
            context.store.as_ref(),
            within(context, part),
        )?),
    };
    if holding(context, reach) == before {
        return Ok(answer);
    }
    Ok(NodeAnswer::NotHeld(part))
}

/// What is to be left out; nothing where all partitions are asked for.
fn within(context: &NodeContext, part: PartitionSet) -> Option<Within> {
    let count = context.identity.partitions;
    (part != PartitionSet::all(count)).then_some(Within { part, count })
}

fn digests(context: &NodeContext, part: PartitionSet) -> Vec<(PartitionId, u128, VersionVector)> {
    let look = |partition| {
        let board = &context.partitions;
        let (root, vector) = board.read(partition, |view| (view.digest_root, view.vector.clone()));
        (partition, root.0, vector)
    };
    part.iter().map(look).collect()
}

/// See [`Holding::holding`](crate::actors::region::Holding::holding).
pub(super) fn holding(context: &NodeContext, reach: Reach) -> Option<u64> {
    let since = |partition| context.groups.holding_since(partition);
    match reach {
        Reach::Partition(partition) => since(partition),
        Reach::These(part) => part.iter().map(since).sum(),
        Reach::All => context.identity.partitions.ids().map(since).sum(),
    }
}

/// See [`Holding::not_held`](crate::actors::region::Holding::not_held).
pub(super) fn not_held(context: &NodeContext, reach: Reach) -> PartitionSet {
    let mut lacking = PartitionSet::default();
    let mut look = |partition| {
        if !context.groups.holds(partition) {
            lacking.insert(partition);
        }
    };
    match reach {
        Reach::Partition(partition) => look(partition),
        Reach::These(part) => part.iter().for_each(look),
        Reach::All => context.identity.partitions.ids().for_each(look),
    }
    lacking
}

/// The partitions that nobody could be asked for, for people.
pub(crate) fn nobody_holds(partitions: &PartitionSet) -> String {
    let named: Vec<String> = partitions.iter().map(|partition| partition.to_string()).collect();
    format!(
        "no node that is heard holds partition {}: start the nodes that do (`atoll node list` shows who is not reached), or ask another region",
        named.join(", ")
    )
}

impl LocalRegion {
    /// The answers of this node and of as few others as needed, for all partitions.
    async fn gather(
        &self,
        question: impl Fn(PartitionSet) -> NodeQuestion + Send + Sync,
        admission: Option<Admission>,
    ) -> Result<Vec<NodeAnswer>, RegionError> {
        let context = &self.parts.context;
        let all = PartitionSet::all(context.identity.partitions);
        let mut missing = all;
        let mut answers = Vec::new();
        let patience = Duration::from_millis(limits::REQUEST_TIMEOUT_MS_DEFAULT);
        let deadline = tokio::time::Instant::now() + patience;
        let mut in_vain = AskedInVain::new();
        let mut own_part = all.without(&self.not_held(Reach::All));
        let mut admission = admission;
        while !missing.is_empty() {
            if !own_part.is_empty() {
                let (context, asked) = (std::sync::Arc::clone(context), question(own_part));
                let admission = admission.take();
                let reading = context.blocking.run(move || {
                    let answered = answer(&context, asked);
                    drop(admission);
                    answered
                });
                let answered = reading
                    .await
                    .unwrap_or_else(|error| Err(RegionError::Internal(error_chain(&error))))?;
                if !matches!(answered, NodeAnswer::NotHeld(_)) {
                    missing = missing.without(&own_part);
                    answers.push(answered);
                }
                own_part = PartitionSet::default();
                continue;
            }
            let groups = self.parts.groups.as_ref().ok_or_else(|| unavailable(&missing))?;
            missing = ask_others(groups, missing, &question, &mut in_vain, &mut answers, deadline).await?;
        }
        Ok(answers)
    }

    /// See [`Region::namespaces`](crate::actors::region::Region::namespaces).
    pub(super) async fn all_namespaces(&self, admission: Admission) -> Result<Vec<Namespace>, RegionError> {
        let answers = self.gather(NodeQuestion::Namespaces, Some(admission)).await?;
        let mut all: BTreeSet<Namespace> = self.parts.context.namespaces.configured().into_iter().collect();
        for answer in answers {
            if let NodeAnswer::Namespaces(found) = answer {
                all.extend(found);
            }
        }
        Ok(all.into_iter().collect())
    }

    /// Whether a namespace has any record.
    pub(super) async fn has_data(&self, namespace: &Namespace) -> Result<bool, RegionError> {
        let question = |part| NodeQuestion::HasData(part, namespace.clone());
        let answers = self.gather(question, None).await?;
        Ok(answers
            .iter()
            .any(|answer| matches!(answer, NodeAnswer::HasData(true))))
    }

    /// See [`Region::conflicts`](crate::actors::region::Region::conflicts).
    pub(super) async fn all_conflicts(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&str>,
        limit: usize,
        admission: Admission,
    ) -> Result<ConflictPage, RegionError> {
        let from = after.map(reading::start_after).transpose()?.unwrap_or_default();
        let question = |part| NodeQuestion::Conflicts {
            part,
            namespace: namespace.cloned(),
            from: Bytes::from(from.clone()),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let answers = self.gather(question, Some(admission)).await?;
        let pages = answers.into_iter().filter_map(|answer| match answer {
            NodeAnswer::Conflicts(entries, is_cut) => Some(reading::Ledger { entries, is_cut }),
            _ => None,
        });
        let merged = reading::Ledger::merge(pages, limit);
        merged.into_page()
    }

    /// See [`Region::digest`](crate::actors::region::Region::digest).
    pub(super) async fn whole_digest(&self) -> Result<DigestView, RegionError> {
        let answers = self.gather(NodeQuestion::Digests, None).await?;
        let mut found: BTreeMap<PartitionId, (DigestSum, VersionVector)> = BTreeMap::new();
        for answer in answers {
            if let NodeAnswer::Digests(digests) = answer {
                let digests = digests.into_iter();
                found.extend(digests.map(|(partition, root, vector)| (partition, (DigestSum(root), vector))));
            }
        }
        let partitions = self.parts.context.identity.partitions.ids();
        let partitions: Vec<_> = partitions
            .map(|partition| found.remove(&partition).unwrap_or_default())
            .collect();
        let roots: Vec<_> = partitions.iter().map(|(root, _)| *root).collect();
        Ok(DigestView {
            root: combined_root(&roots),
            partitions,
        })
    }
}

/// One round of asking other nodes; what is still missing afterwards.
async fn ask_others(
    groups: &RegionGroups,
    missing: PartitionSet,
    question: &(impl Fn(PartitionSet) -> NodeQuestion + Send + Sync),
    in_vain: &mut AskedInVain,
    answers: &mut Vec<NodeAnswer>,
    deadline: tokio::time::Instant,
) -> Result<PartitionSet, RegionError> {
    let patience = deadline.saturating_duration_since(tokio::time::Instant::now());
    if patience.is_zero() {
        return Err(unavailable(&missing));
    }
    let asked = match groups.cover(missing, in_vain) {
        Ok(asked) => asked,
        // Those who lead have the partition: where nobody does there is nothing to wait for.
        Err(lacking) if in_vain.is_empty() => return Err(unavailable(&lacking)),
        Err(_) => {
            in_vain.clear();
            tokio::time::sleep(PAUSE).await;
            return Ok(missing);
        }
    };
    let asking = asked.into_iter().map(|(node, part)| async move {
        let answered = groups.ask_question(node, question(part), patience).await;
        (node, part, answered)
    });
    let mut left = missing;
    for (node, part, answered) in futures_util::future::join_all(asking).await {
        let not_here = match answered {
            Ok(Ok((answer, _))) => {
                left = left.without(&part);
                answers.push(answer);
                continue;
            }
            Ok(Err(not_held)) => not_held.and(&part),
            Err(error) => {
                tracing::debug!(%node, %error, "a node of the region does not answer for its partitions");
                part
            }
        };
        in_vain.extend(not_here.iter().map(|partition| (node, partition)));
    }
    Ok(left)
}

fn unavailable(partitions: &PartitionSet) -> RegionError {
    RegionError::Unavailable {
        reason: nobody_holds(partitions),
        outcome_unknown: false,
    }
}
