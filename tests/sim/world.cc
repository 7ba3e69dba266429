#include "tests/sim/world.h"

#include <algorithm>
#include <utility>

#include "tests/sim/linearizability.h"

namespace quorate::sim {
namespace {

// Far above what any plan needs: a run that takes more is spinning at one moment.
constexpr std::uint64_t kMaxEvents = 20'000'000;
constexpr SimTime kLook = Millis(10);

}  // namespace

World::World(const Plan& plan, std::ostream* trace)
    : plan_(plan),
      random_(Mix(plan.seed + 0xd1ceULL)),
      trace_(trace),
      invariants_(plan.nodes),
      audit_(invariants_, plan.nodes, plan.drift_ppm_max),
      network_(plan.network, events_, trace_, random_.Fork()),
      crash_points_(plan.crashes, random_.Fork()),
      environment_{plan_, events_, trace_, invariants_, audit_, network_, crash_points_, {}, {}},
      workload_{plan.clients, 1, {}} {
  nodes_.emplace_back();
  for (int id = 1; id <= plan_.nodes; ++id) {
    nodes_.push_back(
        std::make_unique<Node>(environment_, static_cast<raft::NodeId>(id), random_.Fork()));
  }
  for (int id = 1; id <= plan_.clients.count; ++id) {
    clients_.push_back(
        std::make_unique<Client>(environment_, nodes_, workload_, id, random_.Fork()));
  }
  faults_ = std::make_unique<Faults>(environment_, nodes_, random_.Fork());
  for (int i = 0; i < plan_.clients.sessions; ++i) {
    session_clients_.push_back(std::make_unique<SessionClient>(environment_, nodes_, plan_.clients,
                                                               session_audit_, random_.Fork()));
  }
  network_.OnDelivery(
      [this](raft::Message message) { nodes_[message.to]->Deliver(std::move(message)); },
      [this](raft::NodeId from, raft::NodeId to, server::SnapshotMessage message) {
        nodes_[to]->DeliverSnapshot(from, std::move(message));
      });
  environment_.on_ended = [this](raft::NodeId node) { faults_->OnEnded(node); };
  environment_.on_leader = [this](raft::NodeId leader) { faults_->OnLeader(leader); };
}

Outcome World::Run() {
  std::optional<Violation> violation;
  try {
    RunFaultyPart();
    Converge();
    EndSessions();
    Probe();
    CheckAges();
    CheckSteadyAges();
    CheckSessions();
    CheckHistory();
  } catch (const Violation& found) {
    violation = found;
    trace_.Event(events_.now(), raft::kNoNode, "violation", {},
                 [&found] { return found.invariant + ": " + found.detail; });
  }
  Outcome outcome = Summary();
  outcome.violation = std::move(violation);
  return outcome;
}

void World::RunUntil(SimTime limit) {
  while (events_.RunNext(limit)) {
    if (events_.events_run() > kMaxEvents) {
      Violate("time-moves-on", "more than " + std::to_string(kMaxEvents) + " events; stuck at " +
                                   std::to_string(events_.now().count()) + " us");
    }
  }
}

bool World::RunUntil(const std::function<bool()>& reached, SimTime limit) {
  for (const SimTime end = events_.now() + limit; events_.now() < end;) {
    if (reached()) return true;
    RunUntil(std::min(end, events_.now() + kLook));
  }
  return reached();
}

void World::RunFaultyPart() {
  for (std::size_t id = 1; id < nodes_.size(); ++id) nodes_[id]->Start();
  for (const auto& client : clients_) client->Start();
  for (const auto& client : session_clients_) client->Start();
  faults_->Start();
  RunUntil(plan_.duration);
}

bool World::Converged() const {
  const Node* first = nullptr;
  bool leads = false;
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    const Node& node = *nodes_[id];
    if (node.wiped() || node.quarantined()) continue;
    if (!node.up() || node.leaving()) return false;
    if (first == nullptr) first = &node;
    const raft::Raft& core = node.core();
    leads = leads || core.role() == raft::Role::kLeader;
    const bool same =
        core.term() == first->core().term() && core.leader() == first->core().leader() &&
        core.applied() == first->core().log().last() && core.applied() == core.log().last() &&
        node.state_machine().hash() == first->state_machine().hash();
    if (!same) return false;
  }
  return leads;
}

