// The consensus core: Raft as a pure, deterministic state machine. No sockets, files, threads or
// clocks.
//
// Read in this order:
//   types.h entry.h message.h      the vocabulary
//   configuration.h quorum.h       who decides
//   log.h                          entries in memory, and the terms of all the others
//   progress.h                     what the leader knows about one follower
//   rounds.h                       linearizable reads and anchors
//   raft.h                         this file: one group on one node
//     raft.cc            inputs, terms, durability        election.cc   PreVote, votes, CheckQuorum
//     leader.cc          replication and commit           follower.cc   appends, heartbeats
//     reads.cc           ReadIndex on both sides    snapshots.cc      what the log no longer holds
//
// Use: feed inputs, then call TakeReady() and do what it says. Not thread-safe: one thread owns it.
// Sections in comments are those of Ongaro's thesis.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "raft/configuration.h"
#include "raft/log.h"
#include "raft/message.h"
#include "raft/options.h"
#include "raft/progress.h"
#include "raft/rounds.h"
#include "raft/snapshot.h"
#include "raft/types.h"

namespace quorate::raft {

// Who this node is.
struct Self {
  NodeId id = kNoNode;
  Uuid uuid;
  std::uint64_t boot_id = 0;  // random per process; also keeps read ids of two lives apart
};

// What the disk held when the process started. All of it is durable.
struct InitialState {
  HardState hard_state;
  LogContents log;
  Configuration base_configuration;  // in force before the first configuration entry of the log
  std::vector<std::pair<Index, Configuration>> configurations;  // those in the log, ascending
  Index applied = 0;  // known committed: what the state machine holds
};

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };
const char* ToString(Role role);

// Identifies one AppendBatch. Those of older terms are dropped: (term, index) alone is fooled by a
// tail that is cut and written again (D3, ClickHouse Keeper #102629).
struct DurabilityToken {
  Term term = 0;               // the node's current term when the batch was issued
  std::uint64_t sequence = 0;  // ascending over the life of the process
  Position last;               // of the log at issue; for kTokenByPosition and for people
  friend bool operator==(const DurabilityToken&, const DurabilityToken&) = default;
};

// Write these in order, sync, then call OnDurable(token). An entry with index i replaces whatever
// the log held from i on.
struct AppendBatch {
  DurabilityToken token;
  // First of all empty the log, which then starts behind this position: a snapshot took its place.
  std::optional<SnapshotMark> reset;
  std::optional<HardState> hard_state;
  std::vector<Entry> entries;
};

enum class ReadFailure {
  kNone,
  kNoLeader,       // nobody to ask
  kLeaderChanged,  // asked a leader that no longer leads, or is unreachable; ask again
  kNoQuorum,  // this node led, and could not confirm within an election timeout that it still does
  kOverloaded,  // more reads wait than Options::max_forwarded_reads
};

// Answers RequestRead(id): once applied >= index the state is as fresh as the moment of the
// request.
struct ReadResult {
  std::uint64_t id = 0;
  ReadFailure failure = ReadFailure::kNone;
  Index index = 0;
  bool via_leader = false;  // another node confirmed it
};

struct SoftState {
  Role role = Role::kFollower;
  Term term = 0;
  NodeId leader = kNoNode;
  friend bool operator==(const SoftState&, const SoftState&) = default;
};

// Entries that a follower needs and memory no longer holds: read them from the log, then call
// OnFetched().
struct FetchRequest {
  NodeId to = kNoNode;
  Index first = 0;
  Index last = 0;  // inclusive; fewer may be returned
  std::size_t max_bytes = 0;
};

// A snapshot that the leader keeps, for this node to fetch.
struct OfferedSnapshot {
  NodeId from = kNoNode;
  std::uint64_t snapshot = 0;
  Position position;
};

