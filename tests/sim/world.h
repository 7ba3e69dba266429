// One run of one seed: nodes, network, clients and faults on one virtual clock, then the verdict.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/sim/clients.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/faults.h"
#include "tests/sim/invariants.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/plan.h"
#include "tests/sim/session_audit.h"
#include "tests/sim/session_clients.h"
#include "tests/sim/trace.h"

namespace quorate::sim {

struct Outcome {
  std::optional<Violation> violation;
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::size_t operations = 0;  // that clients ended
  std::size_t writes = 0;      // acknowledged
  std::size_t strong_reads = 0;
  std::uint64_t certificates = 0;  // checked against the truth
  std::uint64_t refusals = 0;      // of reads; likewise
  std::uint64_t session_answers = 0;  // that were audited
  std::uint64_t repeated_answers = 0;
  std::uint64_t expired_sessions = 0;
  raft::Index committed = 0;
  raft::Term terms = 0;  // the highest term reached
  CrashCounts crash_counts{};
};

class World {
 public:
  // `trace` may be null.
  World(const Plan& plan, std::ostream* trace);

  // Never throws for what the code under test does: a failed assertion is an outcome too.
  Outcome Run();

 private:
  void RunUntil(SimTime limit);
  // Runs until `reached` or for at most `limit`, looking every few milliseconds.
  bool RunUntil(const std::function<bool()>& reached, SimTime limit);
  void RunFaultyPart();
  void Converge();
  bool Converged() const;
  std::string WhyNotConverged() const;
  // A write through each node, and a read of every level on it.
  void Probe();
  void ProbeOne(raft::NodeId id, OperationKind kind, const server::ReadNeed& need,
                const char* what);
  SimTime FreshWithin() const;
  void CheckAges();
  bool AgesStayWithin(SimTime limit, SimTime span);
  void CheckSteadyAges();
  void EndSessions();
  void CheckSessions();
  void CheckHistory();
  std::vector<LoggedWrite> CommittedWrites() const;
  Outcome Summary() const;

  const Plan plan_;
  Random random_;
  EventQueue events_;
  Trace trace_;
  Invariants invariants_;
  FreshnessAudit audit_;
  Network network_;
  CrashPoints crash_points_;
  Environment environment_;
  Nodes nodes_;
  Workload workload_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Faults> faults_;
  SessionAudit session_audit_;
  std::vector<std::unique_ptr<SessionClient>> session_clients_;
};

}  // namespace quorate::sim
