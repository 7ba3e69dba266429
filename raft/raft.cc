#include "raft/raft.h"

#include <algorithm>

#include "raft/assert.h"

namespace quorate::raft {

const char* ToString(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "unknown";
}

Raft::Raft(Options options, Self self, InitialState initial, Time now, std::uint64_t seed)
    : options_(options),
      self_(self),
      random_(seed),
      hard_state_(initial.hard_state),
      durable_hard_state_(initial.hard_state),
      log_(std::move(initial.log)),
      configurations_(std::move(initial.configurations)),
      commit_(std::max(initial.applied, log_.first() - 1)),
      applied_(initial.applied),
      durable_(log_.last()),
      verified_(commit_),
      role_(Follower{}),
      clock_id_(self.boot_id),
      next_read_id_(self.boot_id) {
  QUORATE_ASSERT(self_.id != kNoNode, "a node has an id");
  QUORATE_ASSERT(applied_ <= log_.last(), "the state machine is never ahead of its own log");
  configurations_.insert(configurations_.begin(), {0, std::move(initial.base_configuration)});
  reported_ = {role(), term(), leader()};
  // A leader that this node promised a lease to in an earlier life may still rely on it: votes are
  // withheld for one election timeout after a start as well (D6.2). A sole voter has nobody to wait
  // for.
  leader_heard_ = now;
  ResetElectionTimer(now);
  if (configuration().voters.IsSole(self_.id)) election_deadline_ = now;
}

Role Raft::role() const {
  if (AsLeader() != nullptr) return Role::kLeader;
  const auto* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr) return Role::kFollower;
  return candidate->pre_vote ? Role::kPreCandidate : Role::kCandidate;
}

NodeId Raft::leader() const {
  if (AsLeader() != nullptr) return self_.id;
  const auto* follower = std::get_if<Follower>(&role_);
  return follower == nullptr ? kNoNode : follower->leader;
}

const std::map<NodeId, Progress>& Raft::progress() const {
  static const std::map<NodeId, Progress> kNone;
  return AsLeader() == nullptr ? kNone : AsLeader()->peers;
}

std::optional<Time> Raft::last_confirmed() const {
  return AsLeader() == nullptr ? std::nullopt : AsLeader()->rounds.last_confirmed;
}

bool Raft::transferring() const {
  return AsLeader() != nullptr && AsLeader()->transfer_to != kNoNode;
}

bool Raft::DiskStuck(Time now) const {
  return !outstanding_.empty() && now - outstanding_.front().waiting_since > options_.election;
}

void Raft::Step(Time now, Message message) {
  if (message.to != self_.id || message.from == self_.id) return;
  if (IsImpostor(message) || !HandleTerm(now, message)) return;
  RecordMember(message.from, message.from_uuid);
  std::visit([&](auto& body) { Handle(now, message.from, body); }, message.body);
}

// A wiped node that starts again under its old id has forgotten what it voted for and acknowledged:
// its votes and acks would elect a leader without committed entries, or commit entries that nobody
// holds (D4).
bool Raft::IsImpostor(const Message& message) const {
  const bool counts = std::holds_alternative<VoteReply>(message.body) ||
                      std::holds_alternative<AppendReply>(message.body) ||
                      std::holds_alternative<HeartbeatReply>(message.body);
  const Member* member = configuration().Find(message.from);
  return counts && member != nullptr && !member->uuid.empty() && member->uuid != message.from_uuid;
}

// Compares terms before anything else (Raft, figure 2). Returns whether the message is still of
// interest.
bool Raft::HandleTerm(Time now, const Message& message) {
  const bool from_leader = std::holds_alternative<Append>(message.body) ||
                           std::holds_alternative<Heartbeat>(message.body) ||
                           std::holds_alternative<SnapshotOffer>(message.body);
  const auto* vote = std::get_if<VoteRequest>(&message.body);
  if (message.term < term()) {
    // Tell a deposed leader or a candidate from the past which term it is, or a partitioned node
    // that comes back with a higher term could never rejoin. The reply promises nothing, so it need
    // not wait for the disk.
    if (from_leader) Send(message.from, HeartbeatReply{});
    if (vote != nullptr)
      Send(message.from, VoteReply{vote->pre_vote, vote->for_term, false, vote->boot_id});
    // A voter that is behind answers a pre-vote from its own term: a forecast, not a promise.
    const auto* reply = std::get_if<VoteReply>(&message.body);
    return reply != nullptr && reply->pre_vote;
  }
  if (message.term > term()) {
    if (vote != nullptr && vote->pre_vote)
      return true;  // a question about the future changes nothing here
    // Leader stickiness: while the leader is alive, a node that cannot hear it must not depose it
    // (thesis 4.2.3).
    if (vote != nullptr && !vote->transfer && (AsLeader() != nullptr || HeardFromLeader(now)))
      return false;
    BecomeFollower(now, message.term, from_leader ? message.from : kNoNode);
    return true;
  }
  if (from_leader) {
    QUORATE_ASSERT(AsLeader() == nullptr, "one leader per term");
    if (leader() != message.from) BecomeFollower(now, term(), message.from);
  }
  return true;
}