std::string World::WhyNotConverged() const {
  std::string text =
      "after " + std::to_string(plan_.convergence_limit.count() / 1000) + " ms without faults:";
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    const Node& node = *nodes_[id];
    text += " [node " + std::to_string(id);
    if (!node.up()) {
      text += node.wiped() ? " wiped]" : node.quarantined() ? " quarantined]" : " down]";
      continue;
    }
    const raft::Raft& core = node.core();
    text += std::string(node.wiped() ? " wiped " : " ") + raft::ToString(core.role()) + " term " +
            std::to_string(core.term()) + " leader " + std::to_string(core.leader()) + " last " +
            std::to_string(core.log().last()) + " durable " + std::to_string(core.durable()) +
            " commit " + std::to_string(core.commit()) + " applied " +
            std::to_string(core.applied()) + (node.leaving() ? " leaving]" : "]");
  }
  return text;
}

void World::Converge() {
  for (const auto& client : clients_) client->Stop();
  for (const auto& client : session_clients_) client->Stop();
  faults_->HealEverything();
  trace_.Event(events_.now(), raft::kNoNode, "healed");
  const auto reached = [this] {
    return Converged() && std::all_of(clients_.begin(), clients_.end(),
                                      [](const auto& client) { return client->idle(); });
  };
  if (!RunUntil(reached, plan_.convergence_limit + plan_.clients.deadline)) {
    Violate("converges", WhyNotConverged());
  }
}

// In a healthy cluster heartbeats and confirmed rounds bring anchors, so that every node knows that
// it is fresh.
SimTime World::FreshWithin() const {
  return plan_.raft.election * 2 + plan_.network.delay_max * 4 + Millis(100);
}

void World::ProbeOne(raft::NodeId id, OperationKind kind, const server::ReadNeed& need,
                     const char* what) {
  Client& client = *clients_.front();
  // Twice: a node that met a failing disk before it was healed may end of that only now, and take
  // the answer with it.
  for (int attempt = 0; attempt < 2; ++attempt) {
    client.RunOnce(kind, id, plan_.convergence_limit, need);
    RunUntil([&client] { return client.idle(); }, plan_.convergence_limit);
    if (client.last().result == Result::kDone) return;
  }
  Violate("healed-cluster-serves",
          std::string("a ") + what + " through node " + std::to_string(id) + " does not succeed");
}

void World::Probe() {
  workload_.plan.loss = 0;
  const Client& client = *clients_.front();
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    if (nodes_[id]->wiped() || nodes_[id]->quarantined()) continue;
    using server::OnUnmet;
    using server::ReadNeed;
    const auto weak = OperationKind::kWeakRead;
    ProbeOne(id, OperationKind::kPut, {}, "write");
    ProbeOne(id, OperationKind::kStrongRead, {.max_age = SimTime{0}}, "strong read");
    const raft::Position seen = client.token();
    ProbeOne(id, weak, {.min_index = seen.index, .min_term = seen.term}, "session read");
    ProbeOne(id, weak, {.max_age = SimTime{1}, .min_index = seen.index}, "tightly bounded read");
    ProbeOne(id, weak, {.max_age = FreshWithin(), .on_unmet = OnUnmet::kRefuse},
             "bounded read from the node's own state");
    ProbeOne(id, weak, {.max_age = FreshWithin(), .max_lag = 5, .on_unmet = OnUnmet::kRefuse},
             "bounded read with a lag");
    ProbeOne(id, weak, {.on_unmet = OnUnmet::kRefuse}, "eventual read");
  }
  if (!RunUntil([this] { return Converged(); }, plan_.convergence_limit))
    Violate("converges", WhyNotConverged());
}

void World::CheckAges() {
  const SimTime limit = FreshWithin();
  const auto fresh = [this, limit] {
    return std::all_of(nodes_.begin() + 1, nodes_.end(), [limit](const auto& node) {
      if (node->wiped() || node->quarantined()) return true;
      const auto age = node->Age();
      return age && *age <= limit;
    });
  };
  if (!RunUntil(fresh, plan_.convergence_limit)) {
    Violate("healed-cluster-is-fresh",
            "a node cannot bound the age of its state to " + std::to_string(limit.count()) + " us");
  }
}

