//! Every limit of the store, each with the reason for its number (DESIGN rule 11: nothing is unbounded).

/// Region, node and cluster names: they are parts of DNS labels (63) in certificates and of every dot, so short.
pub const LABEL_BYTES_MAX: usize = 24;

/// Namespace names, by the HTTP contract (they fit a DNS label, as bucket names must later).
pub const NAMESPACE_BYTES_MIN: usize = 2;
/// See [`NAMESPACE_BYTES_MIN`].
pub const NAMESPACE_BYTES_MAX: usize = 63;

/// Keys, members and fields, by the HTTP contract (the limit of S3 keys, so that objects fit later).
pub const KEY_BYTES_MAX: usize = 1024;

/// Register and field values, by the HTTP contract; larger things are objects.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// `Content-Type` of a register. Real ones are under 100 bytes; the row must not grow by a header.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// Partitions of a cluster. Each costs a digest (16 KiB) and a vector in heartbeats; 1024 serve hundreds of nodes.
pub const PARTITIONS_MAX: u16 = 1024;

/// Regions of a cluster. Every vector has an entry for each; full-mesh links grow with the square.
pub const REGIONS_MAX: usize = 32;

/// Bytes of `regions.toml`: [`REGIONS_MAX`] regions of [`NODES_PER_REGION_MAX`] nodes, generously commented.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Nodes of a region, so that configuration and status stay readable.
pub const NODES_PER_REGION_MAX: usize = 256;

/// Replicas of a partition in a region: 7 survive the loss of three nodes at once, and every write waits for four.
pub const REPLICATION_FACTOR_MAX: usize = 7;

/// Nodes that `atoll dev` runs in each region, at most: their ports are 100 apart.
pub const DEV_NODES_MAX: usize = 9;

/// Operations of one request on a set or map: keeps a commit under [`COMMIT_BYTES_MAX`] with keys of full length.
pub const OPERATIONS_PER_REQUEST_MAX: usize = 1000;

/// Changes in one commit. Larger groups gain nothing: one fsync is already shared by that many.
pub const COMMIT_CHANGES_MAX: usize = 1024;

/// Bytes of payload and keys in one commit: one request's largest body plus as much again for grouping.
/// A commit is the unit of every queue and frame, so this bounds them.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Body of one HTTP request that carries operations: [`OPERATIONS_PER_REQUEST_MAX`] members of
/// full length, JSON-escaped, still fit.
pub const REQUEST_BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Body of a batch: operations worth [`COMMIT_BYTES_MAX`], their values in base64, with names and braces around them.
pub const BATCH_BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// `Idempotency-Key`, by the HTTP contract: a UUID has 36.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How long the outcome of a request with an idempotency key is remembered, by the HTTP contract: a day.
pub const IDEMPOTENCY_SECONDS: u64 = 24 * 60 * 60;
/// Outcomes that a partition remembers; over it writes with a key get 503 until some have expired. With 64 partitions
/// 700 such writes a second all day long.
pub const IDEMPOTENCY_RECORDS_MAX: u64 = 1024 * 1024;
/// The same in bytes, since the outcome of a batch has an entry for each operation: 250 bytes for each outcome.
pub const IDEMPOTENCY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Expired outcomes that one group of a partition forgets, each second: as many as a commit may have changes, so that
/// no client waits longer behind it than behind other writes. With 64 partitions 65 000 a second, more than are made.
pub const IDEMPOTENCY_SWEEP_MAX: usize = COMMIT_CHANGES_MAX;

