// The network between nodes: late, lossy, repeating itself, and sometimes not there.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "raft/message.h"
#include "src/snapshot_transfer.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/plan.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"

namespace quorate::sim {

class Network {
 public:
  using Deliver = std::function<void(raft::Message)>;
  using DeliverSnapshot =
      std::function<void(raft::NodeId from, raft::NodeId to, server::SnapshotMessage)>;

  Network(const NetworkPlan& plan, EventQueue& events, Trace& trace, Random random)
      : plan_(plan), events_(events), trace_(trace), random_(random) {}

  // Where messages go when they arrive.
  void OnDelivery(Deliver deliver, DeliverSnapshot deliver_snapshot) {
    deliver_ = std::move(deliver);
    deliver_snapshot_ = std::move(deliver_snapshot);
  }
  void Send(raft::Message message);
  void SendSnapshot(raft::NodeId from, raft::NodeId to, server::SnapshotMessage message);

  // One direction. A cut link also loses what is on its way.
  void Cut(raft::NodeId from, raft::NodeId to) { cut_.insert({from, to}); }
  void Restore(raft::NodeId from, raft::NodeId to) { cut_.erase({from, to}); }
  void HealAll() { cut_.clear(); }
  bool IsCut(raft::NodeId from, raft::NodeId to) const { return cut_.contains({from, to}); }
  // From now on nothing is lost, repeated or late.
  void BecomePerfect();

 private:
  enum class Lane { kControl, kAppend, kSnapshot };
  struct Route {
    raft::NodeId from;
    raft::NodeId to;
    Lane lane;
    auto operator<=>(const Route&) const = default;
  };
  static Lane LaneOf(const raft::Message& message);

  // Loses, repeats or delays what `arrive` stands for.
  void Carry(const Route& route, std::uint64_t digest, const std::function<std::string()>& text,
             const std::function<void()>& arrive);
  void Schedule(SimTime delay, const Route& route, std::function<void()> arrive);

  NetworkPlan plan_;
  EventQueue& events_;
  Trace& trace_;
  Random random_;
  Deliver deliver_;
  DeliverSnapshot deliver_snapshot_;
  std::set<std::pair<raft::NodeId, raft::NodeId>> cut_;
  std::map<Route, SimTime> lane_busy_until_;  // when the last message of each arrives
};

}  // namespace quorate::sim
