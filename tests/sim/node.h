// One simulated machine: its clock, its disk, and the process that runs the real replica on them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/replica.h"
#include "storage/data_dir.h"
#include "storage/recover.h"
#include "tests/sim/clock.h"
#include "tests/sim/crash_points.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/freshness_audit.h"
#include "tests/sim/history.h"
#include "tests/sim/invariants.h"
#include "tests/sim/model_state_machine.h"
#include "tests/sim/network.h"
#include "tests/sim/plan.h"
#include "tests/sim/trace.h"
#include "tests/sim/virtual_disk.h"
#include "tests/sim/watched_files.h"

namespace quorate::sim {

// What the parts of one run share.
struct Environment {
  const Plan& plan;
  EventQueue& events;
  Trace& trace;
  Invariants& invariants;
  FreshnessAudit& audit;
  Network& network;
  CrashPoints& crash_points;
  // A node has been elected; called on its loop, with its first messages on their way.
  std::function<void(raft::NodeId)> on_leader;
  // A node has ended by itself, not by a fault of the plan: someone must start it again.
  std::function<void(raft::NodeId)> on_ended;
};

struct Request {
  OperationKind kind = OperationKind::kPut;
  std::string key;
  Bytes command;  // writes only
  server::Replica::Stamping stamping = server::Replica::Stamping::kPlain;
  server::ReadNeed need{};  // reads only, as the next
  SimTime deadline{0};    // from its arrival
};

enum class ReplyStatus {
  kOk,
  kNotExecuted,  // certain: safe to retry
};

struct Reply {
  ReplyStatus status = ReplyStatus::kOk;
  raft::NodeId leader = raft::kNoNode;  // a hint
  storage::Applied applied;             // writes
  storage::ReadOutcome read;            // reads
  bool met = true;                      // reads: as fresh as asked for
};
using ReplyTo = std::function<void(const Reply&)>;

class Node : private server::Host {
 public:
  Node(const Environment& environment, raft::NodeId id, Random random);
  ~Node() override;

  raft::NodeId id() const { return id_; }
  bool up() const { return replica_ != nullptr; }
  bool down() const { return state_ == State::kDown; }
  // A clean shutdown has begun and not ended.
  bool leaving() const { return leaving_; }
  // Replaced by an empty directory: it must never take part again.
  bool wiped() const { return wiped_; }
  // Its disk is damaged, and it has said so: it does not start.
  bool quarantined() const { return quarantined_; }
  // Whether the cluster must do without it for good.
  bool lost() const { return wiped_ || rotten_; }
  // Has had a first boot that succeeded.
  bool established() const { return bootstrapped_; }
  raft::Uuid uuid() const { return uuid_; }
  // Of a node that is up.
  const raft::Raft& core() const { return replica_->core(); }
  const ModelStateMachine& state_machine() const {
    return static_cast<const ModelStateMachine&>(replica_->state());
  }
  // What it could say of the age of its own state now.
  std::optional<raft::Duration> Age();

  // What happens to it.
  void Start();
  void Kill();      // the process
  void CutPower();  // the machine
  void ShutDown();  // cleanly; then it is down
  void Wipe();      // of a node that is down
  void Rot();       // the machine is off; a bit of its disk flips
  void Pause(SimTime duration);
  void Resume();
  void SlowDisk(SimTime extra) { disk_.SetExtraDelay(extra); }
  VirtualDisk& disk() { return disk_; }
  void TransferLeadership(raft::NodeId target);
  void ConnectionBroke(raft::NodeId peer);

  void Deliver(raft::Message message);
  void DeliverSnapshot(raft::NodeId from, server::SnapshotMessage message);
  // `reply` is called at most once, and never if the process ends first.
  void Submit(const Request& request, ReplyTo reply);

 private:
  enum class State { kDown, kBooting, kUp };
  static constexpr std::size_t kLanes = 5;
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };
  struct LaneQueue {
    std::deque<Job> jobs;
    bool busy = false;
  };
  struct Waiting {
    Request request;
    ReplyTo reply;
    AskedRead asked;  // reads
  };

