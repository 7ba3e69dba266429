// What must hold after every event, whatever the seed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "tests/sim/durable_record.h"
#include "tests/sim/random.h"

namespace quorate::sim {

// A promise was broken: ends the run.
struct Violation {
  std::string invariant;  // its name, in kebab-case
  std::string detail;
};
[[noreturn]] void Violate(std::string invariant, std::string detail);

struct Committed {
  raft::Term term = 0;
  SimTime at{0};            // the first moment at which any node knew
  raft::Term known_in = 0;  // that node's term
};

// Sees the whole cluster, which no node can. Each check costs what changed, so that all run after
// every event.
class Invariants {
 public:
  explicit Invariants(int nodes) : nodes_(static_cast<std::size_t>(nodes) + 1) {}

  DurableRecord& record(raft::NodeId node) { return nodes_[node].record; }

  // The log of `node` is about to be told to write `batch`.
  void OnAppend(raft::NodeId node, const raft::AppendBatch& batch);
  // A process starts on what its log recovered, and on a state machine at `applied`.
  void OnStart(raft::NodeId node, std::uint64_t boot_id, const storage::LogRecovery& recovery,
               raft::Position applied);
  // A database is opened: at a start, or to take the place of the present one.
  void OnOpenState(raft::NodeId node, raft::Position at, std::uint64_t state_hash);
  void OnWipe(raft::NodeId node);
  void OnEvent(SimTime now, const raft::Raft& core);
  void OnSend(SimTime now, const raft::Raft& core, const raft::Message& message);
  void OnApply(SimTime now, raft::NodeId node, const raft::Entry& entry, std::uint64_t state_hash);
  // `node` answers a read with the state at `index`; eventual reads must never go back.
  // `before`: what it had served when this read was asked; 0 if the read may go back behind that.
  void OnServed(raft::NodeId node, raft::Index index, raft::Index before);
  raft::Index served(raft::NodeId node) const { return nodes_[node].served; }
  // `node` claims that everything committed by `at` has an index <= `index`.
  void OnFreshness(raft::NodeId node, SimTime at, raft::Index index);

  raft::Index committed() const { return committed_.size(); }
  raft::Term highest_term() const { return leaders_.empty() ? 0 : leaders_.rbegin()->first; }
  raft::Index CommittedBy(SimTime at) const;
  // The committed entry at `index`.
  const raft::Entry& EntryAt(raft::Index index) const;

 private:
  struct NodeState {
    DurableRecord record;
    std::uint64_t boot_id = 0;
    bool wiped = false;
    raft::Index commit = 0;
    raft::Index applied = 0;
    raft::Term term = 0;
    raft::Role role = raft::Role::kFollower;
    raft::Position acked;    // the last acknowledgement: index, and the term in which it was given
    raft::Index served = 0;  // the highest index ever served, over all lives
  };
  struct Known {
    raft::Entry entry;
    raft::Term previous_term = 0;
  };

  void CheckLogMatching(NodeState& node, const raft::Entry& entry, raft::Term previous_term);
  void CheckCommit(SimTime now, NodeState& node, const raft::Raft& core);
  void CheckNewlyCommitted(const raft::Raft& core, raft::Index index, raft::Term term);
  void CheckLeader(NodeState& node, const raft::Raft& core);

  std::vector<NodeState> nodes_;  // by id
  std::vector<Committed> committed_;
  std::map<std::pair<raft::Index, raft::Term>, Known> entries_;
  std::map<raft::Term, std::pair<raft::NodeId, std::uint64_t>> leaders_;
  std::vector<std::uint64_t> state_hashes_;  // by index
};

}  // namespace quorate::sim
