// The segments that make up the log, and what of their entries may be read.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "storage/entry_index.h"
#include "storage/result.h"
#include "storage/segment.h"

namespace quorate::storage {

// Readers see only entries that are durable. Thread-safe; one thread at a time may Add(), Publish()
// and Restart(), which follows none of the others' changes but Cut().
class LiveSegments {
 public:
  // Ascending, without gaps, at least one.
  LiveSegments(EntryIndex index, std::vector<Segment> segments)
      : index_(std::move(index)), segments_(std::move(segments)) {}

  struct Run {
    EntryIndex::Run run;
    std::uint64_t replacements = 0;
    raft::Index last = 0;  // of the log
    std::shared_ptr<File> file;
    std::uint64_t salt = 0;
  };
  // kNotFound if there is no such entry.
  Result<Run> Find(raft::Index index) const;

  // The last segment ends at `previous_end`, and `next` follows it.
  void Add(Segment next, std::uint64_t previous_end);
  // `next` begins the log anew. Returns the segments that are no longer part of it, oldest first.
  std::vector<Segment> Restart(Segment next);
  struct Placed {
    raft::Index index = 0;
    Place place;
  };
  // These entries are durable, as is all of the last segment up to `end`.
  void Publish(std::span<const Placed> placed, std::uint64_t end);

  // See Log.
  raft::Position CutPoint(raft::Index limit) const;
  std::uint64_t BytesAfter(raft::Index index) const;
  // The log starts behind `start`, a CutPoint(). Returns the segments before it, oldest first; none
  // if the log has come to start there or later.
  Result<std::vector<Segment>> Cut(raft::Position start);

  struct Extent {
    raft::Position start;
    std::uint64_t segments = 0;
    std::uint64_t disk_bytes = 0;
  };
  Extent extent() const;

 private:
  // The last segment at whose beginning the log may be cut, with a position that `fits`; the first
  // one if there is none.
  template <typename Predicate>
  std::size_t LastCut(Predicate fits) const;

  mutable std::mutex mutex_;
  EntryIndex index_;
  std::vector<Segment> segments_;
};

}  // namespace quorate::storage