/// Payload of one frame between regions: the largest commit with room for its keys, vectors and siblings in a batch.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often the nodes of a region tell each other that they live, in milliseconds: a node that is gone is suspected within
/// half a second, and leases of less than a second bear the loss of several signs.
pub const SIGN_INTERVAL_MS: u64 = 100;
/// Signs of life whose acknowledgement still counts: 1.6 s of them. Leases that rest on older ones would be over.
pub const SIGNS_UNACKNOWLEDGED_MAX: usize = 16;
/// Places for requests of this node to another one of its region that wait or are under way, and for requests that one
/// connection of such a node has under way here. 1024 partitions have a few each. Over it requests are refused here, and
/// not read there.
pub const MESH_PLACES_MAX: usize = 4096;
/// A request takes one place for each so many bytes that it begins, so that all together hold 64 MiB.
pub const MESH_PLACE_BYTES: usize = 16 * 1024;
/// Body of one request between nodes of a region: a frame with room for what is around it.
pub const MESH_BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 1024;
/// What one such request is answered with: what became of a write of many operations
/// ([`VERDICT_BYTES_MAX`](crate::wire::region_calls::VERDICT_BYTES_MAX)); all other answers are less than a hundredth of it.
/// Answers wait for their asker to read them, so [`MESH_PLACES_MAX`] of them must fit into memory.
pub const MESH_ANSWER_BYTES_MAX: usize = 128 * 1024;
/// Words that say why there is no answer: some sentences.
pub const MESH_REASON_BYTES_MAX: usize = 1024;
/// Bytes of requests or answers that are put into one frame, unless a single one is larger: a fraction of a millisecond
/// on a network inside a region.
pub const MESH_FRAME_BYTES: usize = 256 * 1024;
/// How long one request waits for its answer at most, in milliseconds: as long as a request of a client may. A place is
/// held as long.
pub const MESH_PATIENCE_MS_MAX: u64 = REQUEST_TIMEOUT_MS_MAX;

/// How often a node that is not founded asks the others, in milliseconds: an operator who starts a region notices nothing.
pub const FOUNDING_ASK_INTERVAL_MS: u64 = 200;
/// How old the answer of another node may be when a region is founded, in milliseconds: some questions may be lost, and a
/// node that has gone away again is waited for.
pub const FOUNDING_ANSWER_MS_MAX: u64 = 2000;
/// How often a node that is not founded says for whom it waits, in milliseconds.
pub const FOUNDING_LOG_INTERVAL_MS: u64 = 5000;
/// Questions of other nodes about the founding that wait here: each node asks one at a time.
pub const FOUNDING_QUESTIONS_MAX: usize = NODES_PER_REGION_MAX;

/// Bytes of commits in one batch, unless a single commit is larger: two fill a typical window at 100 ms and 160 Mbit/s.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Commits that a partition holds back while it waits for their dependencies; beyond it the sender is told to
/// rewind, since a hole that large is filled faster by sending again than by keeping everything. The regions share it
/// evenly, so that those that depend on each other advance together.
pub const HELD_COMMITS_MAX: usize = 4096;
/// The same in bytes: 64 partitions that all wait stay under 1 GiB.
pub const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Changes on their way to one peer without acknowledgement. 100 k changes/s at 300 ms round trip need 30 k.
pub const UNACKED_CHANGES_MAX: u64 = 65_536;
/// The same in bytes: a bandwidth-delay product of 2 Gbit/s at 250 ms.
pub const UNACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Unread bytes that a peer may send on one connection, all streams together: whatever is on its way without
/// acknowledgement fits, and one more frame, so that control frames pass while the lanes are full.
pub const CONNECTION_WINDOW_BYTES: usize = UNACKED_BYTES_MAX + FRAME_BYTES_MAX;
/// Unread bytes that a peer may send on one stream: half of [`UNACKED_BYTES_MAX`], so that one lane that stands still
/// cannot take the connection from the others. 1 Gbit/s at 250 ms for a single lane.
pub const STREAM_WINDOW_BYTES: usize = UNACKED_BYTES_MAX / 2;
/// Streams that a peer may have open on one connection. Lanes and control need about ten; each request that waits for
/// another region has one of its own, and with more a peer could make us hold state for nothing.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 512;
/// Incoming handshakes at a time. All nodes of a large cluster that dial at once after an outage are through within
/// a few round trips; above it peers are told to come again. From half of it on, a peer must first prove its address.
pub const HANDSHAKES_MAX: usize = 64;
/// Connections whose handshake is done and that wait to be taken by `accept`.
pub const ACCEPTED_CONNECTIONS_QUEUED_MAX: usize = 64;
/// Addresses of one host name that are tried in one dial: an IPv4 and an IPv6 address, with room for round robin.
pub const DIAL_ADDRESSES_MAX: usize = 4;
/// Bytes of the words that go with closing a connection: one sentence, and it must fit into one packet.
pub const CLOSE_REASON_BYTES_MAX: usize = 200;
/// Refused handshakes that a node remembers, for its status.
pub const REFUSALS_KEPT_MAX: usize = 32;

