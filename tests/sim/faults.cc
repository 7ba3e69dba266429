#include "tests/sim/faults.h"

#include <algorithm>
#include <numeric>

namespace quorate::sim {

Faults::Faults(const Environment& environment, Nodes& nodes, Random random)
    : env_(environment),
      nodes_(nodes),
      random_(random),
      victim_(1 + random_.Below(nodes.size() - 1)) {}

void Faults::Start() {
  ScheduleNext();
}

void Faults::ScheduleNext() {
  const auto& weights = env_.plan.faults.weights;
  if (std::all_of(weights.begin(), weights.end(), [](auto weight) { return weight == 0; })) return;
  env_.events.After(random_.Interval(env_.plan.faults.mean), [this] {
    if (healed_) return;
    Inject(Choose());
    ScheduleNext();
  });
}

Fault Faults::Choose() {
  const auto& weights = env_.plan.faults.weights;
  std::uint64_t choice =
      random_.Below(std::accumulate(weights.begin(), weights.end(), std::uint64_t{0}));
  std::size_t fault = 0;
  while (choice >= weights[fault]) choice -= weights[fault++];
  return static_cast<Fault>(fault);
}

raft::NodeId Faults::AnyNode() {
  return 1 + random_.Below(nodes_.size() - 1);
}

raft::NodeId Faults::Leader() {
  raft::NodeId leader = raft::kNoNode;
  raft::Term term = 0;
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    const Node& node = *nodes_[id];
    if (!node.up() || node.core().role() != raft::Role::kLeader || node.core().term() < term)
      continue;
    term = node.core().term();
    leader = id;
  }
  return leader == raft::kNoNode ? AnyNode() : leader;
}

void Faults::StartLater(raft::NodeId id) {
  env_.events.After(random_.Between(Millis(5), env_.plan.faults.outage_max), [this, id] {
    if (nodes_[id]->wiped() && healed_) return;
    nodes_[id]->Start();
  });
}

void Faults::OnEnded(raft::NodeId id) {
  if (!healed_) StartLater(id);
}

void Faults::CutBothWays(raft::NodeId a, raft::NodeId b) {
  if (a == b) return;
  env_.network.Cut(a, b);
  env_.network.Cut(b, a);
}

void Faults::Isolate(raft::NodeId node) {
  for (std::size_t other = 1; other < nodes_.size(); ++other) CutBothWays(node, other);
}

void Faults::Partition() {
  std::vector<bool> side(nodes_.size());
  for (std::size_t id = 1; id < nodes_.size(); ++id) side[id] = random_.Chance(0.5);
  for (std::size_t a = 1; a < nodes_.size(); ++a) {
    for (std::size_t b = a + 1; b < nodes_.size(); ++b) {
      if (side[a] != side[b]) CutBothWays(a, b);
    }
  }
}

void Faults::BreakConnections(raft::NodeId id) {
  for (std::size_t other = 1; other < nodes_.size(); ++other) {
    if (other != id && random_.Chance(0.7)) nodes_[other]->ConnectionBroke(id);
  }
}

void Faults::IsolateWithVictim(raft::NodeId leader) {
  env_.network.HealAll();
  if (leader == victim_) return;
  Isolate(leader);
  env_.network.Restore(leader, victim_);
  env_.network.Restore(victim_, leader);
}

void Faults::OnLeader(raft::NodeId leader) {
  if (!pursuing_ || healed_) return;
  if (random_.Chance(0.5)) {
    IsolateWithVictim(leader);
  } else {
    env_.network.HealAll();
  }
}

// Whether every other disk holds a committed configuration that names this node's directory.
bool Faults::OnRecordEverywhere(const Node& node) const {
  raft::Index index = 1;
  for (; index <= env_.invariants.committed(); ++index) {
    const raft::Entry& entry = env_.invariants.EntryAt(index);
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    const auto configuration = raft::Configuration::Decode(entry.data.view());
    const raft::Member* member = configuration->Find(node.id());
    if (member != nullptr && member->uuid == node.uuid()) break;
  }
  if (index > env_.invariants.committed()) return false;
  const raft::Term term = env_.invariants.EntryAt(index).term;
  return std::all_of(nodes_.begin() + 1, nodes_.end(), [&](const auto& other) {
    return other->id() == node.id() || env_.invariants.record(other->id()).Holds(index, term);
  });
}

