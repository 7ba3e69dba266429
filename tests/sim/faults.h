// What goes wrong, and when.
#pragma once

#include "tests/sim/clients.h"
#include "tests/sim/node.h"

namespace quorate::sim {

class Faults {
 public:
  Faults(const Environment& environment, Nodes& nodes, Random random);

  void Start();
  // Ends every fault and starts every node that may start: the cluster must converge from here.
  void HealEverything();
  void OnLeader(raft::NodeId leader);
  void OnEnded(raft::NodeId node);

 private:
  void ScheduleNext();
  void Inject(Fault fault);
  Fault Choose();
  raft::NodeId AnyNode();
  // The node that leads the highest term; any node if none leads.
  raft::NodeId Leader();
  void StartLater(raft::NodeId node);
  void Isolate(raft::NodeId node);
  void CutBothWays(raft::NodeId a, raft::NodeId b);
  void Partition();
  void BreakConnections(raft::NodeId node);
  void IsolateWithVictim(raft::NodeId leader);
  void MaybeWipe();
  void MaybeRot(Node& node);
  void FillDisk(raft::NodeId node);
  bool MayLoseAnother() const;
  void KeepStarting();
  bool OnRecordEverywhere(const Node& node) const;

  const Environment& env_;
  Nodes& nodes_;
  Random random_;
  raft::NodeId victim_;    // of kLeaderAndVictim, for the whole run
  bool pursuing_ = false;  // leaders are cut off as they are elected
  bool healed_ = false;
};

}  // namespace quorate::sim