/// One partition may take up one n-th of these at most, so that one that stands still leaves room for the others.
pub const UNACKED_SHARES: usize = 4;

/// Requests of clients that a node works on or queues at a time; over it they get 503 with `Retry-After`. At 40 k
/// writes a second this is 200 ms of queue.
pub const ADMITTED_REQUESTS_MAX: usize = 8192;
/// Bytes of bodies of such requests.
pub const ADMITTED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Remote commits queued at a partition, by peer, before its lane is held back.
pub const REMOTE_COMMITS_QUEUED_MAX: usize = 1024;

/// Entries of a listing page when the client names none, and at most.
pub const LISTING_DEFAULT: usize = 1000;
/// See [`LISTING_DEFAULT`]: a page of full-length keys stays near 10 MiB.
pub const LISTING_MAX: usize = 10_000;
/// Bytes of values in one page of map fields, so that 10 000 fields of 1 MiB do not become one answer.
pub const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer that another region gives in this one's stead: [`LISTING_BYTES_MAX`] with what JSON adds to it.
pub const FORWARDED_ANSWER_BYTES_MAX: usize = 4 * LISTING_BYTES_MAX;
/// One frame of such an answer: small enough that other streams get their turn.
pub const ANSWER_PART_BYTES: usize = 256 * 1024;

/// `Atoll-Max-Staleness-Ms`: a day; whoever takes older data need not ask.
pub const STALENESS_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Entries of a page of the conflict ledger when the client names no limit, and at most. Each may hold a value of
/// [`VALUE_BYTES_MAX`], so pages are shorter than listings of keys.
pub const CONFLICTS_DEFAULT: usize = 100;
/// See [`CONFLICTS_DEFAULT`].
pub const CONFLICTS_MAX: usize = 1000;

/// How long a write waits for its outcome when the client names no time, by the HTTP contract, and at most: what waits
/// holds a place among the admitted requests.
pub const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// See [`REQUEST_TIMEOUT_MS_DEFAULT`].
pub const REQUEST_TIMEOUT_MS_MAX: u64 = 60_000;

/// How long the body of a request may take to arrive: 1 MiB at 300 kbit/s. A client that stalls must not keep its
/// admission.
pub const BODY_READ_MS_MAX: u64 = 30_000;

/// What is read and thrown away of a body that an error was found for, so that the client has sent it and reads the
/// error instead of finding its connection reset. Clients with more to send may see the reset.
pub const DISCARDED_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long that may take.
pub const DISCARDED_BODY_MS_MAX: u64 = 5_000;

/// Life of a register in seconds, at most: ten years of 365 days. Longer is for ever in practice, and probably
/// milliseconds by mistake.
pub const TTL_SECONDS_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// Versions that one register row keeps under the policy `siblings` (LESSONS 4): 32 regions writing at once.
pub const SIBLINGS_MAX: usize = 64;

/// Versions that one write says it replaces: no register has more, since each region stops its own writers at
/// [`SIBLINGS_MAX`].
pub const CONTEXT_DOTS_MAX: usize = REGIONS_MAX * SIBLINGS_MAX;

