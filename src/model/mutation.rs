//! The mutation corpus: known bugs that simulation builds can switch on, to see that the checkers would find them. In
//! every other build [`is_on`] is `false` at compile time and nothing of this remains.

/// A bug. Each is a mistake that somebody could make, or that a system like this one has shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Writes are answered when they are handed to the disk, not when they are safe.
    AnswerBeforeSync,
    /// A peer's commits are acknowledged when they arrive, not when they are safe.
    AcknowledgeOnArrival,
    /// Commits are applied without waiting for what they depend on.
    SkipDependencies,
    /// A gap in a replica's seqs is passed over.
    SkipGap,
    /// What was applied is applied and logged again when it arrives again.
    ApplyTwice,
    /// A merged version gets a new stamp.
    RestampOnMerge,
    /// The version that arrives last wins, not the one with the highest stamp.
    LastArrivalWins,
    /// What loses is not put into the ledger.
    ForgetLosers,
    /// A delete leaves no marker, so that an older concurrent write can come back.
    CollectTombstoneEarly,
    /// Of concurrent adds of a member only the newest is kept.
    DropDot,
    /// A remove takes what it has not seen.
    RemoveUnseen,
    /// A remove of a field leaves what it has seen.
    KeepRemovedField,
    /// A counter's totals from other regions are added, not merged.
    AddTotals,
    /// A reset takes what it has not seen.
    ResetUnseen,
    /// A precondition, of whatever type, looks at what is stored and not at the writes before it in the same group.
    StalePrecondition,
    /// A write that names the siblings it replaces takes the others too.
    ReplaceUnseenSiblings,
    /// After a restart stamps begin at the clock, wherever it is, and not behind the last one given.
    ForgetLastStamp,
    /// The vector is not stored with the rows.
    ForgetVector,
    /// A replaced row stays in the digest.
    DigestKeepsOldRow,
    /// The log is cut though a peer still needs it.
    CutLogEarly,
    /// A stamp from the far future is taken in.
    TrustAnyClock,
    /// What the receiver wants again counts as acknowledged: the watermark moves over a gap.
    RewindAcknowledges,
    /// A session's token is not waited for.
    IgnoreSession,
    /// A token covers what the board shows, where groups stand a moment later than in reads.
    TokenFromBoard,
    /// A clock promise names the present time, and takes no heed of commits that are on their way to the disk.
    PromiseTooMuch,
    /// `global_quorum` writes are answered before any other region has them.
    AnswerBeforeMajority,
    /// `global_quorum` reads ask no other region.
    ReadAlone,
    /// What a region has is always called fresh.
    UnderstateStaleness,
    /// Every region serves `strong`.
    StrongAnywhere,
    /// A new home starts before it has what the old one has written.
    StartUnprepared,
    /// An old home says what the new one needs while it still finishes what it has begun.
    HandOverAtOnce,
    /// The leader of a partition takes its own rows' word that its region is the home, and does not ask the configuration's leader.
    LookAtOwnRows,
    /// The operations of a batch become commits of their own.
    SplitBatch,
    /// Of a batch that is refused, what comes before the refused operation stays.
    KeepRefusedBatch,
    /// The outcome of a write with an idempotency key is not stored.
    ForgetIdempotency,
    /// The region's state gets better at the first look that finds nothing.
    FlapHealth,
    /// What came by another way while a fetch went on stays shown as lacking.
    KeepLacking,
    /// A partition that has failed is started again while what it had begun is on its way to the disk.
    RestartAtOnce,
    /// A node's votes are not stored: after a restart it votes again in the same term.
    ForgetVote,
    /// Entries of a group are acknowledged before they are safe.
    AppendBeforeSync,
    /// A snapshot of a partition comes without its vector.
    SnapshotWithoutVector,
    /// A leader answers reads without a lease, though another one may have been elected.
    ReadWithoutLease,
    /// A new leader takes writes before it has applied what those before it have agreed on.
    SkipBarrier,
    /// Who is elected does not learn what its voters have promised, so that its stamps begin at its clock.
    ForgetToldFloor,
    /// Whoever is to vote votes at once, and learns afterwards.
    VoteUnlearned,
    /// The data folders of a node all begin the same life, so that one whose disk was emptied votes again under its old name.
    OneLifeOfAllDisks,
    /// While voters are replaced, what the leader promises and its lease need the new ones only.
    PromiseByNewVoters,
    /// A node that was removed goes on answering.
    ServeRemoved,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 48] = [
        Self::AnswerBeforeSync,
        Self::AcknowledgeOnArrival,
        Self::SkipDependencies,
        Self::SkipGap,
        Self::ApplyTwice,
        Self::RestampOnMerge,
        Self::LastArrivalWins,
        Self::ForgetLosers,
        Self::CollectTombstoneEarly,
        Self::DropDot,
        Self::RemoveUnseen,
        Self::KeepRemovedField,
        Self::AddTotals,
        Self::ResetUnseen,
        Self::StalePrecondition,
        Self::ReplaceUnseenSiblings,
        Self::ForgetLastStamp,
        Self::ForgetVector,
        Self::DigestKeepsOldRow,
        Self::CutLogEarly,
        Self::TrustAnyClock,
        Self::RewindAcknowledges,
        Self::IgnoreSession,
        Self::TokenFromBoard,
        Self::PromiseTooMuch,
        Self::AnswerBeforeMajority,
        Self::ReadAlone,
        Self::UnderstateStaleness,
        Self::StrongAnywhere,
        Self::StartUnprepared,
        Self::HandOverAtOnce,
        Self::LookAtOwnRows,
        Self::SplitBatch,
        Self::KeepRefusedBatch,
        Self::ForgetIdempotency,
        Self::FlapHealth,
        Self::KeepLacking,
        Self::RestartAtOnce,
        Self::ForgetVote,
        Self::AppendBeforeSync,
        Self::SnapshotWithoutVector,
        Self::ReadWithoutLease,
        Self::SkipBarrier,
        Self::ForgetToldFloor,
        Self::VoteUnlearned,
        Self::OneLifeOfAllDisks,
        Self::PromiseByNewVoters,
        Self::ServeRemoved,
    ];
}

#[cfg(feature = "simulation")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Whether a bug is switched on, for this thread: a simulated cluster runs on one.
#[cfg(feature = "simulation")]
#[must_use]
pub fn is_on(mutation: Mutation) -> bool {
    ACTIVE.get() == Some(mutation)
}

/// Whether a bug is switched on: never, in this build.
#[cfg(not(feature = "simulation"))]
#[must_use]
#[inline(always)]
pub fn is_on(_mutation: Mutation) -> bool {
    false
}

/// Switches one bug on for this thread, or all off.
#[cfg(feature = "simulation")]
pub fn switch(mutation: Option<Mutation>) {
    ACTIVE.set(mutation);
}
