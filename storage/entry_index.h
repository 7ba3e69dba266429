// Where entries lie in the log's segments, sparsely.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "raft/types.h"
#include "storage/record.h"

namespace quorate::storage {

// One point per 64 KiB of log, per segment, and at every entry that replaced others. So from a
// point up to the next one's index, entries lie in order in one segment, with no replaced ones
// among them. Not thread-safe.
class EntryIndex {
 public:
  // `start`: the index before the first entry.
  explicit EntryIndex(raft::Index start = 0) : start_(start), last_(start) {}

  // The entry with this index now lies at `place`, and those after it are gone. `index` must be in
  // [first(), last() + 1].
  void Add(raft::Index index, Place place);

  // The entries up to `start` are gone, and with them all segments before `segment`, where the next
  // one lies. Those left must all lie there or later.
  void CutTo(raft::Index start, std::uint32_t segment);
  // All entries are gone; the next one is start + 1.
  void Restart(raft::Index start);

  // A run of entries that lie in order from `place` on.
  struct Run {
    raft::Index first = 0;  // lies at `place`
    raft::Index last = 0;
    Place place;
  };
  // The run that contains `index`, which must be in [first(), last()].
  Run Find(raft::Index index) const;

  // The lowest index that any entry in the segment has, replaced ones too; nothing if it has none.
  std::optional<raft::Index> LowestIn(std::uint32_t segment) const;

  raft::Index first() const { return start_ + 1; }
  raft::Index last() const { return last_; }
  // Grows whenever entries are replaced: a reader that looks twice can tell.
  std::uint64_t replacements() const { return replacements_; }

 private:
  struct Point {
    raft::Index index = 0;
    Place place;
  };

  raft::Index start_;
  raft::Index last_;
  std::uint64_t replacements_ = 0;
  std::vector<Point> points_;  // ascending by index, and by place
  struct Lowest {
    std::uint32_t segment = 0;
    raft::Index index = 0;
  };
  std::vector<Lowest> lowest_;  // ascending by segment
};

}  // namespace quorate::storage