bool World::AgesStayWithin(SimTime limit, SimTime span) {
  for (const SimTime end = events_.now() + span; events_.now() < end;) {
    for (std::size_t id = 1; id < nodes_.size(); ++id) {
      if (nodes_[id]->wiped() || nodes_[id]->quarantined()) continue;
      const auto age = nodes_[id]->Age();
      if (!age || *age > limit) return false;
    }
    RunUntil(events_.now() + span / 100);
  }
  return true;
}

// Without load an age is at most two heartbeats and what the messages take (docs/consistency.md).
// Not where a round trip takes so long that rounds overlap.
void World::CheckSteadyAges() {
  const SimTime heartbeat = plan_.raft.heartbeat;
  const SimTime round_trip = plan_.network.delay_max * 2;
  if (round_trip > heartbeat / 2) return;
  const SimTime limit = heartbeat * 2 + round_trip * 2 + heartbeat / 100 + Millis(1);
  // What was sent before the healing may still be on its way, with old readings of clocks.
  RunUntil(events_.now() + plan_.network.straggle_max);
  // A node that met a failing disk before it was healed may end of that only now.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (AgesStayWithin(limit, heartbeat * 10)) return;
    CheckAges();
    RunUntil(events_.now() + heartbeat * 4);
  }
  Violate("healed-cluster-stays-fresh", "a node is often unable to bound the age of its state to " +
                                            std::to_string(limit.count()) + " us");
}

std::vector<LoggedWrite> World::CommittedWrites() const {
  std::vector<LoggedWrite> writes;
  for (raft::Index index = 1; index <= invariants_.committed(); ++index) {
    const raft::Entry& entry = invariants_.EntryAt(index);
    if (entry.kind == raft::EntryKind::kCommand && IsPlainWrite(entry.data))
      writes.push_back({index, OperationOf(entry.data)});
  }
  return writes;
}

// With a leader that stays, a session ends at most this late: what had passed since the last stamp
// of the leader before, a look, the rates of two clocks, and two commits over a bad network.
void World::EndSessions() {
  using server::SessionKeeper;
  const SimTime late = SessionKeeper::kStampEvery + SessionKeeper::kLookEvery +
                       plan_.clients.session_ttl / 200 + plan_.raft.election * 10 +
                       plan_.network.delay_max * 8 + plan_.disk.slow_max * 2;
  const auto gone = [this] {
    return std::all_of(nodes_.begin() + 1, nodes_.end(), [](const auto& node) {
      if (node->wiped() || node->quarantined()) return true;
      if (!node->up()) return false;
      const storage::SessionStats sessions = node->state_machine().sessions();
      return sessions.open + sessions.ending == 0;
    });
  };
  if (!RunUntil(gone, plan_.clients.session_ttl + late)) {
    Violate("sessions-end-in-time",
            "some are open " + std::to_string(late.count() / 1000) + " ms after their time was up");
  }
}

void World::CheckSessions() {
  for (std::size_t id = 1; id < nodes_.size(); ++id) {
    const Node& node = *nodes_[id];
    if (node.wiped() || node.quarantined()) continue;
    return session_audit_.Check(invariants_, node.state_machine().state());
  }
}

void World::CheckHistory() {
  if (auto wrong = FindViolation(workload_.history, CommittedWrites())) {
    Violate("linearizable", std::move(*wrong));
  }
}

Outcome World::Summary() const {
  Outcome outcome;
  outcome.trace_hash = trace_.hash();
  outcome.events = events_.events_run();
  outcome.operations = workload_.history.size();
  for (const Operation& operation : workload_.history) {
    const bool done = operation.result == Result::kDone;
    outcome.writes += done && IsWrite(operation.kind) ? 1 : 0;
    outcome.strong_reads += done && operation.kind == OperationKind::kStrongRead ? 1 : 0;
  }
  outcome.certificates = audit_.served();
  outcome.refusals = audit_.refused();
  outcome.session_answers = session_audit_.replies();
  outcome.repeated_answers = session_audit_.repeated();
  outcome.expired_sessions = session_audit_.expired();
  outcome.committed = invariants_.committed();
  outcome.terms = invariants_.highest_term();
  outcome.crash_counts = crash_points_.counts();
  return outcome;
}

}  // namespace quorate::sim
