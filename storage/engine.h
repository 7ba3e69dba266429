// RocksDB as the state machine uses it: its families, its options, and what it keeps besides keys.
//
//   column family   key              value
//   default         the key          stored_record.h
//   meta            "applied"        index u64 | term u64
//   meta            "configuration"  the last applied one, encoded
//
// RocksDB's own log is off. Both families are flushed together (atomic_flush), so that after a
// crash the data is that of exactly the position beside it, and the raft log replays what follows.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <atomic>
#include <memory>
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

// Notes what RocksDB does in the background.
class EngineListener final : public rocksdb::EventListener {
 public:
  void OnFlushCompleted(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) override {
    NoteFlush();
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                         rocksdb::Status* /*error*/) override {
    failed_.store(true, std::memory_order_release);
  }

  // So that flushed() asks RocksDB only after a flush.
  void NoteFlush() { flushed_.store(true, std::memory_order_release); }
  bool TakeFlush() { return flushed_.exchange(false, std::memory_order_acq_rel); }

  // A flush or compaction has failed since the last TakeFailure().
  void NoteFailure() { failed_.store(true, std::memory_order_release); }
  bool TakeFailure() {
    return failed_.load(std::memory_order_acquire) &&
           failed_.exchange(false, std::memory_order_acq_rel);
  }

 private:
  std::atomic<bool> flushed_{true};
  std::atomic<bool> failed_{false};
};

// An open RocksDB with its two families. As thread-safe as RocksDB itself. Shared: a scan keeps it
// open beyond the state machine.
struct Engine {
  std::shared_ptr<EngineListener> listener = std::make_shared<EngineListener>();
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> data;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> meta;

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
  // Flushes both families together. With one of them empty or unchanged too.
  Status Flush() const;
  // After a failed flush or compaction RocksDB takes no more until it is told to go on: does that,
  // if need be, and once more what had failed. kNoSpace: there is still no room.
  Status GoOn() const;
};

// kCorrupt: damaged.
Result<std::unique_ptr<Engine>> OpenEngine(const std::string& path, const DatabaseOptions& options);
// Changes nothing in `path`, not even RocksDB's own notes. Reads only.
Result<std::unique_ptr<Engine>> OpenEngineToRead(const std::string& path,
                                                 const DatabaseOptions& options);

}  // namespace quorate::storage
