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
  if (lowest_.empty() || lowest_.back().segment != place.segment) {
    lowest_.push_back({place.segment, index});
  } else {
    lowest_.back().index = std::min(lowest_.back().index, index);
  }
}

void EntryIndex::CutTo(raft::Index start, std::uint32_t segment) {
  QUORATE_ASSERT(start >= start_ && start <= last_, "only what the log holds can be cut from it");
  start_ = start;
  std::erase_if(points_, [start](const Point& point) { return point.index <= start; });
  std::erase_if(lowest_, [segment](const Lowest& lowest) { return lowest.segment < segment; });
  QUORATE_ASSERT(last_ == start || (points_.front().index == start + 1 &&
                                    points_.front().place.segment >= segment),
                 "a run of entries must not begin in what is cut");
}

void EntryIndex::Restart(raft::Index start) {
  start_ = last_ = start;
  ++replacements_;
  points_.clear();
  lowest_.clear();
}

std::optional<raft::Index> EntryIndex::LowestIn(std::uint32_t segment) const {
  const auto found =
      std::lower_bound(lowest_.begin(), lowest_.end(), segment,
                       [](const Lowest& l, std::uint32_t s) { return l.segment < s; });
  if (found == lowest_.end() || found->segment != segment) return std::nullopt;
  return found->index;
}

EntryIndex::Run EntryIndex::Find(raft::Index index) const {
  QUORATE_ASSERT(index > start_ && index <= last_, "the entry must be in the log");
  const auto next = std::upper_bound(points_.begin(), points_.end(), index,
                                     [](raft::Index i, const Point& p) { return i < p.index; });
  const Point& point = *(next - 1);
  return {point.index, next == points_.end() ? last_ : next->index - 1, point.place};
}

}  // namespace quorate::storage
