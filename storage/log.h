// The write-ahead log: entries, term and vote in segments of fixed size, one fdatasync per batch of
// batches (D4).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

struct LogOptions {
  std::uint64_t segment_bytes = 64 << 20;  // 64 KiB to 1 GiB
};

// What opening found.
struct LogRecovery {
  raft::HardState hard_state;
  raft::LogContents contents;
  raft::Configuration base_configuration;  // in force before the first entry
  std::vector<std::pair<raft::Index, raft::Configuration>>
      configurations;  // of entries in the log, ascending
  bool clean_shutdown = false;
  std::uint64_t cut_bytes = 0;  // of a torn tail, from its first bad record on; 0: nothing was torn
  std::uint64_t cut_records = 0;  // valid-looking records behind that one
  std::uint64_t rewritten_bytes = 0;
};

struct LogStats {
  std::uint64_t syncs = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t segments = 0;
};

// Append(), Close() and stats() belong to one thread (the log writer); Read() may run on any thread
// beside it; PrepareSpare() on any one other thread.
class Log {
 public:
  // Makes an empty, durable log in `directory`, which must exist and hold no segment.
  static Status Create(FileSystem& files, const std::string& directory, const LogOptions& options,
                       const raft::Configuration& base_configuration);

  struct Opened;
  // Recovers. kCorrupt: durable bytes are damaged, and the message says which segment and offset,
  // and what to do. Everything it reports is durable, whatever the page cache held before: the
  // unsynced part is rewritten and synced.
  static Result<Opened> Open(FileSystem& files, const std::string& directory,
                             const LogOptions& options);

  virtual ~Log() = default;

  // Writes the batches in order and syncs once. An entry with index i replaces everything from i
  // on. An error is final for the process.
  virtual Status Append(std::span<const raft::AppendBatch> batches) = 0;
  // Entries from `first` to `last`, up to `max_bytes` but at least one. kNotFound if `first` is not
  // in the log.
  virtual Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                                std::size_t max_bytes) = 0;

  // True if the next segment should be made ready ahead of use: zero-filling 64 MiB in Append()
  // would stall writers.
  virtual bool WantsSpare() const = 0;
  virtual Status PrepareSpare() = 0;

  // Writes the clean-shutdown mark and syncs. No call but the destructor may follow.
  virtual Status Close() = 0;
  virtual LogStats stats() const = 0;
};

struct Log::Opened {
  std::unique_ptr<Log> log;
  LogRecovery recovery;
};

}  // namespace quorate::storage
