// The leader's side of replication: windows, commit, members (Raft 5.3, 5.4; thesis 10.2.1 on
// writing in parallel).
#include <algorithm>

#include "raft/assert.h"
#include "raft/raft.h"

namespace quorate::raft {
namespace {

// A probe asks where the logs agree; it carries entries only if they are small.
constexpr std::size_t kProbeBytes = 16 << 10;
// An unacknowledged window is asked about after this many heartbeats: messages may be lost.
constexpr int kSilentHeartbeats = 5;

}  // namespace

void Raft::TickLeader(Time now) {
  CheckQuorum(now);
  Leader* leader = AsLeader();
  if (leader == nullptr) return;
  if (leader->transfer_to != kNoNode && now >= leader->transfer_deadline)
    leader->transfer_to = kNoNode;
  HandOverIfFull(now);
  if (now < leader->next_heartbeat) return;
  for (auto& [id, peer] : leader->peers) {
    if (peer.state == ProgressState::kSnapshot) continue;
    const bool probing = peer.state == ProgressState::kProbe;
    const Duration patience = options_.heartbeat * (probing ? 1 : kSilentHeartbeats);
    // Until everything sent is known to be durable there, not only received: the ack that says so
    // may be the one that was lost.
    const bool waiting = probing ? peer.probe_sent : peer.match + 1 < peer.next;
    if (!waiting || now - peer.last_sent < patience) continue;
    if (probing) {
      peer.probe_sent = false;  // the same question again, not the whole log
    } else {
      peer.BecomeProbe(peer.match + 1);
    }
  }
  // Here and not in StartRound: rounds for reads must not put off what only ticks do.
  leader->next_heartbeat = now + options_.heartbeat;
  StartRound(now);
}

// A heartbeat says no more of the commit index than the follower is known to hold, so that it is
// true in any order.
void Raft::SendHeartbeat(NodeId id, Progress& peer) {
  const bool broken = Broken(options_.control, Control::kUnverifiedCommit);
  Send(id, Heartbeat{.commit = broken ? commit_ : std::min(commit_, peer.match),
                     .round = AsLeader()->rounds.last_number,
                     .anchor = std::exchange(peer.anchor, std::nullopt)});
}

// An anchor that waited for the next heartbeat would be a whole one older. Rounds for reads follow
// each other so closely that they carry each other's anchors, so that not every one costs a message
// more. Those that went with other messages do not count: what each heartbeat carries would for
// ever be the anchor of the one before.
void Raft::HandOverAnchor(Time now, NodeId id, Progress& peer) {
  if (!peer.anchor || now - peer.anchor_handed_over < options_.heartbeat / 2) return;
  peer.anchor_handed_over = now;
  SendHeartbeat(id, peer);
}

void Raft::SendAppends(Time now, NodeId id, Progress& peer) {
  if (peer.state != ProgressState::kSnapshot && !LogReaches(peer)) {
    peer.BecomeSnapshot(now, log_.start().index);
  }
  if (peer.state == ProgressState::kSnapshot) return OfferSnapshot(now, id, peer);
  // What a full disk may still take: the first entry of a term, not a backlog.
  const bool hold_back = peer.disk_full && (peer.next < log_.first_cached() ||
                                            log_.BytesAfter(peer.next - 1) > kProbeBytes);
  if (peer.state == ProgressState::kProbe) {
    if (peer.probe_sent) return;
    peer.probe_sent = true;
    SendAppend(now, id, peer,
               hold_back ? std::vector<Entry>() : log_.Slice(peer.next, log_.last(), kProbeBytes));
    return;
  }
  if (hold_back) return;
  while (peer.next <= log_.last() && peer.inflight_bytes < options_.max_inflight_bytes &&
         !peer.fetching) {
    if (peer.next < log_.first_cached()) {
      peer.fetching = true;
      ready_.fetches.push_back({id, peer.next, log_.first_cached() - 1, options_.max_append_bytes});
      return;
    }
    SendAppend(now, id, peer, log_.Slice(peer.next, log_.last(), options_.max_append_bytes));
  }
}

void Raft::SendAppend(Time now, NodeId id, Progress& peer, std::vector<Entry> entries) {
  const Index previous = peer.next - 1;
  const auto previous_term = log_.TermAt(previous);
  QUORATE_ASSERT(previous_term.has_value(), "entries that a follower needs are in the log");
  std::size_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.ByteSize();
  if (peer.state == ProgressState::kReplicate) {
    peer.next += entries.size();
    peer.Sent(peer.next - 1, bytes);
  }
  peer.last_sent = now;
  Send(id, Append{.previous = {previous, *previous_term},
                  .commit = commit_,
                  .round = AsLeader()->rounds.last_number,
                  .anchor = std::exchange(peer.anchor, std::nullopt),
                  .entries = std::move(entries)});
}

void Raft::OnFetched(Time now, NodeId to, std::vector<Entry> entries) {
  Leader* leader = AsLeader();
  if (leader == nullptr || !leader->peers.contains(to)) return;
  Progress& peer = leader->peers[to];
  if (!peer.fetching) return;  // it has gone back to probing since
  peer.fetching = false;
  if (entries.empty()) {
    // Not at once again, or a disk that cannot read would be asked in a loop: the next heartbeat
    // probes, and replication goes on from the answer.
    peer.BecomeProbe(peer.next);
    peer.probe_sent = true;
    peer.last_sent = now;
    return;
  }
  if (entries.front().index != peer.next) return;  // answers a request from before it went back
  for (const Entry& entry : entries) {
    if (!log_.Matches({entry.index, entry.term})) return;
  }
  SendAppend(now, to, peer, std::move(entries));
}

void Raft::OnUnreachable(NodeId id) {
  Leader* leader = AsLeader();
  if (leader == nullptr || !leader->peers.contains(id)) return;
  Progress& peer = leader->peers[id];
  if (peer.state == ProgressState::kReplicate) peer.BecomeProbe(peer.match + 1);
}

Progress* Raft::Heard(Time now, NodeId from, std::uint64_t round, const ClockReading& clock,
                      bool full) {
  Leader* leader = AsLeader();
  if (leader == nullptr) return nullptr;
  const auto it = leader->peers.find(from);
  if (it == leader->peers.end()) return nullptr;
  Progress& peer = it->second;
  peer.last_heard = now;
  peer.disk_full = full;
  peer.round = std::max(peer.round, round);
  // A follower that has restarted in this term no longer knows what was proven to it, and would
  // wait for ever for an append that says so.
  if (peer.clock && peer.clock->boot_id != clock.boot_id) peer.BecomeProbe(peer.match + 1);
  peer.clock = clock;
  ConfirmRounds();
  return &peer;
}

void Raft::Handle(Time now, NodeId from, const HeartbeatReply& reply) {
  Heard(now, from, reply.round, reply.clock, reply.full);
}

void Raft::Handle(Time now, NodeId from, const AppendReply& reply) {
  Progress* peer = Heard(now, from, reply.round, reply.clock, reply.full);
  if (peer == nullptr) return;
  if (!reply.accepted) return Refused(*peer, reply);
  QUORATE_ASSERT(reply.durable <= reply.verified && reply.verified <= log_.last(),
                 "a follower acknowledges only what this leader sent");
  peer->Acknowledged(reply.verified, reply.durable);
  if (peer->match + 1 >= log_.first_cached()) peer->prefer_log = false;
  if (peer->state == ProgressState::kProbe) {
    LeaveProbe(now, *peer, reply.verified);
  } else if (peer->state == ProgressState::kSnapshot && peer->match >= peer->snapshot_floor) {
    peer->prefer_log = true;
    peer->BecomeProbe(peer->match + 1);
  }
  AdvanceCommit();
}

// What the follower holds and its disk does not still counts against the window, or every probe of
// a follower with a stuck disk would let another window follow. Where that cannot be counted any
// more, its disk must catch up first.
void Raft::LeaveProbe(Time now, Progress& peer, Index verified) {
  // An answer to an older question, or from a follower that has restarted in this term and
  // forgotten what was proven to it: the probe behind `match` must still reach it, or it would
  // never commit.
  if (verified < peer.match) return;
  if (verified < prefer_snapshot_below_ && !peer.prefer_log) {
    return peer.BecomeSnapshot(now, prefer_snapshot_below_);
  }
  if (verified > peer.match && peer.match + 1 < log_.first_cached()) {
    peer.BecomeProbe(peer.match + 1);  // where memory holds nothing, so that probes carry nothing
    peer.probe_sent = true;
    return;
  }
  peer.BecomeReplicate(verified + 1);
  if (verified > peer.match)
    peer.Sent(verified, log_.BytesAfter(peer.match) - log_.BytesAfter(verified));
}

// A refusal says only where the logs may still agree; it never advances anything (CCF: advance on a
// NACK).
void Raft::Refused(Progress& peer, const AppendReply& reply) {
  if (reply.rejected <= peer.match) return;  // older than what has been proven since
  if (peer.state == ProgressState::kSnapshot) return;
  if (peer.state == ProgressState::kReplicate) return peer.BecomeProbe(peer.match + 1);
  if (reply.rejected != peer.next - 1) return;  // of an earlier probe
  peer.BecomeProbe(log_.LastNotAfter(reply.hint.index, reply.hint.term).index + 1);
}

// Raft 5.4.2: only entries of the leader's own term commit by counting; older ones with them (CCF:
// commit of an old term).
void Raft::AdvanceCommit() {
  const Leader* leader = AsLeader();
  const Index held = QuorumValue(configuration().voters, [&](NodeId id) {
    if (id == self_.id) return durable_;
    const auto peer = leader->peers.find(id);
    return peer == leader->peers.end() ? 0 : peer->second.match;
  });
  if (held > commit_ && log_.TermAt(held) == term()) CommitTo(held);
}

// The members that hold every uuid cannot be fooled by a wiped one, whoever of them is still alive.
void Raft::MaybeEstablish() {
  const Index recorded = configurations_.back().first;
  if (configuration().established || !configuration().AllMembersMet()) return;
  const auto& peers = AsLeader()->peers;
  if (std::any_of(peers.begin(), peers.end(),
                  [&](const auto& peer) { return peer.second.match < recorded; }))
    return;
  Configuration next = configuration();
  next.established = true;
  AppendToLog({term(), log_.last() + 1, EntryKind::kConfiguration, Bytes::Copy(next.Encode())});
}

// Puts a member's uuid on record when the leader first hears from it, and its own if no earlier
// leader did. One configuration entry at a time, and none before this term's first entry has
// committed (Ongaro 2015).
void Raft::RecordMember(NodeId from, const Uuid& uuid) {
  if (AsLeader() == nullptr || uuid.empty() || !TermStartCommitted()) return;
  const auto unmet = [this](NodeId id) {
    const Member* member = configuration().Find(id);
    return member != nullptr && member->uuid.empty();
  };
  if (configurations_.back().first > commit_) return;
  if (!unmet(from) && !unmet(self_.id)) return MaybeEstablish();
  Configuration next = configuration();
  for (Member& member : next.members) {
    if (!member.uuid.empty()) continue;
    if (member.id == from) member.uuid = uuid;
    if (member.id == self_.id) member.uuid = self_.uuid;
  }
  AppendToLog({term(), log_.last() + 1, EntryKind::kConfiguration, Bytes::Copy(next.Encode())});
}

}  // namespace quorate::raft
