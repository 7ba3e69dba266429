#include "storage/live_segments.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace quorate::storage {

Result<LiveSegments::Run> LiveSegments::Find(raft::Index index) const {
  const std::lock_guard lock(mutex_);
  if (index < index_.first() || index > index_.last()) {
    return Fail(ErrorCode::kNotFound,
                "entry " + std::to_string(index) + " is not in the log, which holds " +
                    std::to_string(index_.first()) + " to " + std::to_string(index_.last()));
  }
  Run found;
  found.run = index_.Find(index);
  found.replacements = index_.replacements();
  found.last = index_.last();
  const Segment& segment = segments_[found.run.place.segment - segments_.front().sequence];
  found.file = segment.file;
  found.salt = segment.salt;
  return found;
}

void LiveSegments::Add(Segment next, std::uint64_t previous_end) {
  const std::lock_guard lock(mutex_);
  segments_.back().end = previous_end;
  segments_.push_back(std::move(next));
}

std::vector<Segment> LiveSegments::Restart(Segment next) {
  const std::lock_guard lock(mutex_);
  index_.Restart(next.last.index);
  std::vector<Segment> old = std::exchange(segments_, {});
  segments_.push_back(std::move(next));
  return old;
}

void LiveSegments::Publish(std::span<const Placed> placed, std::uint64_t end) {
  const std::lock_guard lock(mutex_);
  for (const Placed& entry : placed) index_.Add(entry.index, entry.place);
  segments_.back().end = end;
}

template <typename Predicate>
std::size_t LiveSegments::LastCut(Predicate fits) const {
  raft::Index lowest = index_.last() + 1;  // of the entries from this segment on
  for (std::size_t i = segments_.size() - 1; i > 0; --i) {
    lowest = std::min(lowest, index_.LowestIn(segments_[i].sequence).value_or(lowest));
    // Entries that replaced others would not follow the new start.
    if (fits(segments_[i].last) && segments_[i].last.index < lowest) return i;
  }
  return 0;
}

raft::Position LiveSegments::CutPoint(raft::Index limit) const {
  const std::lock_guard lock(mutex_);
  return segments_[LastCut([limit](raft::Position p) { return p.index <= limit; })].last;
}

Result<std::vector<Segment>> LiveSegments::Cut(raft::Position start) {
  const std::lock_guard lock(mutex_);
  if (start.index <= segments_.front().last.index) return std::vector<Segment>();
  const std::size_t first = LastCut([start](raft::Position p) { return p == start; });
  if (first == 0) {
    return Fail(ErrorCode::kInvalid, "the log cannot be cut behind entry " +
                                         std::to_string(start.index) +
                                         ": no segment begins there; ask for a cut point");
  }
  const auto kept = segments_.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<Segment> old(std::make_move_iterator(segments_.begin()),
                           std::make_move_iterator(kept));
  segments_.erase(segments_.begin(), kept);
  index_.CutTo(start.index, segments_.front().sequence);
  return old;
}

std::uint64_t LiveSegments::BytesAfter(raft::Index index) const {
  const std::lock_guard lock(mutex_);
  const raft::Index first = std::max(index, index_.first() - 1) + 1;
  if (first > index_.last()) return 0;
  const Place from = index_.Find(first).place;
  std::uint64_t bytes = 0;
  for (std::size_t i = from.segment - segments_.front().sequence; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    bytes += segment.end - (segment.sequence == from.segment ? from.offset : 0);
  }
  return bytes;
}

LiveSegments::Extent LiveSegments::extent() const {
  const std::lock_guard lock(mutex_);
  Extent extent{segments_.front().last, segments_.size(), 0};
  for (const Segment& segment : segments_) extent.disk_bytes += segment.capacity;
  return extent;
}

}  // namespace quorate::storage
