#include "tests/sim/plan.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace quorate::sim {
namespace {

std::uint32_t& Weight(FaultPlan& faults, Fault fault) {
  return faults.weights[static_cast<std::size_t>(fault)];
}

int ChooseNodes(Random& random) {
  constexpr int kSizes[] = {3, 3, 3, 3, 3, 3, 5, 5, 5, 1, 2, 4};
  return kSizes[random.Below(std::size(kSizes))];
}

raft::Options ChooseRaft(Random& random) {
  raft::Options options;
  options.election = random.Between(Millis(100), Millis(500));
  options.heartbeat = options.election / random.Between(5, 16);
  options.read_retry = random.Between(Millis(20), Millis(150));
  options.round_spacing = random.Between(SimTime{0}, Millis(3));
  options.max_append_bytes = static_cast<std::size_t>(random.Between(256, 16 << 10));
  options.max_inflight_bytes =
      options.max_append_bytes * static_cast<std::size_t>(random.Between(1, 16));
  options.max_backlog_bytes = static_cast<std::size_t>(random.Between(2 << 10, 64 << 10));
  options.max_cached_bytes =
      random.Chance(0.5) ? static_cast<std::size_t>(random.Between(0, 2 << 10)) : 1 << 20;
  options.max_forwarded_reads = static_cast<std::size_t>(random.Between(2, 64));
  return options;
}

// A log of a few segments, so that it is cut, and snapshots are needed, every few entries.
void ChooseLogBounds(Plan& plan, Random& random) {
  constexpr std::uint64_t kSegments[] = {4 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10};
  plan.segment_bytes = kSegments[random.Below(std::size(kSegments))];
  const auto up_to = [&random](std::int64_t most) {
    return static_cast<std::uint64_t>(random.Between(0, most));
  };
  server::ReplicaOptions& replica = plan.replica;
  replica.log_retain_bytes = random.Chance(0.5) ? 0 : up_to(16 << 10);
  replica.log_max_bytes = replica.log_retain_bytes + up_to(64 << 10);
  replica.flush_bytes = (1 << 10) + up_to(16 << 10);
  replica.snapshot_worth_bytes = up_to(16 << 10);
  replica.min_free_bytes = up_to(16 << 10);
  replica.check_every = random.Between(Millis(20), Millis(500));
  server::SnapshotOptions& snapshots = replica.snapshots;
  snapshots.rate = (16 << 20) + up_to(64 << 20);
  snapshots.window = static_cast<std::size_t>(random.Between(1, 4));
  snapshots.retry = random.Between(Millis(50), Millis(500));
  snapshots.give_up = snapshots.retry * random.Between(2, 6);
  snapshots.keep = random.Between(Millis(500), Seconds(5));
}

NetworkPlan ChooseNetwork(Random& random) {
  NetworkPlan network;
  network.delay_max = SimTime{random.Between(1, 20) * 500};
  if (random.Chance(0.6)) network.loss = static_cast<double>(random.Below(100)) / 1000;
  if (random.Chance(0.5)) network.duplicate = static_cast<double>(random.Below(100)) / 1000;
  if (random.Chance(0.5)) network.straggle = static_cast<double>(random.Below(50)) / 1000;
  network.straggle_max = random.Between(Millis(10), Seconds(3));
  network.ordered_lanes = random.Chance(0.3);
  return network;
}

DiskPlan ChooseDisk(Random& random) {
  DiskPlan disk;
  disk.page_bytes = random.Chance(0.5) ? 512 : 4096;
  disk.sync_max = SimTime{random.Between(200, 5'000)};
  if (random.Chance(0.5)) disk.slow_chance = static_cast<double>(random.Below(30)) / 1000;
  disk.slow_max = random.Between(Millis(20), Seconds(2));
  disk.forgets_unsynced = random.Chance(0.5);
  return disk;
}

ClientPlan ChooseClients(Random& random) {
  ClientPlan clients;
  clients.count = static_cast<int>(random.Between(2, 6));
  clients.keys = static_cast<int>(random.Between(1, 8));
  clients.value_bytes_max = static_cast<std::size_t>(random.Chance(0.2) ? 3'000 : 200);
  clients.think_mean = random.Between(Millis(5), Millis(60));
  clients.deadline = random.Between(Millis(300), Seconds(2));
  if (random.Chance(0.5)) clients.loss = static_cast<double>(random.Below(100)) / 1000;
  clients.write_share = static_cast<double>(random.Between(20, 80)) / 100;
  clients.weak_share = static_cast<double>(random.Between(0, 80)) / 100;
  return clients;
}

FaultPlan ChooseFaults(Random& random) {
  FaultPlan faults;
  faults.mean = random.Between(Millis(150), Millis(1'200));
  faults.outage_max = random.Between(Millis(50), Seconds(3));
  faults.pause_max = random.Between(Millis(50), Seconds(3));
  faults.slow_disk_max = random.Between(Millis(5), Millis(1'500));
  faults.disk_full_max = random.Between(Millis(100), Seconds(6));
  faults.disk_room_max = random.Chance(0.5) ? 4 << 10 : 256 << 10;
  // Swarm testing: a run that leaves some faults out altogether reaches states that the full
  // mixture never does.
  for (std::uint32_t& weight : faults.weights) {
    weight = random.Chance(0.6) ? static_cast<std::uint32_t>(random.Between(1, 10)) : 0;
  }
  Weight(faults, Fault::kLeaderAndVictim) = random.Chance(0.2) ? 5 : 0;
  Weight(faults, Fault::kWipe) = random.Chance(0.25) ? 4 : 0;
  Weight(faults, Fault::kHeal) = static_cast<std::uint32_t>(random.Between(5, 20));
  return faults;
}

// Half of the runs let nodes die at two of the named points, again and again.
CrashPlan ChooseCrashes(Random& random) {
  constexpr int kOneIn[] = {2, 4, 10, 40};
  const auto points = AllCrashPoints();
  CrashPlan crashes;
  if (random.Chance(0.5)) return crashes;
  for (std::string_view& point : crashes.points) point = points[random.Below(points.size())];
  crashes.chance = 1.0 / kOneIn[random.Below(std::size(kOneIn))];
  crashes.limit = static_cast<std::uint32_t>(random.Between(1, 20));
  return crashes;
}

void FavourLeaderChanges(Plan& plan, Random& random) {
  plan.nodes = random.Chance(0.5) ? 3 : 5;
  plan.faults.weights.fill(0);
  plan.faults.mean = plan.raft.election * 2;
  for (Fault fault : {Fault::kIsolateLeader, Fault::kPause, Fault::kCutOneWay, Fault::kTransfer}) {
    Weight(plan.faults, fault) = 4;
  }
  Weight(plan.faults, Fault::kHeal) = 6;
  plan.network.delay_max = Millis(20);
  plan.network.loss = 0.01;
  plan.clients.count = 6;
  plan.clients.keys = 1;
  plan.clients.think_mean = Millis(2);
  plan.clients.write_share = 0.4;
  plan.clients.weak_share = 0.2;
}

void FavourSlowTails(Plan& plan) {
  plan.nodes = 5;
  plan.faults.weights.fill(0);
  plan.faults.mean = plan.raft.election * 2;
  plan.faults.slow_disk_max = plan.raft.election * 12;
  Weight(plan.faults, Fault::kLeaderAndVictim) = 12;
  Weight(plan.faults, Fault::kHeal) = 1;
  plan.network.loss = 0;
  plan.network.straggle = 0;
  plan.disk.slow_chance = 0;
  plan.clients.count = 5;
  plan.clients.think_mean = Millis(10);
  plan.clients.deadline = Millis(200);
  plan.duration = std::min(plan.duration, Seconds(8));
  plan.clients.write_share = 0.95;
  plan.clients.loss = 0;
}

void FavourCrashes(Plan& plan) {
  plan.nodes = 3;
  plan.faults.weights.fill(0);
  plan.faults.mean = plan.raft.election;
  plan.faults.outage_max = plan.raft.election / 2;
  for (Fault fault : {Fault::kPowerCut, Fault::kPowerCutAll, Fault::kKill, Fault::kHeal}) {
    Weight(plan.faults, fault) = 4;
  }
  plan.disk.sync_max = Millis(20);
}

// Whatever is flushed leaves the log, and who lacks it needs a snapshot.
void CutAtOnce(Plan& plan) {
  plan.segment_bytes = 4 << 10;
  plan.replica.log_retain_bytes = plan.replica.log_max_bytes = plan.replica.snapshot_worth_bytes =
      0;
  plan.replica.flush_bytes = 1 << 10;
  plan.replica.check_every = Millis(20);
}

void FavourSnapshots(Plan& plan, Random& random) {
  plan.nodes = random.Chance(0.7) ? 3 : 5;
  plan.faults.weights.fill(0);
  plan.faults.mean = plan.raft.election * 2;
  plan.faults.outage_max = plan.raft.election * 8;
  for (Fault fault : {Fault::kKill, Fault::kPowerCut, Fault::kIsolate, Fault::kIsolateLeader,
                      Fault::kPause, Fault::kHeal}) {
    Weight(plan.faults, fault) = 4;
  }
  Weight(plan.faults, Fault::kPowerCutAll) = 1;
  CutAtOnce(plan);
  plan.clients.think_mean = Millis(5);
  plan.clients.write_share = 0.9;
  plan.clients.value_bytes_max = 600;
}

void FavourReordering(Plan& plan) {
  plan.nodes = 3;
  plan.faults.weights.fill(0);
  plan.faults.mean = plan.raft.election * 2;
  for (Fault fault : {Fault::kIsolateLeader, Fault::kPause, Fault::kPowerCut}) {
    Weight(plan.faults, fault) = 4;
  }
  Weight(plan.faults, Fault::kHeal) = 8;
  plan.network.ordered_lanes = false;
  plan.network.delay_max = plan.raft.heartbeat * 2;
  plan.network.straggle = 0.05;
  plan.network.straggle_max = plan.raft.election;
  plan.clients.think_mean = Millis(5);
  plan.clients.write_share = 0.9;
}

}  // namespace

void LetDieAt(std::size_t number, Plan& plan) {
  const auto points = AllCrashPoints();
  Random random(Mix(plan.seed ^ 0xdeadULL));
  // Some points are passed a thousand times in a run, and some once in ten runs.
  const double chance = random.Chance(0.5) ? 0.9 : 0.2;
  // What is left for a step to clear away, a death at a step listed nearby leaves.
  const std::size_t beside = number + points.size() - 8 + random.Below(17);
  const std::size_t near = random.Chance(0.7) ? beside : random.Below(points.size());
  plan.crashes = {{points[number % points.size()], points[near % points.size()]}, chance, 20};
  CutAtOnce(plan);
  plan.faults.mean = Millis(200);
  plan.faults.outage_max = Millis(200);
  for (const Fault fault : {Fault::kKill, Fault::kPowerCut, Fault::kTransfer, Fault::kDiskFull}) {
    Weight(plan.faults, fault) = std::max(Weight(plan.faults, fault), 3U);
  }
  // What is cleared away for lack of room needs it to come in the middle of something.
  const bool clears = plan.crashes.points[0].ends_with(" remove");
  if (random.Chance(clears ? 0.7 : 0.1)) {
    Weight(plan.faults, Fault::kDiskFull) = 30;
    plan.faults.disk_room_max = 2 << 10;
    plan.faults.disk_full_max = Millis(300);
  }
}

const char* ToString(Fault fault) {
  constexpr const char* kNames[] = {
      "kill",      "power-cut",      "power-cut-all", "pause",       "shutdown",
      "isolate",   "isolate-leader", "cut-one-way",   "partition",   "leader-and-victim",
      "heal",      "slow-disk",      "transfer",      "unreachable", "wipe",
      "disk-full", "write-error",    "sync-error",    "bit-rot"};
  static_assert(std::size(kNames) == kFaultCount);
  return kNames[static_cast<std::size_t>(fault)];
}

const char* ToString(Profile profile) {
  constexpr const char* kNames[] = {"general", "leader-changes", "slow-tails",
                                    "crashes", "reordering",     "snapshots"};
  static_assert(std::size(kNames) == kProfiles.size());
  return kNames[static_cast<std::size_t>(profile)];
}

Profile ProfileOf(std::uint64_t seed) {
  const std::uint64_t choice = Mix(seed ^ 0x9f0f11eULL) % 10;
  return choice < kProfiles.size() ? kProfiles[choice] : Profile::kGeneral;
}

Plan MakePlan(std::uint64_t seed, Profile profile) {
  Random random(Mix(seed ^ 0x51a7e0ULL));
  Plan plan;
  plan.seed = seed;
  plan.profile = profile;
  plan.nodes = ChooseNodes(random);
  plan.raft = ChooseRaft(random);
  ChooseLogBounds(plan, random);
  plan.network = ChooseNetwork(random);
  plan.disk = ChooseDisk(random);
  plan.clients = ChooseClients(random);
  plan.faults = ChooseFaults(random);
  plan.crashes = ChooseCrashes(random);
  plan.flush_mean = random.Between(Millis(50), Seconds(2));
  plan.drift_ppm_max = random.Between(0, 1'000);
  plan.duration = random.Between(Seconds(4), Seconds(15));
  Random sessions(Mix(seed ^ 0x5e5510ULL));
  plan.clients.sessions = static_cast<int>(sessions.Between(0, 2));
  plan.clients.session_ttl = sessions.Between(Seconds(1), Millis(2'500));
  switch (profile) {
    case Profile::kGeneral:
      break;
    case Profile::kLeaderChanges:
      FavourLeaderChanges(plan, random);
      break;
    case Profile::kSlowTails:
      FavourSlowTails(plan);
      break;
    case Profile::kCrashes:
      FavourCrashes(plan);
      break;
    case Profile::kReordering:
      FavourReordering(plan);
      break;
    case Profile::kSnapshots:
      FavourSnapshots(plan, random);
      break;
  }
  // A read through the leader takes up to four delays; asking again sooner than that would never
  // get an answer.
  const SimTime read_time = plan.network.delay_max * 4 + Millis(10);
  plan.raft.read_retry = std::max(plan.raft.read_retry, read_time);
  plan.clients.read_retry = Millis(100) + read_time * 2;
  server::SnapshotOptions& snapshots = plan.replica.snapshots;
  snapshots.retry = std::max(snapshots.retry, read_time);
  snapshots.give_up = std::max(snapshots.give_up, snapshots.retry * 2);
  // Split votes repeat, and one slow sync may be under way: thirty election timeouts, and two
  // seconds on top.
  plan.convergence_limit = plan.raft.election * 30 + Seconds(4) + snapshots.give_up * 4 +
                           plan.faults.slow_disk_max * 4 + plan.disk.slow_max * 4;
  return plan;
}

std::string Describe(const Plan& plan) {
  std::ostringstream out;
  out << ToString(plan.profile) << " nodes=" << plan.nodes
      << " duration=" << plan.duration.count() / 1000
      << "ms election=" << plan.raft.election.count() / 1000
      << "ms heartbeat=" << plan.raft.heartbeat.count() / 1000
      << "ms cached=" << plan.raft.max_cached_bytes << "B delay<=" << plan.network.delay_max.count()
      << "us loss=" << plan.network.loss << " duplicate=" << plan.network.duplicate
      << " straggle=" << plan.network.straggle << " clients=" << plan.clients.count
      << " sessions=" << plan.clients.sessions << " keys=" << plan.clients.keys
      << " segment=" << plan.segment_bytes << "B retain=" << plan.replica.log_retain_bytes << "B"
      << " page=" << plan.disk.page_bytes << "B faults:";
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    if (plan.faults.weights[i] > 0) {
      out << ' ' << ToString(static_cast<Fault>(i)) << '=' << plan.faults.weights[i];
    }
  }
  if (plan.crashes.limit > 0) {
    out << "; dies '" << plan.crashes.points[0] << "', '" << plan.crashes.points[1]
        << "' with chance " << plan.crashes.chance << " up to " << plan.crashes.limit << " times";
  }
  return out.str();
}

}  // namespace quorate::sim
