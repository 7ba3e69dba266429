// Elections: PreVote (thesis 9.6), votes (3.4), leader stickiness (4.2.3), CheckQuorum (6.2),
// transfer (3.10).
#include <algorithm>

#include "raft/assert.h"
#include "raft/raft.h"

namespace quorate::raft {

Duration Raft::RandomBelow(Duration limit) {
  return Duration(random_() % static_cast<std::uint64_t>(limit.count()));
}

void Raft::ResetElectionTimer(Time now) {
  election_deadline_ = now + options_.election + RandomBelow(options_.election);
}

bool Raft::HeardFromLeader(Time now) const {
  return now - leader_heard_ < options_.election;
}

// A node whose disk is stuck could not persist a vote or an entry: it would lead nobody anywhere
// (hashicorp/raft #503). A sole voter has no one else to leave the work to; but it too waits for
// the vote that is on its way to the disk, or a disk slower than the timeout would never see one
// count.
bool Raft::MayCampaign(Time now) const {
  const VoterSet& voters = configuration().voters;
  if (!voters.Contains(self_.id) || !HardStateDurable()) return false;
  return !DiskStuck(now) || voters.IsSole(self_.id);
}

// Raft 5.4.1.
bool Raft::UpToDate(Position last) const {
  const Position own = log_.last_position();
  return last.term > own.term || (last.term == own.term && last.index >= own.index);
}

void Raft::Campaign(Time now, bool pre_vote, bool transfer) {
  FailReads(ReadFailure::kLeaderChanged);
  Candidate candidate{.pre_vote = pre_vote, .transfer = transfer, .votes = {}};
  if (pre_vote) {
    candidate.votes[self_.id] = true;
  } else {
    BecomeFollower(now, term() + 1, kNoNode);  // everything that a new term resets
    SetHardState({term(), self_.id});          // its own vote counts once it is durable
  }
  role_ = std::move(candidate);
  const VoteRequest request{pre_vote, pre_vote ? term() + 1 : term(), log_.last_position(),
                            transfer, self_.boot_id};
  for (NodeId id : configuration().voters.All()) {
    if (id == self_.id) continue;
    // A pre-vote only asks. A vote claims this log and this term, which must outlive a crash: else
    // a candidate that forgot its last entries could lead on answers meant for its earlier life.
    if (pre_vote) {
      Send(id, request);
    } else {
      SendDurably(id, request);
    }
  }
  CountVotes(now);
}

void Raft::CountVotes(Time now) {
  auto* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr) return;
  if (!candidate->pre_vote) {
    // Not before its own vote is on disk, even if the others' suffice: a leader that forgets its
    // term in a crash could be elected in it again, and write other entries under the same term.
    if (!HardStateDurable()) return;
    candidate->votes[self_.id] = true;
  }
  const VoteResult result = TallyVotes(configuration().voters, [candidate](NodeId id) {
    const auto vote = candidate->votes.find(id);
    if (vote == candidate->votes.end()) return 0;
    return vote->second ? 1 : -1;
  });
  if (result == VoteResult::kPending) return;
  if (result == VoteResult::kLost) {
    // A split vote: PreVote has shown that a quorum sees no leader, so the next attempt need not
    // wait a whole timeout.
    if (!candidate->pre_vote)
      election_deadline_ = std::min(election_deadline_, now + RandomBelow(options_.election));
    role_ = Follower{};
  } else if (candidate->pre_vote) {
    Campaign(now, /*pre_vote=*/false, /*transfer=*/false);
  } else {
    BecomeLeader(now);
  }
}

void Raft::BecomeLeader(Time now) {
  Leader leader;
  for (const Member& member : configuration().members) {
    if (member.id == self_.id) continue;
    Progress& peer = leader.peers[member.id];
    peer.BecomeProbe(log_.last() + 1);
    peer.last_heard = now;
  }
  leader.term_start = log_.last() + 1;
  leader.next_heartbeat = now;
  role_ = std::move(leader);
  // Every term starts with an entry of its own, before which nothing is served (Raft 5.4.2 and 8).
  // The very first one is the configuration, so that it is in the log from the first entry on.
  Entry first{term(), log_.last() + 1, EntryKind::kNoop, {}};
  if (configuration().incarnation == 0) {
    Configuration founding = configuration();
    founding.incarnation = random_() | 1;
    founding.established = founding.members.size() == 1;
    for (Member& member : founding.members) {
      if (member.id == self_.id) member.uuid = self_.uuid;
    }
    first.kind = EntryKind::kConfiguration;
    first.data = Bytes::Copy(founding.Encode());
  }
  AppendToLog(std::move(first));
}