// The others must be a majority, or the cluster could not go on.
bool Faults::MayLoseAnother() const {
  const auto lost = std::count_if(nodes_.begin() + 1, nodes_.end(),
                                  [](const auto& node) { return node->lost(); });
  return (static_cast<std::size_t>(lost) + 1) * 2 < nodes_.size() - 1;
}

void Faults::MaybeRot(Node& node) {
  if (node.lost() || !node.established() || !MayLoseAnother()) return;
  node.Rot();
  StartLater(node.id());
}

void Faults::FillDisk(raft::NodeId id) {
  nodes_[id]->disk().FillUp(random_.Below(env_.plan.faults.disk_room_max + 1));
  env_.events.After(random_.Between(Millis(5), env_.plan.faults.disk_full_max),
                    [this, id] { nodes_[id]->disk().FreeUp(); });
}

// At most one node is replaced, and only once every other node has its uuid in its durable log:
// before that, the cluster has not called itself ready, and a wiped voter could not be told from
// the real one.
void Faults::MaybeWipe() {
  const bool earlier =
      std::any_of(nodes_.begin() + 1, nodes_.end(), [](const auto& node) { return node->wiped(); });
  const raft::NodeId id = AnyNode();
  if (earlier || !MayLoseAnother() || nodes_[id]->lost() || !nodes_[id]->up() ||
      !OnRecordEverywhere(*nodes_[id]))
    return;
  nodes_[id]->CutPower();
  nodes_[id]->Wipe();
  StartLater(id);
}

void Faults::Inject(Fault fault) {
  const raft::NodeId id = AnyNode();
  Node& node = *nodes_[id];
  env_.trace.Event(env_.events.now(), raft::kNoNode, "fault",
                   {static_cast<std::uint64_t>(fault), id},
                   [&] { return std::string(ToString(fault)) + " n" + std::to_string(id); });
  switch (fault) {
    case Fault::kKill:
      if (!node.down()) node.Kill();
      BreakConnections(id);
      return StartLater(id);
    case Fault::kPowerCut:
      node.CutPower();
      return StartLater(id);
    case Fault::kPowerCutAll:
      for (std::size_t each = 1; each < nodes_.size(); ++each) {
        nodes_[each]->CutPower();
        StartLater(each);
      }
      return;
    case Fault::kPause:
      return node.Pause(random_.Between(Millis(5), env_.plan.faults.pause_max));
    case Fault::kShutdown:
      node.ShutDown();
      return StartLater(id);
    case Fault::kIsolate:
      return Isolate(id);
    case Fault::kIsolateLeader:
      return Isolate(Leader());
    case Fault::kCutOneWay:
      return env_.network.Cut(id, AnyNode());
    case Fault::kPartition:
      return Partition();
    case Fault::kLeaderAndVictim:
      pursuing_ = true;
      nodes_[victim_]->SlowDisk(
          random_.Between(env_.plan.faults.slow_disk_max / 3, env_.plan.faults.slow_disk_max));
      return IsolateWithVictim(Leader());
    case Fault::kHeal:
      pursuing_ = false;
      return env_.network.HealAll();
    case Fault::kSlowDisk:
      return node.SlowDisk(random_.Chance(0.5)
                               ? SimTime{0}
                               : random_.Between(SimTime{0}, env_.plan.faults.slow_disk_max));
    case Fault::kTransfer:
      return nodes_[Leader()]->TransferLeadership(id);
    case Fault::kUnreachable:
      return BreakConnections(id);
    case Fault::kWipe:
      return MaybeWipe();
    case Fault::kDiskFull:
      return FillDisk(id);
    case Fault::kWriteError:
      return node.disk().FailNextWrite();
    case Fault::kSyncError:
      return node.disk().FailNextSync();
    case Fault::kBitRot:
      return MaybeRot(node);
    case Fault::kCount:
      return;
  }
}

void Faults::HealEverything() {
  healed_ = true;
  env_.network.BecomePerfect();
  env_.crash_points.Stop();
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    Node& node = *nodes_[id];
    node.SlowDisk(SimTime{0});
    node.disk().Heal();
    if (node.up()) node.Resume();
  }
  KeepStarting();
}

// A node may be on its way down, by a clean shutdown that began before.
void Faults::KeepStarting() {
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    if (!nodes_[id]->wiped()) nodes_[id]->Start();
  }
  env_.events.After(Millis(50), [this] { KeepStarting(); });
}

}  // namespace quorate::sim
