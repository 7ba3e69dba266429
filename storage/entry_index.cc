#include "storage/entry_index.h"

#include <algorithm>

#include "raft/assert.h"

namespace quorate::storage {
namespace {

constexpr std::uint32_t kBytesPerPoint = 64 << 10;

}  // namespace

void EntryIndex::Add(raft::Index index, Place place) {
  QUORATE_ASSERT(index > start_ && index <= last_ + 1, "entries follow one another without gaps");
  const bool replaces = index <= last_;
  if (replaces) {
    ++replacements_;
    while (!points_.empty() && points_.back().index >= index) points_.pop_back();
  }
  last_ = index;
  if (replaces || points_.empty() || points_.back().place.segment != place.segment ||
      place.offset - points_.back().place.offset >= kBytesPerPoint) {
    points_.push_back({index, place});
  }
}

EntryIndex::Run EntryIndex::Find(raft::Index index) const {
  QUORATE_ASSERT(index > start_ && index <= last_, "the entry must be in the log");
  const auto next = std::upper_bound(points_.begin(), points_.end(), index,
                                     [](raft::Index i, const Point& p) { return i < p.index; });
  const Point& point = *(next - 1);
  return {point.index, next == points_.end() ? last_ : next->index - 1, point.place};
}

}  // namespace quorate::storage