// Everything to do now. Messages may be sent at once, before `append` is durable: what must wait,
// the core holds back.
struct Ready {
  std::vector<Message> messages;
  std::optional<AppendBatch> append;
  std::vector<FetchRequest> fetches;
  std::vector<ReadResult> reads;
  std::optional<SoftState> soft;  // if it changed
  Index apply_to = 0;  // committed and durable here: apply up to this (durable, or a crash would
                       // leave the state machine ahead of its own log)
  std::optional<OfferedSnapshot> offered;  // fetch it, then call OnSnapshotInstalled()
  bool wants_snapshot =
      false;  // a follower needs one: take one, then call OnSnapshotKept(). Repeated
};

enum class ProposeError {
  kNotLeader,
  kOverloaded,
  kTransferring,
  kDiskFull,  // this node, or so many that no quorum is left, has no room for more entries
};

// How fresh this node's knowledge is (D6.3): everything committed anywhere by local time `at` has
// index <= `index`.
struct Freshness {
  Index index = 0;
  Time at{0};
};

class Raft {
 public:
  // `seed` drives the election timeouts and nothing else.
  Raft(Options options, Self self, InitialState initial, Time now, std::uint64_t seed);

  // --- Inputs. `now` never goes back.
  // -------------------------------------------------------------------------------
  void Step(Time now, Message message);
  void Tick(Time now);  // call at or after NextDeadline(); early calls are harmless
  Time NextDeadline() const;

  struct Proposed {
    Index first = 0;  // commands get consecutive indexes from here, all in `term`
    Term term = 0;
  };
  // Appends the commands, or none of them. Committed once apply_to reaches the index while the log
  // there has `term`.
  std::variant<Proposed, ProposeError> Propose(Time now, std::span<const Bytes> commands);
  // Answered by exactly one ReadResult with this id. Ids are the caller's; one request may stand
  // for many reads.
  void RequestRead(Time now, std::uint64_t id);
  // Hands leadership to a voter once it has the whole log; gives up after an election timeout
  // (thesis 3.10).
  void TransferLeadership(Time now, NodeId target);

  // The batch is on disk; so are all before it.
  void OnDurable(Time now, const DurabilityToken& token);
  void OnApplied(Index applied);
  // Answers a FetchRequest; `entries` start at its `first`. Empty: could not be read, try later.
  void OnFetched(Time now, NodeId to, std::vector<Entry> entries);
  // This node keeps a snapshot for others to fetch, or no longer does. At most one counts: the
  // last.
  void OnSnapshotKept(std::uint64_t snapshot, Position position);
  void OnSnapshotDropped(std::uint64_t snapshot);
  // Whether installing a snapshot at this position would gain anything: it is ahead of what is
  // committed here.
  bool WantsInstalled(Position position) const;
  // The state machine has durably become that of `mark`, which must be ahead of applied(). What the
  // log holds behind it stays, if it continues it; else the log starts anew there.
  void OnSnapshotInstalled(Time now, const SnapshotMark& mark);
  // The log no longer holds entries up to `start`, which must be applied.
  void OnLogCut(Position start);
  // A follower that would need entries below `index` costs less by a snapshot.
  void PreferSnapshotBelow(Index index) { prefer_snapshot_below_ = index; }
  // Whether this node has room for more entries on its disk. Without, it takes only a few more,
  // such as a new leader's first one, and hands leadership over.
  void OnDiskFull(bool full);
  // Messages to `peer` were probably lost (a connection broke).
  void OnUnreachable(NodeId peer);
  // The own clock went back. Its earlier readings say nothing any more of how long ago something
  // was: whatever anchor rests on them, here or on its way, is forgotten.
  void OnClockJump();

  Ready TakeReady(Time now);