/// Entries of the conflict ledger that a node keeps; the oldest go first, counted and logged.
pub const LEDGER_ENTRIES_MAX: u64 = 1_000_000;

/// Leaves of a partition's digest, as a power of two: at 10 M rows in 64 partitions a leaf covers 150 rows, and all
/// leaves of a node take 1 MiB.
pub const DIGEST_LEAF_BITS: u32 = 10;

/// How long a commit waits for what must come before it until somebody is asked for that: longer than lanes of one
/// link, or two links, usually differ; short against what a person notices.
pub const GAP_PATIENCE_MS: u64 = 200;

/// How long one fetch of missing commits may take before it is given up and asked anew.
pub const FETCH_TIMEOUT_MS: u64 = 10_000;

/// Changes that one fetch asks for: half of what a partition holds back, so that the answer is not thrown away.
pub const FETCH_CHANGES_MAX: u64 = HELD_COMMITS_MAX as u64 / 2;

/// Longest pause between fetches that bring a partition nothing.
pub const FETCH_BACKOFF_MS_MAX: u64 = 10_000;

/// How long a peer's own changes may be lacking, though its heartbeats tell of them, until they are fetched: the lanes
/// bring them much sooner unless something went wrong.
pub const STUCK_AFTER_MS: u64 = 2_000;

/// Partitions whose leaders are asked at a time what a new home must have: each waits for what it has under way, and few wait
/// long.
pub const SETTLING_PARTITIONS_MAX: usize = 64;
/// How long a leader among several nodes hears of its own region's changes that it lacks until its disk counts as the one that
/// has lost them: twice the silence after which a leader that was deposed is given up, by itself too (decision 0018).
pub const OWN_LOSS_AFTER_MS: u64 = 2_000;

/// Bytes of raft entries that one message to a follower carries (a single larger entry still goes): as a batch between
/// regions, and far above what commits while a message within the region is under way.
pub const RAFT_READ_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// Entries of a group that stay in its log after they were applied, and as many again before it is cut: who lacks more is sent the
/// whole partition.
pub const RAFT_ENTRIES_KEPT: u64 = 512;
/// The last entries of a group that stay in memory, so that sending and applying them reads nothing from the store: followers
/// are a few behind at most, unless they have failed.
pub const RAFT_RECENT_ENTRIES_MAX: usize = 32;
/// Their bytes: 1024 partitions then hold 64 MiB at most, and a few for small writes.
pub const RAFT_RECENT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of records in one chunk of a snapshot, and of one write of its installation: as a batch between regions. Both
/// sides hold a few of them.
pub const SNAPSHOT_CHUNK_BYTES: usize = BATCH_BYTES_MAX;
/// Key of one record of a snapshot: the longest, of a member, has 2 KiB and a little.
pub const SNAPSHOT_KEY_BYTES_MAX: usize = 4 * 1024;
/// Value of one record of a snapshot: a register of [`SIBLINGS_MAX`] values of [`VALUE_BYTES_MAX`], twice over.
pub const SNAPSHOT_VALUE_BYTES_MAX: usize = 2 * SIBLINGS_MAX * VALUE_BYTES_MAX;

/// Write sets that wait at the group committer: one for each partition with log, trim and cursor work beside it.
pub const COMMIT_QUEUE_SETS_MAX: usize = 8192;
/// The same in bytes: with [`ADMITTED_BYTES_MAX`] of bodies this bounds what waits for the disk.
pub const COMMIT_QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of one group (a single larger set still goes): 16 ms at 1 GB/s, so that a group of large values does not
/// hold up the small ones behind it for long.
pub const COMMIT_GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a write set that counts as a trim of old data and may use half of the disk reserve: a range and a few
/// cursors are well under it, a batch of commits is not.
pub const TRIM_BYTES_MAX: usize = 16 * 1024;

