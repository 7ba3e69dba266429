// Linearizable reads from any node: numbered ReadIndex rounds (thesis 6.4, D6.2), and the anchors
// that they yield (D6.3).
#include <algorithm>

#include "raft/raft.h"

namespace quorate::raft {

bool Raft::TermStartCommitted() const {
  return AsLeader() != nullptr && commit_ >= AsLeader()->term_start;
}

void Raft::RequestRead(Time now, std::uint64_t id) {
  if (Leader* leader = AsLeader()) {
    TakeUpRead(*leader, {kNoNode, id, 0});
  } else {
    ForwardRead(now, {.read = id, .requested = now, .sent = now, .patience = options_.read_retry});
  }
}

void Raft::Handle(Time, NodeId from, const ReadIndexRequest& request) {
  const WaitingRead read{from, request.id, 0};
  if (Leader* leader = AsLeader()) {
    TakeUpRead(*leader, read);
  } else {
    AnswerRead(read, ReadFailure::kLeaderChanged);
  }
}

void Raft::TakeUpRead(Leader& leader, WaitingRead read) {
  if (leader.rounds.waiting.size() >= options_.max_forwarded_reads) {
    return AnswerRead(read, ReadFailure::kOverloaded);
  }
  if (Broken(options_.control, Control::kUnconfirmedRead) && TermStartCommitted()) {
    read.index = commit_;
    return AnswerRead(read, ReadFailure::kNone);
  }
  if (Broken(options_.control, Control::kInFlightRoundAck) && !leader.rounds.in_flight.empty()) {
    read.index = commit_;
    leader.rounds.in_flight.back().reads.push_back(read);
    return;
  }
  leader.rounds.waiting.push_back(read);
}

void Raft::ForwardRead(Time now, ForwardedRead read) {
  ReadFailure failure = ReadFailure::kNone;
  if (leader() == kNoNode) {
    failure = ReadFailure::kNoLeader;
  } else if (forwarded_.size() >= options_.max_forwarded_reads) {
    failure = ReadFailure::kOverloaded;
  } else if (now - read.requested >= options_.election) {
    failure = ReadFailure::kLeaderChanged;  // it is heard, and does not hear or cannot answer
  }
  if (failure != ReadFailure::kNone) {
    ready_.reads.push_back({read.read, failure, 0, false});
    return;
  }
  const std::uint64_t id = next_read_id_++;
  read.sent = now;
  read.clock_id = clock_id_;
  forwarded_[id] = read;
  Send(leader(), ReadIndexRequest{id});
}

// A request or its reply may be lost. Each attempt has its own id, so that a late answer to an old
// one cannot stand for a read that began after it (etcd #20418); and each waits longer than the
// last, so that over a link slower than the first wait an answer still finds its attempt.
void Raft::RetryForwardedReads(Time now) {
  std::vector<ForwardedRead> again;
  std::erase_if(forwarded_, [&](const auto& item) {
    const bool late = now - item.second.sent >= item.second.patience;
    if (late) again.push_back(item.second);
    return late;
  });
  for (ForwardedRead& read : again) {
    read.patience = std::min(read.patience * 2, read.requested + options_.election - now);
    ForwardRead(now, read);
  }
}

void Raft::Handle(Time, NodeId from, const ReadIndexReply& reply) {
  const auto it = forwarded_.find(reply.id);
  if (it == forwarded_.end() || from != leader()) return;
  const ForwardedRead forwarded = it->second;
  forwarded_.erase(it);
  if (!reply.granted) {
    ready_.reads.push_back({forwarded.read, ReadFailure::kLeaderChanged, 0, true});
    return;
  }
  // The answer is an anchor too: all that was committed when the request left is <= index (D6.3).
  Adopt(Anchor{reply.index, {forwarded.sent, forwarded.clock_id}});
  CommitTo(std::min(reply.index, verified_));
  ready_.reads.push_back({forwarded.read, ReadFailure::kNone, reply.index, true});
}

// All reads that wait share the next round.
bool Raft::RoundDue(Time now) const {
  const Rounds& rounds = AsLeader()->rounds;
  const bool may_serve = TermStartCommitted() || Broken(options_.control, Control::kReadBeforeNoop);
  if (rounds.waiting.empty() || rounds.Full() || !may_serve) return false;
  return rounds.in_flight.empty() ||
         now - rounds.in_flight.back().started >= options_.round_spacing;
}

void Raft::StartRound(Time now) {
  Leader* leader = AsLeader();
  const bool own_term = log_.TermAt(commit_) == term();
  const bool take_reads =
      TermStartCommitted() || Broken(options_.control, Control::kReadBeforeNoop);
  Round& round = leader->rounds.Start(now, commit_, own_term, take_reads);
  for (const auto& [id, peer] : leader->peers) {
    if (peer.clock) round.clocks[id] = *peer.clock;
  }
  for (auto& [id, peer] : leader->peers) SendHeartbeat(id, peer);
  ConfirmRounds();  // a sole voter confirms at once
}

// The highest round that a quorum has acknowledged. `but_for` counts as having acknowledged them
// all.
std::uint64_t Raft::AcknowledgedRound(NodeId but_for) const {
  const Leader* leader = AsLeader();
  return QuorumValue(configuration().voters, [&](NodeId id) {
    if (id == self_.id || id == but_for) return leader->rounds.last_number;
    const auto peer = leader->peers.find(id);
    return peer == leader->peers.end() ? 0 : peer->second.round;
  });
}

void Raft::ConfirmRounds() {
  Leader* leader = AsLeader();
  for (const Round& round : leader->rounds.Confirm(AcknowledgedRound(kNoNode))) {
    for (const WaitingRead& read : round.reads) AnswerRead(read, ReadFailure::kNone);
    NoteConfirmed(round);
  }
  if (Broken(options_.control, Control::kAnchorShortQuorum) && !leader->peers.empty()) {
    const std::uint64_t acknowledged = AcknowledgedRound(leader->peers.begin()->first);
    for (const Round& round : leader->rounds.in_flight) {
      if (round.number <= acknowledged) NoteConfirmed(round);
    }
  }
}

// Anchors for the peers and for this node. Not unless the entry at the round's commit index is of
// the leader's own term: an older leader may have committed more than this one knows of.
void Raft::NoteConfirmed(const Round& round) {
  if (!round.own_term && !Broken(options_.control, Control::kAnchorAnyTerm)) return;
  Adopt(Anchor{round.commit, {round.started, clock_id_}});
  const bool late = Broken(options_.control, Control::kAnchorLateClocks);
  for (const auto& [id, clock] : round.clocks) {
    const auto found = AsLeader()->peers.find(id);
    if (found == AsLeader()->peers.end()) continue;
    Progress& peer = found->second;
    peer.anchor = Anchor{round.commit, late && peer.clock ? *peer.clock : clock};
  }
}

void Raft::AnswerRead(const WaitingRead& read, ReadFailure failure) {
  if (read.from == kNoNode) {
    ready_.reads.push_back({read.id, failure, read.index, false});
  } else {
    Send(read.from, ReadIndexReply{read.id, failure == ReadFailure::kNone, read.index});
  }
}

void Raft::FailReads(ReadFailure failure) {
  if (Leader* leader = AsLeader()) {
    for (const WaitingRead& read : leader->rounds.waiting) AnswerRead(read, failure);
    for (const Round& round : leader->rounds.in_flight) {
      for (const WaitingRead& read : round.reads) AnswerRead(read, failure);
    }
    leader->rounds.waiting.clear();
    leader->rounds.in_flight.clear();
  }
  for (const auto& [id, read] : forwarded_) {
    ready_.reads.push_back({read.read, ReadFailure::kLeaderChanged, 0, true});
  }
  forwarded_.clear();
}

}  // namespace quorate::raft
