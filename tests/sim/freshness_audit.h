// Is what each answer says of its freshness true, and each refusal justified? Judged by what no
// node knows: when each entry was first committed anywhere, in true time.
#pragma once

#include <cstdint>
#include <vector>

#include "raft/types.h"
#include "src/read_path.h"
#include "tests/sim/invariants.h"
#include "tests/sim/random.h"

namespace quorate::sim {

// A read as the world sees it.
struct AskedRead {
  raft::NodeId node = raft::kNoNode;
  SimTime at{0};              // the node took it up
  raft::Index committed = 0;  // anywhere, at that moment
  raft::Index served = 0;     // the most that the node had served by then
};

class FreshnessAudit {
 public:
  // `drift_ppm_max`: how much faster than true time a node's clock may run.
  FreshnessAudit(const Invariants& invariants, int nodes, std::int64_t drift_ppm_max)
      : invariants_(invariants),
        drift_ppm_max_(drift_ppm_max),
        held_(static_cast<std::size_t>(nodes) + 1) {}

  // The node starts: what it knew of its freshness is gone.
  void OnStart(raft::NodeId node) { held_[node].clear(); }
  // `node` has learned that everything committed by `at` has an index <= `index`.
  void OnAnchor(SimTime now, raft::NodeId node, SimTime at, raft::Index index);

  // An answer with the state at `position`, for which the clock was read at `read_at`.
  void OnServed(const AskedRead& asked, const server::Read& read, const server::Proof& proof,
                raft::Position position, SimTime read_at);
  // `applied`: what the node had applied when it refused. `late`: its deadline had passed, by its
  // own clock.
  void OnRefused(SimTime now, const AskedRead& asked, const server::Read& read, raft::Index applied,
                 bool late);

  std::uint64_t served() const { return served_; }
  std::uint64_t refused() const { return refused_; }

 private:
  struct Held {
    SimTime since{0};
    SimTime at{0};
    raft::Index index = 0;
  };

  void CheckClaim(const AskedRead& asked, const server::Proof& proof, raft::Index index,
                  SimTime read_at) const;
  void CheckPromise(const AskedRead& asked, const server::ReadNeed& need, raft::Index index) const;
  void CheckStale(SimTime now, const AskedRead& asked, const server::Read& read,
                  raft::Index applied) const;
  void CheckBehind(SimTime now, const AskedRead& asked, const server::Read& read,
                   raft::Index applied) const;
  bool HeldFor(SimTime now, const Held& held) const;

  SimTime LargestAge(SimTime elapsed) const;

  const Invariants& invariants_;
  const std::int64_t drift_ppm_max_;
  std::vector<std::vector<Held>> held_;  // by node; in this life, newest last
  std::uint64_t served_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace quorate::sim
