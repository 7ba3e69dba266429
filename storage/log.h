// The write-ahead log: entries, term and vote in segments of fixed size, one fdatasync per batch of
// batches (D4).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "raft/controls.h"
#include "raft/raft.h"
#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

struct LogOptions {
  std::uint64_t segment_bytes = 64 << 20;  // 4 KiB to 1 GiB
  // Random, new in each process; see SegmentSeed().
  std::uint64_t salt = 0;
  raft::Control control = raft::Control::kNone;
};

// What opening found.
struct LogRecovery {
  raft::HardState hard_state;
  raft::LogContents contents;
  raft::Configuration base_configuration;  // in force before the first entry
  std::vector<std::pair<raft::Index, raft::Configuration>>
      configurations;  // of entries in the log, ascending
  bool clean_shutdown = false;
  // Of a torn tail, from its first bad record to the end of the last valid-looking one behind it. 0
  // if there is none: a last record that is torn looks like what an earlier use of the file left.
  std::uint64_t cut_bytes = 0;
  std::uint64_t cut_records = 0;  // valid-looking records behind the bad one
  std::uint64_t rewritten_bytes = 0;
};

struct LogStats {
  std::uint64_t syncs = 0;
  std::uint64_t bytes_written = 0;  // since the start
  std::uint64_t segments = 0;
  std::uint64_t disk_bytes = 0;  // of all segments, the spare too
  std::uint64_t recycled = 0;    // old segments that became the spare one, since the start
  raft::Index first = 0;         // that the log holds; last + 1 if it holds none
  // Of records of any size, how much is sure to find room without another segment's being made.
  std::uint64_t room_bytes = 0;
};

// Append() and Close() belong to one thread (the log writer); PrepareSpare() and Cut() to one
// other; everything else may run on any thread beside them.
//
// A log may start behind any entry: the first segment's header says where. That its entries before
// are in the state machine is for the caller to check; nothing in the log can tell a cut from a
// loss.
class Log {
 public:
  // Makes an empty, durable log in `directory`, which must exist and hold no segment.
  // It starts behind `start`: nowhere in a new cluster ({0, 0} and the founding configuration), or
  // where a backup was taken; the term is that of the position.
  static Status Create(FileSystem& files, const std::string& directory, const LogOptions& options,
                       const raft::SnapshotMark& start);

  struct Opened;
  // Recovers. kCorrupt: durable bytes are damaged, and the message says which segment and offset,
  // and what to do. Everything it reports is durable, whatever the page cache held before: the
  // unsynced part is rewritten and synced.
  static Result<Opened> Open(FileSystem& files, const std::string& directory,
                             const LogOptions& options);

  virtual ~Log() = default;

  // Writes the batches in order and syncs once. An entry with index i replaces everything from i
  // on. An error is final for the process, with one exception: kNoSpace, when there is no room for
  // another segment. Then some of the batches may be durable, none counts, and the log is as usable
  // as before: call again with the same batches, and others behind them, once there may be room.
  // Entries leave the last kReservedBytes of a segment alone unless a spare one is ready, so that a
  // term, a vote, and a new leader's first entry (those of kind kNoop and kConfiguration may go
  // there) find room on a full disk.
  virtual Status Append(std::span<const raft::AppendBatch> batches) = 0;
  // Entries from `first` to `last`, up to `max_bytes` but at least one. kNotFound if `first` is not
  // in the log.
  virtual Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                                std::size_t max_bytes) = 0;

  // True if the next segment should be made ready ahead of use: zero-filling 64 MiB in Append()
  // would stall writers.
  virtual bool WantsSpare() const = 0;
  // kNoSpace leaves nothing behind: try again later.
  virtual Status PrepareSpare() = 0;

  // Where Cut(limit) would make the log start: the end of the last segment all of whose entries
  // have index <= limit and are not replaced by later ones; the present start if there is none.
  virtual raft::Position CutPoint(raft::Index limit) const = 0;
  // Bytes of the log from the first entry after `index` on: about what must be read to bring a
  // follower up to date from there. Never grows with `index`.
  virtual std::uint64_t BytesAfter(raft::Index index) const = 0;
  // Drops the segments before `start`, which CutPoint() gave. All that they held must be flushed to
  // the state machine. One of them becomes the spare segment, unless there is one or a reader still
  // has it open. Does nothing if the log starts there, or behind it, already.
  virtual Status Cut(raft::Position start) = 0;

  // Writes the clean-shutdown mark and syncs. No call but the destructor may follow.
  virtual Status Close() = 0;
  virtual LogStats stats() const = 0;
};

// What is kept free for term, vote and a new leader's first entry at the end of each segment; a
// sixteenth of small segments.
inline constexpr std::uint64_t kReservedBytes = 256 << 10;

struct Log::Opened {
  std::unique_ptr<Log> log;
  LogRecovery recovery;
};

}  // namespace quorate::storage