/// How long a reading of the volume's free space holds, in milliseconds. Nothing fills a gigabyte of reserve in it.
pub const DISK_CHECK_INTERVAL_MS: u64 = 100;
/// The same in bytes written by this store.
pub const DISK_CHECK_BYTES: u64 = 4 * 1024 * 1024;

/// Failures of a partition's actor within [`PARTITION_FAILURES_WINDOW_MS`] after which it is started again; one more stops
/// it: what fails at once each time would fail for ever.
pub const PARTITION_FAILURES_MAX: usize = 5;
/// See [`PARTITION_FAILURES_MAX`]. A minute.
pub const PARTITION_FAILURES_WINDOW_MS: u64 = 60_000;
/// Before a failed partition is started again, in milliseconds: short for its clients, long for a processor.
pub const PARTITION_RESTART_DELAY_MS: u64 = 100;

/// Pause between attempts to reopen the store after a failed write, in milliseconds: each replays the write-ahead log.
pub const STORE_REOPEN_INTERVAL_MS: u64 = 1000;
/// How long reopening waits for scans under way, in milliseconds; reads wait for as long, so it is short.
pub const STORE_REOPEN_WAIT_MS: u64 = 2000;

/// Views of a store that are open at a time. Each has a thread, and what is removed meanwhile takes space: one for each
/// node that is behind, of few partitions at a time.
pub const STORE_VIEWS_MAX: usize = 16;
/// How long a view of a store may be open, in milliseconds: 10 minutes bring 6 GB over 100 Mbit/s, more than a partition has.
pub const STORE_VIEW_MS_MAX: u64 = 10 * 60 * 1000;

/// Write-ahead log that the store keeps before it flushes the oldest family: replayed at start after a kill, at
/// 100 MB/s or more, so 3 of the 5 seconds that a restart may take.
pub const STORE_WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Files that one store keeps open: three regions of `atoll dev` stay under the usual limit of 1024 descriptors. What is
/// needed of a file's index stays in the block cache, so that opening one again is cheap.
pub const STORE_OPEN_FILES_MAX: i32 = 256;

/// Flushes and compactions at a time: with more, they starve the foreground on small machines.
pub const STORE_BACKGROUND_JOBS_MAX: i32 = 2;

/// Size and number of the storage engine's own diagnostic logs (`LOG`, `LOG.old.*`).
pub const STORE_LOG_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// See [`STORE_LOG_FILE_BYTES_MAX`].
pub const STORE_LOG_FILES_MAX: usize = 4;

/// Bytes that wait before the transmitter of one direction of `atoll wan`; what does not fit is dropped, as by a router:
/// 84 ms at 100 Mbit/s.
pub const WAN_QUEUE_BYTES_MAX: u64 = 1024 * 1024;
/// The same in time, for thin links: later the packet would be of no use, as it was sent again.
pub const WAN_QUEUE_MS_MAX: u64 = 2_000;
/// Bytes on their way in one direction of `atoll wan`: 1 Gbit/s over 250 ms one way.
pub const WAN_HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What one held packet counts beyond its payload: the memory of its entry, so that small packets are bounded, too.
pub const WAN_HELD_PACKET_BYTES: usize = 128;
/// Senders that one listener of `atoll wan` knows at a time. A node has one socket, so this is one of many restarts;
/// over it the one that was silent for longest is forgotten.
pub const WAN_FLOWS_MAX: usize = 64;
/// Silence after which a sender is forgotten: far beyond the transport's idle timeout of seconds, so that the path of a
/// living connection never changes.
pub const WAN_FLOW_IDLE_MS_MAX: u64 = 120_000;
/// Time to resolve the name of a target; packets to it wait in the socket meanwhile.
pub const WAN_RESOLVE_MS_MAX: u64 = 2_000;
/// Body of a call that changes a link of `atoll wan`: six numbers, generously spaced.
pub const WAN_CHANGE_BYTES_MAX: usize = 4 * 1024;
