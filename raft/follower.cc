// The follower's side of replication (Raft 5.3, with acks by durability).
#include <algorithm>

#include "raft/assert.h"
#include "raft/raft.h"

namespace quorate::raft {
namespace {

// Whether the log has the leader's entry there. What is committed is in every later leader's log
// (leader completeness), so it matches even where this log no longer knows its term: a late append
// may start before the log does.
bool Holds(const Log& log, Index commit, Position position) {
  if (position.index > commit) return log.Matches(position);
  const auto term = log.TermAt(position.index);
  QUORATE_ASSERT(!term || *term == position.term, "committed entries are never contradicted");
  return true;
}

}  // namespace

void Raft::Handle(Time now, NodeId from, Append& append) {
  leader_heard_ = now;
  ResetElectionTimer(now);
  round_seen_ = std::max(round_seen_, append.round);
  Adopt(append.anchor);
  if (!Holds(log_, commit_, append.previous)) {
    const Index before = append.previous.index - 1;
    // A refusal promises nothing, so it need not wait for the disk: the leader goes back at once,
    // and a slow disk does not hold up finding where the logs agree. Only its round would be a
    // promise.
    Send(from, AppendReply{.accepted = false,
                           .verified = 0,
                           .durable = 0,
                           .rejected = append.previous.index,
                           .hint = log_.LastNotAfter(before, append.previous.term),
                           .round = HardStateDurable() ? round_seen_ : 0,
                           .clock = Clock(now),
                           .full = disk_full_});
    return;
  }
  Index proven = append.previous.index;
  bool appended = false;
  for (Entry& entry : append.entries) {
    const bool held = Holds(log_, commit_, {entry.index, entry.term});
    if (!held && !TakesOnFullDisk(entry)) break;
    proven = entry.index;
    // A duplicate, or overtaken: never cut for it (CCF).
    if (held) continue;
    if (entry.index <= log_.last()) TruncateLog(entry.index);
    AppendToLog(std::move(entry));
    appended = true;
  }
  verified_ = std::max(verified_, proven);
  CommitTo(std::min(append.commit, verified_));
  // What was just appended is acknowledged once it is durable; what was there already, or a probe,
  // at once.
  if (!appended) acknowledge_ = true;
}

void Raft::Handle(Time now, NodeId from, const Heartbeat& heartbeat) {
  leader_heard_ = now;
  ResetElectionTimer(now);
  round_seen_ = std::max(round_seen_, heartbeat.round);
  Adopt(heartbeat.anchor);
  // Lanes reorder: this heartbeat may have overtaken the append that replaces the tail, so only the
  // verified prefix may commit, whatever the leader says.
  const bool broken = Broken(options_.control, Control::kUnverifiedCommit);
  CommitTo(std::min(heartbeat.commit, broken ? log_.last() : verified_));
  SendDurably(from, HeartbeatReply{heartbeat.round, Clock(now), disk_full_});
}

void Raft::Acknowledge(Time now) {
  acknowledge_ = false;
  Send(leader(), AppendReply{.accepted = true,
                             .verified = verified_,
                             .durable = std::min(verified_, durable_),
                             .rejected = 0,
                             .hint = {},
                             .round = round_seen_,
                             .clock = Clock(now),
                             .full = disk_full_});
}

// A fact that never expires (D6.3): believed even if the message is old or its term is over; only a
// reading of another life of this process, or of its clock, means nothing.
void Raft::Adopt(const std::optional<Anchor>& anchor) {
  if (!anchor || anchor->reading.boot_id != clock_id_) return;
  if (!freshness_ || anchor->reading.at > freshness_->at) {
    freshness_ = Freshness{anchor->index, anchor->reading.at};
  }
}

}  // namespace quorate::raft
