#include "tests/sim/invariants.h"

#include <algorithm>

namespace quorate::sim {
namespace {

std::string Text(std::uint64_t value) {
  return std::to_string(value);
}
std::string NodeText(raft::NodeId node) {
  return "node " + std::to_string(node);
}

}  // namespace

void Violate(std::string invariant, std::string detail) {
  throw Violation{std::move(invariant), std::move(detail)};
}

void Invariants::CheckLogMatching(NodeState& node, const raft::Entry& entry,
                                  raft::Term previous_term) {
  const auto [it, added] =
      entries_.try_emplace({entry.index, entry.term}, Known{entry, previous_term});
  if (added) return;
  if (it->second.previous_term != previous_term || !(it->second.entry == entry)) {
    Violate("log-matching", "entry " + Text(entry.index) + " of term " + Text(entry.term) +
                                " differs between nodes (boot " + Text(node.boot_id) + ")");
  }
}

void Invariants::OnAppend(raft::NodeId id, const raft::AppendBatch& batch) {
  NodeState& node = nodes_[id];
  if (node.wiped || batch.entries.empty() || batch.reset) return;
  const raft::Index first = batch.entries.front().index;
  if (first > node.record.written_last() + 1) {
    Violate("log-has-no-holes", NodeText(id) + " writes entry " + Text(first) + " after " +
                                    Text(node.record.written_last()));
  }
  // What a snapshot has brought is on the disk as a state; a full disk may hold up older writes,
  // and the one that empties the log for it.
  const raft::Index covered = node.record.covered();
  if (batch.token.term < node.acked.term && first <= node.acked.index &&
      node.acked.index > covered) {
    Violate("acknowledged-entries-stay",
            NodeText(id) + " acknowledged up to " + Text(node.acked.index) + " in term " +
                Text(node.acked.term) + " while a write of term " + Text(batch.token.term) +
                " that replaces the log from " + Text(first) + " on had not reached its disk");
  }
  if (first <= node.applied && node.applied > covered) {
    Violate("applied-entries-stay", NodeText(id) + " has applied " + Text(node.applied) +
                                        " while a write that replaces the log from " + Text(first) +
                                        " on had not reached its disk");
  }
  raft::Term previous = node.record.WrittenTermAt(first - 1);
  for (const raft::Entry& entry : batch.entries) {
    CheckLogMatching(node, entry, previous);
    previous = entry.term;
  }
}

void Invariants::OnStart(raft::NodeId id, std::uint64_t boot_id,
                         const storage::LogRecovery& recovery, raft::Position applied) {
  NodeState& node = nodes_[id];
  const auto contradiction = node.record.Contradiction(recovery);
  if (contradiction && !node.wiped)
    Violate("durable-survives", NodeText(id) + " " + *contradiction);
  if (applied.index > recovery.contents.last) {
    Violate("applied-is-in-the-log", NodeText(id) + " has applied " + Text(applied.index) +
                                         " but its log ends at " + Text(recovery.contents.last));
  }
  if (applied.index < node.record.covered() && !node.wiped) {
    Violate("flushed-state-survives", NodeText(id) + " has a state at " + Text(applied.index) +
                                          ", but " + Text(node.record.covered()) +
                                          " was on its disk");
  }
  const raft::Position start = recovery.contents.start;
  if (applied.index < start.index) {
    Violate("log-starts-within-flushed-state", NodeText(id) + " has a log from " +
                                                   Text(start.index + 1) + " on and a state at " +
                                                   Text(applied.index));
  }
  if (start.index > 0 && !node.wiped &&
      (start.index > committed_.size() || committed_[start.index - 1].term != start.term)) {
    Violate("log-starts-at-committed", NodeText(id) + " has a log that starts behind entry " +
                                           Text(start.index) + " of term " + Text(start.term) +
                                           ", which is not committed");
  }
  node.record.Restart(recovery, applied.index);
  node.boot_id = boot_id;
  node.commit = node.applied = applied.index;
  node.term = recovery.hard_state.term;
  node.role = raft::Role::kFollower;
  node.acked = {};
}

void Invariants::OnOpenState(raft::NodeId id, raft::Position at, std::uint64_t state_hash) {
  if (at.index == 0 || nodes_[id].wiped) return;
  if (at.index > state_hashes_.size() || committed_[at.index - 1].term != at.term ||
      state_hashes_[at.index - 1] != state_hash) {
    Violate("same-state-at-same-index",
            NodeText(id) + " opens a state at " + Text(at.index) + " that no node has had there");
  }
}

void Invariants::OnWipe(raft::NodeId id) {
  nodes_[id] = NodeState();
  nodes_[id].wiped = true;
}

void Invariants::CheckNewlyCommitted(const raft::Raft& core, raft::Index index, raft::Term term) {
  std::size_t holders = 0;
  for (raft::NodeId id = 1; id < nodes_.size(); ++id) {
    const NodeState& node = nodes_[id];
    if (node.wiped || node.record.Holds(index, term)) ++holders;
  }
  if (holders * 2 <= nodes_.size() - 1) {
    Violate("committed-is-durable-on-a-quorum", NodeText(core.id()) + " commits entry " +
                                                    Text(index) + " of term " + Text(term) +
                                                    ", which is on " + Text(holders) + " disks");
  }
}

void Invariants::CheckCommit(SimTime now, NodeState& node, const raft::Raft& core) {
  if (core.commit() < node.commit) {
    Violate("commit-never-goes-back",
            NodeText(core.id()) + " went from " + Text(node.commit) + " to " + Text(core.commit()));
  }
  for (raft::Index index = node.commit + 1; index <= core.commit(); ++index) {
    const bool in_log = index >= core.log().start().index;
    if (!in_log && index <= committed_.size()) continue;  // in the snapshot that was installed
    const raft::Term term = core.log().TermAt(index).value_or(0);
    if (index > committed_.size()) {
      committed_.push_back({term, now, core.term()});
      CheckNewlyCommitted(core, index, term);
    } else if (committed_[index - 1].term != term) {
      Violate("state-machine-safety", NodeText(core.id()) + " commits entry " + Text(index) +
                                          " of term " + Text(term) + ", but the one of term " +
                                          Text(committed_[index - 1].term) + " was committed");
    }
  }
  node.commit = core.commit();
}

void Invariants::CheckLeader(NodeState& node, const raft::Raft& core) {
  const auto [it, added] = leaders_.try_emplace(core.term(), core.id(), node.boot_id);
  if (!added && it->second != std::pair(core.id(), node.boot_id)) {
    Violate("one-leader-per-term", NodeText(core.id()) + " and " + NodeText(it->second.first) +
                                       " both lead term " + Text(core.term()));
  }
  if (node.record.hard_state() != raft::HardState{core.term(), core.id()}) {
    Violate("own-vote-is-durable", NodeText(core.id()) + " leads term " + Text(core.term()) +
                                       " before its vote for itself is on its disk");
  }
  for (raft::Index index = std::max<raft::Index>(1, core.log().start().index);
       index <= committed_.size(); ++index) {
    const Committed& committed = committed_[index - 1];
    if (committed.known_in < core.term() && core.log().TermAt(index) != committed.term) {
      Violate("leader-completeness", NodeText(core.id()) + " leads term " + Text(core.term()) +
                                         " without the committed entry " + Text(index) +
                                         " of term " + Text(committed.term));
    }
  }
}

void Invariants::OnEvent(SimTime now, const raft::Raft& core) {
  NodeState& node = nodes_[core.id()];
  node.record.Settle(now);
  if (core.term() < node.term) {
    Violate("term-never-goes-back",
            NodeText(core.id()) + " went from " + Text(node.term) + " to " + Text(core.term()));
  }
  const bool elected = core.role() == raft::Role::kLeader &&
                       (node.role != raft::Role::kLeader || node.term != core.term());
  node.term = core.term();
  node.role = core.role();
  node.applied = std::max(node.applied, core.applied());
  if (elected) CheckLeader(node, core);
  if (core.commit() != node.commit) CheckCommit(now, node, core);
}

void Invariants::OnSend(SimTime now, const raft::Raft& core, const raft::Message& message) {
  if (message.to == raft::kNoNode || message.to >= nodes_.size() || message.to == message.from) {
    Violate("messages-have-a-recipient", NodeText(message.from) + " sends to " + Text(message.to));
  }
  NodeState& node = nodes_[message.from];
  node.record.Settle(now);
  const raft::HardState& durable = node.record.hard_state();
  if (const auto* vote = std::get_if<raft::VoteReply>(&message.body)) {
    if (vote->granted && !vote->pre_vote &&
        durable != raft::HardState{vote->for_term, message.to}) {
      Violate("vote-is-durable", NodeText(message.from) + " grants its vote in term " +
                                     Text(vote->for_term) + " to " + NodeText(message.to) +
                                     " before that is on its disk");
    }
  }
  const auto* ack = std::get_if<raft::AppendReply>(&message.body);
  const auto* heartbeat = std::get_if<raft::HeartbeatReply>(&message.body);
  const bool promises = (ack != nullptr && (ack->accepted || ack->round > 0)) ||
                        (heartbeat != nullptr && heartbeat->round > 0);
  if (promises && durable.term != message.term) {
    Violate("term-is-durable", NodeText(message.from) + " answers the leader of term " +
                                   Text(message.term) + " before that term is on its disk");
  }
  if (ack == nullptr || !ack->accepted) return;
  if (ack->durable > 0 &&
      !node.record.Certain(ack->durable, core.log().TermAt(ack->durable).value_or(0))) {
    Violate("acknowledged-is-durable", NodeText(message.from) + " acknowledges entry " +
                                           Text(ack->durable) + ", which its disk does not hold");
  }
  node.acked = {ack->durable, message.term};
}

void Invariants::OnApply(SimTime now, raft::NodeId id, const raft::Entry& entry,
                         std::uint64_t state_hash) {
  NodeState& node = nodes_[id];
  node.record.Settle(now);
  if (entry.index > committed_.size() || committed_[entry.index - 1].term != entry.term) {
    Violate("only-committed-is-applied", NodeText(id) + " applies entry " + Text(entry.index) +
                                             " of term " + Text(entry.term) +
                                             ", which is not committed");
  }
  if (!(EntryAt(entry.index) == entry)) {
    Violate("state-machine-safety", NodeText(id) + " applies other bytes at " + Text(entry.index));
  }
  if (!node.record.Certain(entry.index, entry.term)) {
    Violate("applied-is-durable", NodeText(id) + " applies entry " + Text(entry.index) +
                                      " before it is in its own durable log");
  }
  node.applied = entry.index;
  if (entry.index > state_hashes_.size()) {
    state_hashes_.push_back(state_hash);
  } else if (state_hashes_[entry.index - 1] != state_hash) {
    Violate("same-state-at-same-index",
            NodeText(id) + " has another state after entry " + Text(entry.index));
  }
}

void Invariants::OnServed(raft::NodeId id, raft::Index index, raft::Index before) {
  NodeState& node = nodes_[id];
  if (index < before) {
    Violate("eventual-read-never-goes-back",
            NodeText(id) + " serves " + Text(index) + " after it served " + Text(before));
  }
  node.served = std::max(node.served, index);
}

void Invariants::OnFreshness(raft::NodeId id, SimTime at, raft::Index index) {
  const raft::Index committed = CommittedBy(at);
  if (committed > index) {
    Violate("anchor-never-lies", NodeText(id) + " claims that nothing after " + Text(index) +
                                     " was committed by " +
                                     Text(static_cast<std::uint64_t>(at.count())) + " us, but " +
                                     Text(committed) + " was");
  }
}

raft::Index Invariants::CommittedBy(SimTime at) const {
  const auto end = std::upper_bound(committed_.begin(), committed_.end(), at,
                                    [](SimTime t, const Committed& c) { return t < c.at; });
  return static_cast<raft::Index>(end - committed_.begin());
}

const raft::Entry& Invariants::EntryAt(raft::Index index) const {
  return entries_.at({index, committed_[index - 1].term}).entry;
}

}  // namespace quorate::sim
