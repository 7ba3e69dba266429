// The replica driver: feeds the consensus core, and carries out what it asks for on the log, the
// state machine and the network. The server runs it on threads and sockets; the simulator runs the
// same code on a virtual clock, network and disk. Everything but the work handed to Host::Run
// happens on one thread, the loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "src/snapshot_transfer.h"
#include "storage/log.h"
#include "storage/state_machine.h"

namespace quorate::server {

// Where blocking work runs. Work on one lane runs one after the other, in the order given.
enum class Lane {
  kLog,      // write and sync the log
  kApply,    // apply to the state machine
  kRead,     // reads that may touch the disk
  kPrepare,  // make the next log segment ready, cut the log
  kSnapshot,  // take, send, fetch and check snapshots
};

// How a write ended. Anything but kApplied is certain not to have been executed.
enum class WriteStatus {
  kApplied,
  kNotLeader,
  kOverloaded,  // the backlog is full (raft::Options::max_backlog_bytes)
  kSuperseded,  // another leader's entry took its place
  kShuttingDown,
};

struct WriteResult {
  WriteStatus status = WriteStatus::kApplied;
  storage::Applied applied;  // kApplied: index, term and what the command did
};

struct ReadGrant {
  raft::ReadFailure failure = raft::ReadFailure::kNone;
  raft::Index index = 0;    // the state machine has applied at least this
  bool via_leader = false;  // another node confirmed it
};

// What a replica needs from its surroundings. All calls come from the loop, and none may call back
// into the replica before it returns.
class Host {
 public:
  virtual ~Host() = default;

  // CLOCK_BOOTTIME, read now: never a cached time (the process may have been stopped in between;
  // D6.3).
  virtual raft::Time Now() = 0;
  // Best effort; may be lost, delayed, duplicated, reordered.
  virtual void Send(raft::Message message) = 0;
  // On a lane of its own, best effort as well.
  virtual void SendSnapshot(raft::NodeId to, SnapshotMessage message) = 0;
  // Runs `work` on the lane, then `done` on the loop.
  virtual void Run(Lane lane, std::function<void()> work, std::function<void()> done) = 0;
  // Asks for one Pump() once what is ready now has been taken up: that is what makes batches.
  virtual void PumpSoon() = 0;
  // The process must not go on: a write or sync failed, or this member was replaced. Logs and
  // aborts in the server.
  virtual void Fatal(const std::string& why) = 0;

  virtual void OnWrite(std::uint64_t ticket, const WriteResult& result) = 0;
  virtual void OnRead(std::uint64_t ticket, const ReadGrant& grant) = 0;
  virtual void OnSoftState(const raft::SoftState& state) = 0;
};

// Called once for each batch, for histograms; may be null.
struct ReplicaObserver {
  std::function<void(raft::Duration sync, std::size_t entries, std::size_t bytes)> on_log_sync;
  std::function<void(raft::Duration took, std::size_t entries)> on_apply;
};

class Replica {
 public:
  // `host`, and what it was opened with, must outlive the replica. Nothing runs before the first
  // Pump().
  Replica(const raft::Options& options, const raft::Self& self, storage::Log::Opened opened,
          std::unique_ptr<storage::StateMachine> state, Host& host, std::uint64_t seed);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // --- Inputs. Each asks the host for a Pump(). Tickets are the caller's, and come back exactly
  // once. ----------------
  void Receive(raft::Message message);
  void OnUnreachable(raft::NodeId peer);
  void Tick();  // at or after NextDeadline()
  raft::Time NextDeadline() const { return core_.NextDeadline(); }

  // The encoded command is what log, followers and state machine carry. Answered by Host::OnWrite,
  // unless the process ends: an outcome that no one can know yet stays open, so give each ticket a
  // deadline of your own.
  void Write(Bytes command, std::uint64_t ticket);
  // Linearizable: answered by Host::OnRead once the state machine holds everything committed before
  // this call.
  void StrongRead(std::uint64_t ticket);
  // A consistent prefix, never behind what this node served before, restarts included (D6.1).
  struct EventualGrant {
    bool caught_up = false;  // false: refuse with NOT_CAUGHT_UP{have, want}
    raft::Index have = 0;
    raft::Index want = 0;
  };
  EventualGrant EventualRead();

  void TransferLeadership(raft::NodeId target);

  void Pump();

  // Stops taking writes, lets the log and the state machine finish, marks a clean shutdown; then
  // calls `done`, on the loop.
  void Shutdown(std::function<void()> done);

  // --- What it knows.
  // ------------------------------------------------------------------------------------------------
  const raft::Raft& core() const { return core_; }
  const storage::StateMachine& state() const { return *state_; }
  // How long before `now` a state that has applied up to `applied` is complete: everything
  // committed anywhere earlier than that is in it. Nothing if no such bound is known. `now` must
  // have been read after the request arrived (D6.3).
  struct Age {
    raft::Duration bound{0};
    raft::Index fresh_index = 0;
  };
  std::optional<Age> AgeOf(raft::Index applied, raft::Time now) const;
  void Observe(ReplicaObserver observer) { observer_ = std::move(observer); }

 private:
  struct PendingWrite {
    raft::Index index = 0;
    raft::Term term = 0;
    std::uint64_t ticket = 0;
  };
  struct Proposal {
    Bytes command;
    std::uint64_t ticket = 0;
  };
  struct WaitingForApply {
    ReadGrant grant;
    std::vector<std::uint64_t> tickets;
  };

  void ProposeQueued(raft::Time now);
  void RequestQueuedReads(raft::Time now);
  void CarryOut(raft::Ready ready);
  void Fetch(const raft::FetchRequest& request);
  void FinishRead(const raft::ReadResult& result);
  void StartLogWrite();
  void StartApply();
  void OnApplied(const std::vector<storage::Applied>& results);
  void CompleteWrites(const storage::Applied& applied);
  void NoteFreshness();
  void CheckMembership();
  void PrepareSpare();
  void MaybeFinishShutdown();

  Host& host_;
  std::unique_ptr<storage::Log> log_;
  std::unique_ptr<storage::StateMachine> state_;
  raft::Raft core_;

  std::vector<Proposal> proposals_;          // since the last Pump()
  std::deque<PendingWrite> pending_writes_;  // in the log, not applied; ordered by term, then index
  std::vector<std::uint64_t> queued_reads_;  // since the last Pump()
  std::map<std::uint64_t, std::vector<std::uint64_t>>
      read_batches_;  // tickets, by the id given to the core
  std::uint64_t next_read_batch_ = 1;
  std::multimap<raft::Index, WaitingForApply> waiting_for_apply_;

  std::vector<raft::AppendBatch> log_queue_;
  std::size_t queued_log_bytes_ = 0;
  bool log_busy_ = false;
  bool apply_busy_ = false;
  bool preparing_ = false;
  raft::Index apply_to_ = 0;
  raft::Index applied_ = 0;
  raft::Index last_at_start_ = 0;
  bool caught_up_ = false;

  // Anchors whose index may not be applied yet, oldest first; the front is the newest one that is.
  std::deque<raft::Freshness> anchors_;

  bool shutting_down_ = false;
  std::function<void()> shutdown_done_;
  ReplicaObserver observer_;
};

}  // namespace quorate::server
