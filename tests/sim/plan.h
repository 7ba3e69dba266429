// What one seed chooses before the run begins.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "raft/options.h"
#include "src/replica.h"
#include "tests/sim/crash_points.h"
#include "tests/sim/random.h"
#include "tests/sim/virtual_disk.h"

namespace quorate::sim {

struct NetworkPlan {
  SimTime delay_min{50};
  SimTime delay_max{1'000};  // jitter: each message draws its own
  double loss = 0;
  double duplicate = 0;
  double straggle = 0;  // chance of a message that comes up to straggle_max late
  SimTime straggle_max{0};
  bool ordered_lanes = false;  // as TCP does: order within a lane, none between lanes
};

struct ClientPlan {
  int count = 3;
  int keys = 4;
  std::size_t value_bytes_max = 200;
  SimTime think_mean{20'000};
  SimTime deadline{1'000'000};
  SimTime read_retry{100'000};
  double loss = 0;  // of requests and of replies
  double write_share = 0.5;
  double weak_share = 0.2;  // of reads: those of every level but strong
  int sessions = 1;         // clients that write in sessions (session_clients.h)
  SimTime session_ttl{1'000'000};
};

enum class Fault {
  kKill,      // the process of one node dies
  kPowerCut,  // the machine of one node dies: what was not synced is lost or torn
  kPowerCutAll,
  kPause,     // one process stops for a while
  kShutdown,  // one node ends cleanly and starts again
  kIsolate,   // one node, both ways
  kIsolateLeader,
  kCutOneWay,        // one link, one direction
  kPartition,        // two halves
  kLeaderAndVictim,  // the leader reaches one slow-disk follower only; that follower hears
                     // everybody
  kHeal,             // all links
  kSlowDisk,
  kTransfer,     // the leader hands over
  kUnreachable,  // a connection breaks: a leader is told that messages were lost
  kWipe,         // a directory is replaced by an empty one, under the old id
  kDiskFull,     // one node's disk has next to no room for a while
  kWriteError,   // the next write on one node fails
  kSyncError,    // so does the next sync, and its pages are lost with the power
  kBitRot,       // a durable bit of one node flips while its machine is off
  kCount,
};
inline constexpr std::size_t kFaultCount = static_cast<std::size_t>(Fault::kCount);
const char* ToString(Fault fault);

struct FaultPlan {
  SimTime mean{400'000};          // between faults
  SimTime outage_max{2'000'000};  // until a node starts again
  SimTime pause_max{2'000'000};
  SimTime slow_disk_max{300'000};  // added to each sync
  SimTime disk_full_max{3'000'000};
  std::uint64_t disk_room_max = 0;  // left on a full disk, in bytes
  std::array<std::uint32_t, kFaultCount> weights{};
};

// Bugs that live in the simulated world instead of the core, to test the checkers themselves.
enum class WorldControl {
  kNone,
  kLyingDisk,        // syncs do nothing
  kStaleRead,        // a strong read returns the value of an older moment
  kForgottenFlush,   // an eventual read after a restart skips the check of D6.1
  kWipedVoter,       // a replaced directory claims the uuid of the old one
  kNeedlessRefusal,  // a bounded read that could be served is refused
  kWildClocks,       // the rates of clocks differ by far more than rho
};

// Raises the chance of what a bug needs to show; scripts nothing.
enum class Profile {
  kGeneral,
  kLeaderChanges,  // leaders lose touch often, with reads running
  kSlowTails,      // one follower's disk is slow while leaders change and its tail is rewritten
  kCrashes,        // power cuts, right after votes and acks
  kReordering,     // heartbeats overtake appends, leaders change
  kSnapshots,      // logs are cut at once, and followers are often too far behind for them
};
inline constexpr std::array kProfiles = {Profile::kGeneral,    Profile::kLeaderChanges,
                                         Profile::kSlowTails,  Profile::kCrashes,
                                         Profile::kReordering, Profile::kSnapshots};

struct Plan {
  std::uint64_t seed = 0;
  Profile profile = Profile::kGeneral;
  int nodes = 3;
  raft::Options raft;
  server::ReplicaOptions replica;  // but for `raft`
  std::uint64_t segment_bytes = 64 << 10;
  SimTime duration{0};                 // of the part with faults
  SimTime convergence_limit{0};        // after everything is healed
  SimTime flush_mean{500'000};         // between flushes of a state machine
  std::int64_t drift_ppm_max = 1'000;  // rho of D3
  NetworkPlan network;
  DiskPlan disk;
  ClientPlan clients;
  FaultPlan faults;
  CrashPlan crashes;
  WorldControl world_control = WorldControl::kNone;
};

// The profile of an ordinary seed: mostly kGeneral.
Profile ProfileOf(std::uint64_t seed);
const char* ToString(Profile profile);
Plan MakePlan(std::uint64_t seed, Profile profile);
// Makes nodes die at point `number` of AllCrashPoints() (modulo their count), and often otherwise.
void LetDieAt(std::size_t number, Plan& plan);
std::string Describe(const Plan& plan);

}  // namespace quorate::sim
