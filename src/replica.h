// The replica driver: feeds the consensus core, and carries out what it asks for on the log, the
// state machine and the network. The server runs it on threads and sockets; the simulator runs the
// same code on a virtual clock, network and disk. Everything but the work handed to Host::Run
// happens on one thread, the loop.
//
//   replica.cc            inputs, one pass, the log, apply, what clients wait for
//   replica_sessions.cc   the cluster clock; ending sessions (session_keeper.h)
//   replica_snapshots.cc  snapshots for others, and installing one here
//   replica_disk.cc       the disk's bounds: cutting the log, flushing, doing without room
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "src/session_keeper.h"
#include "src/snapshot_transfer.h"
#include "storage/data_dir.h"
#include "storage/log.h"
#include "storage/state_machine.h"

namespace quorate::server {

// Where blocking work runs. Work on one lane runs one after the other, in the order given.
enum class Lane {
  kLog,       // write and sync the log
  kApply,     // apply to the state machine
  kRead,      // reads that may touch the disk
  kPrepare,   // make the next log segment ready, cut the log
  kSnapshot,  // take, send, fetch and check snapshots
};

// How a write ended. Anything but kApplied is certain not to have been executed.
enum class WriteStatus {
  kApplied,
  kNotLeader,
  kOverloaded,  // the backlog is full (raft::Options::max_backlog_bytes)
  kDiskFull,    // this node's disk, or those of so many that no quorum is left, have no room
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

// For histograms and logs; each may be null.
struct ReplicaObserver {
  // Once for each batch.
  std::function<void(raft::Duration sync, std::size_t entries, std::size_t bytes)> on_log_sync;
  std::function<void(raft::Duration took, std::size_t entries)> on_apply;
  // What an operator should read, in one line: a trouble that begins, or what has happened or
  // ended.
  enum class News { kGood, kBad };
  std::function<void(News news, const std::string& text)> on_news;
};

struct ReplicaOptions {
  raft::Options raft;
  SnapshotOptions snapshots;

  // The log is kept for followers that were away: at least this much of it behind what the state
  // machine has flushed, and for live ones that lag up to log_max_bytes.
  std::uint64_t log_retain_bytes = 256 << 20;
  std::uint64_t log_max_bytes = 1 << 30;
  // Log behind the last flush of the state machine that asks for the next one: it must be read and
  // applied again at a start.
  std::uint64_t flush_bytes = 256 << 20;
  // A follower that lacks more log than this, and more than the database has bytes, gets a
  // snapshot.
  std::uint64_t snapshot_worth_bytes = 64 << 20;
  // With less room on the disk, entries are refused, and the log is cut as far as can be.
  std::uint64_t min_free_bytes = 128 << 20;
  // How often all that is looked at.
  raft::Duration check_every{1'000'000};
};

// What a replica is opened with. Files and directory must outlive it.
struct ReplicaStorage {
  storage::FileSystem& files;
  storage::DataDir& directory;
  storage::Log::Opened log;
  std::unique_ptr<storage::StateMachine> state;
  storage::OpenStateMachine open;  // opens another generation of the database
};

// What the disk holds, as of the last look (at most ReplicaOptions::check_every ago).
struct DiskUse {
  storage::LogStats log;
  std::uint64_t log_bytes_unflushed = 0;
  std::uint64_t database_bytes = 0;
  raft::Index flushed = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t snapshot_bytes = 0;  // kept for others
  std::string full;                  // why no entries are taken; empty: they are
};

// Since the start.
struct ReplicaCounters {
  std::uint64_t snapshots_taken = 0;
  std::uint64_t snapshots_installed = 0;
  std::uint64_t log_cuts = 0;
};

class Replica {
 public:
  // `host` must outlive the replica. Nothing runs before the first Pump().
  Replica(const ReplicaOptions& options, const raft::Self& self, ReplicaStorage storage, Host& host,
          std::uint64_t seed);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // --- Inputs. Each asks the host for a Pump(). Tickets are the caller's, and come back exactly
  // once. ----------------
  void Receive(raft::Message message);
  void ReceiveSnapshot(raft::NodeId from, const SnapshotMessage& message);
  void OnUnreachable(raft::NodeId peer);
  void Tick();  // at or after NextDeadline()
  raft::Time NextDeadline() const;

  // The encoded command is copied once, to what log, followers and state machine carry. Answered by
  // Host::OnWrite, unless the process ends: an outcome that no one can know yet stays open, so give
  // each ticket a deadline of your own. kStamped: a command of a session, which takes the cluster
  // clock along (wire::Command.stamp_us).
  enum class Stamping { kPlain, kStamped };
  void Write(std::string_view command, Stamping stamping, std::uint64_t ticket);
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
  // Takes a snapshot now, keeps it for others as SnapshotSender does, and cuts the log as far as
  // that allows. `done` gets it, or why there is none.
  void TakeSnapshot(SnapshotSender::Taken done);
  // Answers from the snapshots that are kept, for clients that fetch one.
  SnapshotSender& snapshots() { return sender_; }

  void Pump();