  // server::Host
  raft::Time Now() override { return clock_.Local(env_.events.now()); }
  void Send(raft::Message message) override;
  void SendSnapshot(raft::NodeId to, server::SnapshotMessage message) override;
  void Run(server::Lane lane, std::function<void()> work, std::function<void()> done) override;
  void PumpSoon() override;
  void Fatal(const std::string& why) override;
  void OnWrite(std::uint64_t ticket, const server::WriteResult& result) override;
  void OnRead(const server::Read& read) override;
  void OnSoftState(const raft::SoftState& state) override;

  void Note(std::string_view what, const std::string& detail = {});
  // Runs `action` on the loop of this life of the process: now, or when it is no longer paused.
  void OnLoop(std::function<void()> action);
  void OnLoopAt(SimTime when, std::function<void()> action);
  void RunOnLoop(const std::function<void()>& action);
  void AfterEvent();
  void ScheduleTick();
  void ScheduleFlush(SimTime after);
  void StartJob(std::size_t lane);
  void EndProcess();
  // Passes a crash point; throws Crash if the node dies there.
  void Pass(const std::string& point);
  // Runs a part of the code under test. False if it came to a crash point at which the node dies,
  // at the moment that `when` gives.
  bool Survives(const std::function<void()>& work, const std::function<SimTime()>& when);
  void Die();
  // Its disk has failed a call, or refused one for lack of room, in this life.
  bool DiskFailed() const { return disk_.failures() > failures_at_start_; }
  bool DiskRefused() const { return disk_.refusals() > refusals_at_start_; }

  std::unique_ptr<storage::DataDir> OpenDirectory();
  void Boot();
  // The process gives up at the start, as it should; or a promise is broken.
  void RefuseToStart(const char* invariant, const storage::Error& error);
  bool TailRotted(const storage::LogRecovery& recovery) const;
  storage::Result<std::unique_ptr<storage::StateMachine>> OpenState(const std::string& directory);
  void FinishBoot(storage::RecoveredNode recovered);
  void CheckFreshness();
  void TakeUpRead(Waiting waiting);
  void ReadOnLane(const server::Read& read);
  void ServeRead(server::Read read, SimTime read_at, const storage::ReadOutcome& outcome);
  void RefuseRead(const server::Read& read);
  storage::ReadOutcome ReadState(const Waiting& waiting) const;

  const Environment& env_;
  const raft::NodeId id_;
  Random random_;
  Clock clock_;
  VirtualDisk disk_;
  // The same, with crash points: for the node, and for its state machine.
  WatchedFiles files_;
  WatchedFiles state_files_;
  bool bootstrapped_ = false;  // its identity is durable: it must find its directory again
  bool wiped_ = false;
  bool rotten_ = false;
  bool quarantined_ = false;
  raft::Uuid uuid_;

  // The process.
  State state_ = State::kDown;
  std::uint64_t life_ = 0;  // of the process; what belongs to an earlier one is ignored
  std::unique_ptr<storage::DataDir> directory_;
  std::unique_ptr<server::Replica> replica_;
  std::array<LaneQueue, kLanes> lanes_;
  std::map<std::uint64_t, Waiting> waiting_;  // by ticket
  std::uint64_t next_ticket_ = 1;
  bool pump_due_ = false;
  std::optional<SimTime> tick_at_;
  std::optional<raft::Time> checked_freshness_;
  bool leaving_ = false;
  bool dying_ = false;  // at a crash point
  std::uint64_t failures_at_start_ = 0;
  std::uint64_t refusals_at_start_ = 0;
  bool ended_ = false;  // by a fatal error or a clean shutdown; takes effect after the event
  SimTime paused_until_{0};
  SimTime resumed_{0};
  std::deque<std::function<void()>> inbox_;  // while paused
};

}  // namespace quorate::sim