  // --- What the node knows.
  // -----------------------------------------------------------------------------------------
  Role role() const;
  Term term() const { return hard_state_.term; }
  NodeId leader() const;
  NodeId id() const { return self_.id; }
  const Self& self() const { return self_; }
  const HardState& hard_state() const { return hard_state_; }
  const Log& log() const { return log_; }
  Index commit() const { return commit_; }
  Index durable() const { return durable_; }
  Index applied() const { return applied_; }
  const Configuration& configuration() const { return configurations_.back().second; }
  const Options& options() const { return options_; }
  const std::optional<Freshness>& freshness() const { return freshness_; }
  // The leader's view of each other member; empty on other roles.
  const std::map<NodeId, Progress>& progress() const;
  // When this leader last confirmed with a quorum that it leads; nothing on other roles or before
  // the first time.
  std::optional<Time> last_confirmed() const;
  // A message of a leader, or the moments that count as one (raft.cc).
  Time leader_heard() const { return leader_heard_; }
  bool DiskStuck(
      Time now) const;  // a sync has been outstanding for longer than an election timeout
  bool transferring() const;
  bool disk_full() const { return disk_full_; }
  // Of the snapshot that it keeps for others; {0, 0}: none.
  Position kept_snapshot() const { return kept_ ? kept_->position : Position{}; }

 private:
  struct Follower {
    NodeId leader = kNoNode;
  };
  struct Candidate {
    bool pre_vote = true;
    bool transfer = false;
    std::map<NodeId, bool> votes;
  };
  struct Leader {
    std::map<NodeId, Progress> peers;
    Rounds rounds;
    Index term_start = 0;  // of the first entry of this term: nothing is served before it commits
    Time next_heartbeat{0};
    NodeId transfer_to = kNoNode;
    Time transfer_deadline{0};
    bool timeout_now_sent = false;
  };
  // A batch on its way to the disk.
  struct Outstanding {
    DurabilityToken token;
    HardState hard_state;   // durable once the batch is
    Index last = 0;         // the log's last index at issue, lowered if the tail is cut afterwards
    Time waiting_since{0};  // its issue, or the end of the sync before it
  };
  // A read of this node that a leader elsewhere must answer.
  struct ForwardedRead {
    std::uint64_t read = 0;
    Time requested{0};
    Time sent{0};                // of this attempt
    std::uint64_t clock_id = 0;  // that `sent` was read from
    Duration patience{0};        // before the next
  };

  // raft.cc
  void Send(NodeId to, MessageBody body);
  void SendDurably(NodeId to, MessageBody body);  // once the current term and vote are on disk
  void BecomeFollower(Time now, Term term, NodeId leader,
                      ReadFailure why = ReadFailure::kLeaderChanged);
  void SetHardState(HardState state);
  bool HardStateDurable() const { return durable_hard_state_ == hard_state_; }
  void ReleaseHeld();
  void AppendToLog(Entry entry);
  void TruncateLog(Index from);
  void CommitTo(Index index);
  void IssueBatch(Time now, Ready& ready);
  bool IsImpostor(const Message& message) const;
  bool HandleTerm(Time now, const Message& message);  // false: the message is dealt with
  ClockReading Clock(Time now) const { return {now, clock_id_}; }

  Leader* AsLeader() { return std::get_if<Leader>(&role_); }
  const Leader* AsLeader() const { return std::get_if<Leader>(&role_); }

  // election.cc
  Duration RandomBelow(Duration limit);
  void ResetElectionTimer(Time now);
  bool HeardFromLeader(Time now) const;
  bool MayCampaign(Time now) const;
  bool UpToDate(Position last) const;
  void Campaign(Time now, bool pre_vote, bool transfer);
  void CountVotes(Time now);
  void BecomeLeader(Time now);
  void Handle(Time now, NodeId from, const VoteRequest& request);
  void Handle(Time now, NodeId from, const VoteReply& reply);
  void Handle(Time now, NodeId from, const TimeoutNow& request);
  void CheckQuorum(Time now);
  void MaybeSendTimeoutNow();

