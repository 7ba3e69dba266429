// The network between nodes: late, lossy, repeating itself, and sometimes not there.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "raft/message.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/plan.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

namespace quorate::sim {

class Network {
 public:
  using Deliver = std::function<void(raft::Message)>;

  Network(const NetworkPlan& plan, EventQueue& events, Trace& trace, Random random)
      : plan_(plan), events_(events), trace_(trace), random_(random) {}

  // Where messages go when they arrive.
  void OnDelivery(Deliver deliver) { deliver_ = std::move(deliver); }
  void Send(raft::Message message);

  // One direction. A cut link also loses what is on its way.
  void Cut(raft::NodeId from, raft::NodeId to) { cut_.insert({from, to}); }
  void Restore(raft::NodeId from, raft::NodeId to) { cut_.erase({from, to}); }
  void HealAll() { cut_.clear(); }
  bool IsCut(raft::NodeId from, raft::NodeId to) const { return cut_.contains({from, to}); }
  // From now on nothing is lost, repeated or late.
  void BecomePerfect();

 private:
  void Schedule(SimTime delay, raft::Message message);

  NetworkPlan plan_;
  EventQueue& events_;
  Trace& trace_;
  Random random_;
  Deliver deliver_;
  std::set<std::pair<raft::NodeId, raft::NodeId>> cut_;
  // When the last message of each lane (from, to, append or control) arrives.
  std::map<std::tuple<raft::NodeId, raft::NodeId, bool>, SimTime> lane_busy_until_;
};

}  // namespace quorate::sim