void Raft::Handle(Time now, NodeId from, const VoteRequest& request) {
  if (request.pre_vote) {
    // A yes is a forecast, not a promise: nothing is recorded, and any number of nodes may get one.
    const bool granted = request.for_term > term() && UpToDate(request.last) &&
                         AsLeader() == nullptr && !HeardFromLeader(now) && !DiskStuck(now);
    Send(from, VoteReply{true, request.for_term, granted, request.boot_id});
    return;
  }
  const bool free = hard_state_.vote == kNoNode || hard_state_.vote == from;
  if (!free || leader() != kNoNode || !UpToDate(request.last)) {
    Send(from, VoteReply{false, request.for_term, false, request.boot_id});
    return;
  }
  if (hard_state_.vote == kNoNode) SetHardState({term(), from});
  role_ = Follower{};  // of nobody yet; a pre-candidate that votes for another gives up its own bid
  ResetElectionTimer(now);
  const VoteReply granted{false, request.for_term, true, request.boot_id};
  if (Broken(options_.control, Control::kVoteNotPersisted)) {
    Send(from, granted);
  } else {
    SendDurably(from, granted);
  }
}

void Raft::Handle(Time now, NodeId from, const VoteReply& reply) {
  auto* candidate = std::get_if<Candidate>(&role_);
  if (candidate == nullptr || candidate->pre_vote != reply.pre_vote) return;
  if (reply.for_term != (reply.pre_vote ? term() + 1 : term())) return;
  // A vote for the directory that this one replaces would elect a node that has forgotten its log
  // (D4). A node that has kept its directory is no candidate of that term after a restart.
  if (reply.boot_id != self_.boot_id) return;
  candidate->votes[from] = reply.granted;
  CountVotes(now);
}

void Raft::Handle(Time now, NodeId from, const TimeoutNow&) {
  // Only the present leader may ask, and PreVote is skipped: it knows that the log is complete.
  if (leader() == from && MayCampaign(now)) Campaign(now, /*pre_vote=*/false, /*transfer=*/true);
}

// A leader that no quorum answers is deposed without knowing it, and keeps its clients waiting: it
// steps down. So does one whose own disk is stuck, since others can do better (etcd #15247).
void Raft::CheckQuorum(Time now) {
  const Leader* leader = AsLeader();
  const VoterSet& voters = configuration().voters;
  const std::uint64_t heard = QuorumValue(voters, [&](NodeId id) {
    if (id == self_.id) return static_cast<std::uint64_t>(now.count());
    const auto peer = leader->peers.find(id);
    return peer == leader->peers.end()
               ? 0
               : static_cast<std::uint64_t>(peer->second.last_heard.count());
  });
  const bool cut_off = now - Time(heard) > options_.election;
  const bool stuck = DiskStuck(now) && !voters.IsSole(self_.id);
  if (cut_off || stuck) BecomeFollower(now, term(), kNoNode, ReadFailure::kNoQuorum);
}

void Raft::TransferLeadership(Time now, NodeId target) {
  Leader* leader = AsLeader();
  if (leader == nullptr || target == self_.id || !configuration().IsVoter(target)) return;
  leader->transfer_to = target;
  leader->transfer_deadline = now + options_.election;
  leader->timeout_now_sent = false;
}

void Raft::MaybeSendTimeoutNow() {
  Leader* leader = AsLeader();
  if (leader->transfer_to == kNoNode || leader->timeout_now_sent) return;
  const auto peer = leader->peers.find(leader->transfer_to);
  if (peer == leader->peers.end() || peer->second.match != log_.last()) return;
  leader->timeout_now_sent = true;
  Send(leader->transfer_to, TimeoutNow{});
}

}  // namespace quorate::raft