void Raft::BecomeFollower(Time now, Term new_term, NodeId leader, ReadFailure why) {
  QUORATE_ASSERT(new_term >= term(), "terms never go back");
  FailReads(why);
  // Its own leadership is over, so nothing keeps this node from voting for the next leader.
  if (AsLeader() != nullptr) leader_heard_ = now - options_.election;
  if (new_term > term()) {
    SetHardState({new_term, kNoNode});
    held_.clear();  // replies of an older term
    acknowledge_ = false;
    verified_ = commit_;  // committed entries are in every later leader's log (leader completeness)
    round_seen_ = 0;
  }
  role_ = Follower{leader};
  ResetElectionTimer(now);
}

void Raft::SetHardState(HardState state) {
  hard_state_ = state;
  hard_state_changed_ = true;
}

void Raft::Send(NodeId to, MessageBody body) {
  ready_.messages.push_back({self_.id, to, self_.uuid, term(), std::move(body)});
}

void Raft::SendDurably(NodeId to, MessageBody body) {
  if (HardStateDurable()) return Send(to, std::move(body));
  // Only the latest of a kind: while a disk is stuck the leader goes on asking.
  std::erase_if(held_, [&](const auto& held) {
    return held.first == to && held.second.index() == body.index();
  });
  held_.emplace_back(to, std::move(body));
}

void Raft::ReleaseHeld() {
  for (auto& [to, body] : held_) Send(to, std::move(body));
  held_.clear();
}

void Raft::AppendToLog(Entry entry) {
  if (entry.kind == EntryKind::kConfiguration) {
    auto decoded = Configuration::Decode(entry.data.view());
    QUORATE_ASSERT(decoded.has_value(), "a configuration entry decodes");
    configurations_.emplace_back(entry.index, std::move(*decoded));
  }
  if (Broken(options_.control, Control::kAckBeforeSync)) durable_ = entry.index;
  unwritten_.push_back(entry);
  log_.Append(std::move(entry));
}

void Raft::TruncateLog(Index from) {
  QUORATE_ASSERT(from > commit_, "committed entries are never cut");
  log_.Truncate(from);
  std::erase_if(unwritten_, [from](const Entry& entry) { return entry.index >= from; });
  while (configurations_.back().first >= from) configurations_.pop_back();
  // What is on its way to the disk beyond this point no longer speaks for the log (D3: 100 at T1,
  // at T2, at T1 again).
  for (Outstanding& batch : outstanding_) batch.last = std::min(batch.last, from - 1);
  durable_ = std::min(durable_, from - 1);
}

void Raft::CommitTo(Index index) {
  if (index <= commit_) return;
  QUORATE_ASSERT(index <= log_.last(), "only what is in the log commits");
  commit_ = index;
  while (configurations_.size() > 1 && configurations_[1].first <= commit_) {
    configurations_.erase(configurations_.begin());
  }
}

std::variant<Raft::Proposed, ProposeError> Raft::Propose(Time now,
                                                         std::span<const Bytes> commands) {
  Leader* leader = AsLeader();
  if (leader == nullptr) return ProposeError::kNotLeader;
  if (leader->transfer_to != kNoNode) return ProposeError::kTransferring;
  if (DisksAreFull(now)) return ProposeError::kDiskFull;
  if (log_.BytesAfter(applied_) >= options_.max_backlog_bytes) return ProposeError::kOverloaded;
  const Proposed proposed{log_.last() + 1, term()};
  for (const Bytes& command : commands) {
    AppendToLog({term(), log_.last() + 1, EntryKind::kCommand, command});
  }
  return proposed;
}