  // Bytes that were durable are damaged: this node may have forgotten what it promised. It says so
  // on its disk, so that it never starts again as it is, and ends.
  void Quarantine(const std::string& why);

  // Stops taking writes, lets the log and the state machine finish, marks a clean shutdown; then
  // calls `done`, on the loop.
  void Shutdown(std::function<void()> done);

  // --- What it knows.
  // ------------------------------------------------------------------------------------------------
  const raft::Raft& core() const { return core_; }
  const storage::StateMachine& state() const { return *state_; }
  // For work off the loop: a snapshot may replace the state machine meanwhile.
  std::shared_ptr<const storage::StateMachine> shared_state() const { return state_; }
  const DiskUse& disk_use() const { return disk_use_; }
  const ReplicaCounters& counters() const { return counters_; }
  std::optional<SnapshotProgress> fetching() const { return receiver_.progress(); }
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

  // Everything is on one lane or the loop; see Host::Run.
  struct LogJob;
  struct Look;

  void ProposeQueued(raft::Time now);
  void RequestQueuedReads(raft::Time now);
  void CarryOut(raft::Ready ready);
  void Fetch(const raft::FetchRequest& request);
  void FinishRead(const raft::ReadResult& result);
  void StartLogWrite();
  void StartApply();
  void OnLogWritten(const std::shared_ptr<LogJob>& job);
  void OnApplyFailed(const storage::Error& error);
  void OnApplied(const std::vector<storage::Applied>& results);
  void GrantAppliedReads();
  void CompleteWrites(const storage::Applied& applied);
  void RefuseOpenWrites();
  void AnswerWrite(std::uint64_t ticket, const WriteResult& result);
  void NoteFreshness();
  void CheckMembership();
  void MaybeFinishShutdown();
  void Report(ReplicaObserver::News news, const std::string& text) const;
  void ReportOnce(const std::string& trouble);  // not again while it is the same

  // replica_sessions.cc
  raft::Term LeadingTerm() const;  // 0: it does not lead
  void NoteOwnTerm(const storage::Applied& last);
  void LookAtSessions(raft::Time now);
  void EndSessions(const std::vector<std::uint64_t>& due);

  // replica_snapshots.cc
  void KeepSnapshotForFollowers(raft::Time now);
  void MaybeInstall();
  bool InstallDue() const;
  storage::Status OpenInstalled(const storage::Manifest& manifest,
                                std::unique_ptr<storage::StateMachine>& state);
  void OnInstalled(const storage::Manifest& manifest, std::shared_ptr<storage::StateMachine> state);
  void RemoveRetired();

  // replica_disk.cc
  void PrepareSpare();
  void LookAtDisk(raft::Time now);
  void OnLooked(Look& look);
  raft::Index KeepForFollowers() const;
  void CutLog(raft::Position start);
  void FlushState();
  void JudgeDisk();
  std::uint64_t FreeBytesNeeded() const;
  void NoteWritten(std::size_t bytes);
  void NoteStuckDisk(raft::Time now);
  void NoteSlowSync(raft::Duration took);

  const ReplicaOptions options_;
  Host& host_;
  storage::FileSystem& files_;
  storage::DataDir& directory_;
  const storage::OpenStateMachine open_;
  std::unique_ptr<storage::Log> log_;
  std::shared_ptr<storage::StateMachine> state_;
  const raft::Configuration base_configuration_;  // if the state machine has applied none
  std::mt19937_64 random_;
  raft::Raft core_;
  SnapshotSender sender_;
  SnapshotReceiver receiver_;
  SessionKeeper keeper_;

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
  bool flushing_ = false;
  bool looking_ = false;
  raft::Index apply_to_ = 0;
  raft::Index applied_ = 0;
  raft::Index last_at_start_ = 0;
  bool caught_up_ = false;

  // Anchors whose index may not be applied yet, oldest first; the front is the newest one that is.
  std::deque<raft::Freshness> anchors_;

  std::optional<storage::Manifest> arrived_;  // fetched and checked, not installed yet
  raft::Time install_not_before_{0};          // after one that found no room
  raft::Time snapshot_not_before_{0};         // after one that could not be taken
  std::vector<std::shared_ptr<storage::StateMachine>> retired_;  // replaced; in use by a scan still

  raft::Time next_look_{0};
  std::uint64_t written_since_look_ = 0;  // to the log
  DiskUse disk_use_;
  // What the last attempts met; each is tried again at the next look.
  struct Room {
    bool lacking = false;
    bool retry = false;  // one more attempt may be made
    bool MayTry() { return !lacking || std::exchange(retry, false); }
  };
  std::optional<raft::Time> room_since_;  // on a disk that was full
  Room log_room_;
  Room state_room_;
  bool spare_has_no_room_ = false;
  bool disk_was_stuck_ = false;
  raft::Time slow_noted_{0};
  ReplicaCounters counters_;

  bool shutting_down_ = false;
  std::function<void()> shutdown_done_;
  std::string last_trouble_;
  ReplicaObserver observer_;
};

}  // namespace quorate::server
