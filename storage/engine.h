// RocksDB as the state machine uses it: its families, its options, and what it keeps besides keys.
//
//   column family   key              value
//   default         the key          stored_record.h
//   meta            "applied"        index u64 | term u64
//   meta            "configuration"  the last applied one, encoded
//   meta            "session/..."    sessions.h
//
// RocksDB's own log is off. Both families are flushed together (atomic_flush), so that after a
// crash the data is that of exactly the position beside it, and the raft log replays what follows.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "raft/configuration.h"
#include "raft/types.h"
#include "storage/result.h"
#include "storage/state_machine.h"

namespace quorate::storage {

inline constexpr char kAppliedKey[] = "applied";
inline constexpr char kConfigurationKey[] = "configuration";

std::string EncodePosition(raft::Position position);
tl::unexpected<Error> FailRocksDb(const rocksdb::Status& status, std::string_view doing);
// The database holds bytes that no version of this program writes.
tl::unexpected<Error> FailForm();

// Notes what RocksDB does in the background. Thread-safe.
class EngineListener final : public rocksdb::EventListener {
 public:
  void OnFlushBegin(rocksdb::DB* db, const rocksdb::FlushJobInfo& info) override;
  void OnCompactionBegin(rocksdb::DB* db, const rocksdb::CompactionJobInfo& info) override;
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& info) override;
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override;
  // Left to itself RocksDB would look for room every few seconds, and refuse to resume meanwhile.
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, rocksdb::Status error,
                            bool* by_itself) override;

  // So that flushed() asks RocksDB only after a flush.
  void NoteFlush() { flushed_.store(true, std::memory_order_release); }
  bool TakeFlush() { return flushed_.exchange(false, std::memory_order_acq_rel); }

  // A flush or compaction has failed since the last ForgetFailure().
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  void NoteFailure() { failed_.store(true, std::memory_order_release); }
  void ForgetFailure() { failed_.store(false, std::memory_order_release); }

  // How many flushes and failures there have been; waits for one more, but not for ever.
  std::uint64_t events() const;
  void WaitForEventAfter(std::uint64_t events) const;

 private:
  void AddEvent();

  std::atomic<bool> flushed_{true};
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::uint64_t events_ = 0;
};

// An open RocksDB with its two families. As thread-safe as RocksDB itself. Shared: a scan keeps it
// open beyond the state machine.
struct Engine {
  std::shared_ptr<EngineListener> listener = std::make_shared<EngineListener>();
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> data;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> meta;

  DatabaseOptions::Hang hang;

  mutable std::mutex go_on_mutex;

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    data.reset();  // handles before their database
    meta.reset();
  }

  // The position that `read` sees; nothing if that needs the disk and must not wait
  // for it (page_cache.h).
  Result<std::optional<raft::Position>> Position(const rocksdb::ReadOptions& read) const;
  // The last configuration applied; nothing if none has been.
  Result<std::optional<raft::Configuration>> Configuration() const;
  // Flushes both families together; what was written before the call is durable on return.
  Status Flush() const;
  // After a failed flush or compaction RocksDB takes no more until it is told to go on: does that,
  // if need be, and once more what had failed. kNoSpace: there is still no room.
  Status GoOn() const;

 private:
  Status WaitUntilFlushed(raft::Index index) const;
  std::uint64_t RoomToGoOn() const;
};

// kCorrupt: damaged.
Result<std::unique_ptr<Engine>> OpenEngine(const std::string& path, const DatabaseOptions& options);
// Changes nothing in `path`, not even RocksDB's own notes. Reads only.
Result<std::unique_ptr<Engine>> OpenEngineToRead(const std::string& path,
                                                 const DatabaseOptions& options);

}  // namespace quorate::storage