  // leader.cc
  void TickLeader(Time now);
  void SendHeartbeat(NodeId id, Progress& peer);
  void HandOverAnchor(Time now, NodeId id, Progress& peer);
  void SendAppends(Time now, NodeId id, Progress& peer);
  void SendAppend(Time now, NodeId id, Progress& peer, std::vector<Entry> entries);
  void LeaveProbe(Time now, Progress& peer, Index verified);
  void Refused(Progress& peer, const AppendReply& reply);
  void AdvanceCommit();
  void RecordMember(NodeId from, const Uuid& uuid);
  void MaybeEstablish();
  Progress* Heard(Time now, NodeId from, std::uint64_t round, const ClockReading& clock, bool full);
  void Handle(Time now, NodeId from, const AppendReply& reply);
  void Handle(Time now, NodeId from, const HeartbeatReply& reply);

  // follower.cc
  void Handle(Time now, NodeId from, Append& append);
  void Handle(Time now, NodeId from, const Heartbeat& heartbeat);
  void Acknowledge(Time now);
  void Adopt(const std::optional<Anchor>& anchor);

  // snapshots.cc
  bool LogReaches(const Progress& peer) const;
  void OfferSnapshot(Time now, NodeId id, Progress& peer);
  void Handle(Time now, NodeId from, const SnapshotOffer& offer);
  void StartLogAt(const SnapshotMark& mark);
  bool TakesOnFullDisk(const Entry& entry);
  bool DisksAreFull(Time now) const;
  void HandOverIfFull(Time now);

  // reads.cc
  void Handle(Time now, NodeId from, const ReadIndexRequest& request);
  void Handle(Time now, NodeId from, const ReadIndexReply& reply);
  void TakeUpRead(Leader& leader, WaitingRead read);
  void ForwardRead(Time now, ForwardedRead read);
  void AnswerRead(const WaitingRead& read, ReadFailure failure);
  void FailReads(ReadFailure failure);
  void RetryForwardedReads(Time now);
  void StartRound(Time now);
  bool RoundDue(Time now) const;
  void ConfirmRounds();
  void NoteConfirmed(const Round& round);
  std::uint64_t AcknowledgedRound(NodeId but_for) const;
  bool TermStartCommitted() const;

  const Options options_;
  const Self self_;
  std::mt19937_64 random_;

  HardState hard_state_;
  HardState durable_hard_state_;
  Log log_;
  std::vector<std::pair<Index, Configuration>>
      configurations_;  // the last is in force; earlier ones if cut back
  Index commit_ = 0;
  Index applied_ = 0;
  Index durable_ = 0;   // of this node's log
  Index verified_ = 0;  // equals the leader's log up to here, proven in this term

  std::variant<Follower, Candidate, Leader> role_;
  Time leader_heard_{0};  // for stickiness: votes are withheld for one election timeout after it
  Time election_deadline_{0};

  std::uint64_t next_sequence_ = 1;
  std::deque<Outstanding> outstanding_;
  std::optional<SnapshotMark> reset_;  // of the log, before what follows
  std::vector<Entry> unwritten_;       // appended since the last batch
  bool hard_state_changed_ = false;
  std::vector<std::pair<NodeId, MessageBody>>
      held_;                      // replies that wait for term and vote to be durable
  bool acknowledge_ = false;      // an append ack is due, once term and vote are durable
  std::uint64_t round_seen_ = 0;  // highest round of the leader's, this term

  struct KeptSnapshot {
    std::uint64_t id = 0;
    Position position;
  };
  std::optional<KeptSnapshot> kept_;
  Index prefer_snapshot_below_ = 0;
  bool disk_full_ = false;
  std::size_t full_allowance_ = 0;  // bytes of entries still taken on a full disk

  std::optional<Freshness> freshness_;
  std::uint64_t clock_id_;  // a new one when the clock goes back, or the process starts
  std::uint64_t next_read_id_;
  std::map<std::uint64_t, ForwardedRead> forwarded_;

  SoftState reported_;
  Ready ready_;
};

}  // namespace quorate::raft