void Raft::OnDurable(Time now, const DurabilityToken& token) {
  // Only news is acknowledged: an ack that nobody asked for would tell a probing leader that the
  // logs agree no further than this.
  const Index acknowledgeable = std::min(verified_, durable_);
  Outstanding done;
  while (!outstanding_.empty() && outstanding_.front().token.sequence <= token.sequence) {
    done = std::move(outstanding_.front());
    outstanding_.pop_front();
  }
  // The disk moves: what queued behind this sync has not been waiting for its own.
  if (!outstanding_.empty()) outstanding_.front().waiting_since = now;
  if (Broken(options_.control, Control::kTokenByPosition)) {
    if (log_.Matches(token.last)) durable_ = std::max(durable_, token.last.index);
  } else if (token.term != term() || done.token != token) {
    return;
  } else {
    durable_ = std::max(durable_, done.last);
  }
  durable_hard_state_ = done.hard_state;
  if (HardStateDurable()) {
    ReleaseHeld();
    CountVotes(now);  // a candidate's own vote counts from here
  }
  if (AsLeader() != nullptr) {
    AdvanceCommit();
  } else if (std::min(verified_, durable_) > acknowledgeable) {
    acknowledge_ = true;
  }
}

void Raft::OnClockJump() {
  freshness_.reset();
  ++clock_id_;
  if (Leader* leader = AsLeader()) {
    for (Round& round : leader->rounds.in_flight) round.own_term = false;
  }
}

void Raft::OnApplied(Index applied) {
  QUORATE_ASSERT(applied <= commit_ &&
                     (applied <= durable_ || Broken(options_.control, Control::kApplyUndurable)),
                 "applied entries are committed and durable");
  applied_ = std::max(applied_, applied);
}

void Raft::Tick(Time now) {
  RetryForwardedReads(now);
  if (AsLeader() != nullptr) {
    TickLeader(now);
  } else if (now >= election_deadline_) {
    ResetElectionTimer(now);
    if (MayCampaign(now)) Campaign(now, /*pre_vote=*/true, /*transfer=*/false);
  }
}

Time Raft::NextDeadline() const {
  Time next = election_deadline_;
  if (const Leader* leader = AsLeader()) {
    next = leader->next_heartbeat;
    if (!leader->rounds.waiting.empty() && TermStartCommitted() && !leader->rounds.Full() &&
        !leader->rounds.in_flight.empty()) {
      next = std::min(next, leader->rounds.in_flight.back().started + options_.round_spacing);
    }
  }
  for (const auto& [id, read] : forwarded_) next = std::min(next, read.sent + read.patience);
  return next;
}

void Raft::IssueBatch(Time now, Ready& ready) {
  if (!hard_state_changed_ && unwritten_.empty() && !reset_) return;
  AppendBatch batch;
  batch.token = {term(), next_sequence_++, log_.last_position()};
  if (hard_state_changed_) batch.hard_state = hard_state_;
  batch.reset = std::exchange(reset_, std::nullopt);
  batch.entries = std::exchange(unwritten_, {});
  hard_state_changed_ = false;
  outstanding_.push_back({batch.token, hard_state_, log_.last(), now});
  ready.append = std::move(batch);
}

Ready Raft::TakeReady(Time now) {
  if (Leader* leader = AsLeader()) {
    if (RoundDue(now)) StartRound(now);
    for (auto& [id, peer] : leader->peers) {
      SendAppends(now, id, peer);
      HandOverAnchor(now, id, peer);
    }
    MaybeSendTimeoutNow();
  } else if (acknowledge_ && HardStateDurable() && this->leader() != kNoNode) {
    Acknowledge(now);
  }
  Ready ready = std::exchange(ready_, {});
  IssueBatch(now, ready);
  const bool undurable = Broken(options_.control, Control::kApplyUndurable);
  ready.apply_to = undurable ? commit_ : std::min(commit_, durable_);
  const SoftState soft{role(), term(), leader()};
  if (soft != reported_) ready.soft = reported_ = soft;
  // A leader's unapplied entries stay, so that the backlog is counted; a follower can read its own
  // from disk.
  log_.Evict(AsLeader() != nullptr ? std::min(durable_, applied_) : durable_,
             options_.max_cached_bytes);
  return ready;
}

}  // namespace quorate::raft
