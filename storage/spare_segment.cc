#include "storage/spare_segment.h"

#include <utility>

namespace quorate::storage {

Status SpareSegment::Prepare(std::uint64_t capacity) {
  const std::lock_guard lock(mutex_);
  return PrepareLocked(capacity);
}

Status SpareSegment::PrepareLocked(std::uint64_t capacity) {
  if (file_ != nullptr && capacity_ >= capacity) return {};
  file_.reset();
  capacity_ = 0;
  Result<std::unique_ptr<File>> file = PrepareSegment(files_, directory_, capacity);
  if (!file) return Forward(file);
  file_ = std::move(*file);
  capacity_ = capacity;
  return {};
}

Result<bool> SpareSegment::Recycle(Segment segment) {
  const std::lock_guard lock(mutex_);
  // No new reader can find the file, so that a count of one stays one.
  if (file_ != nullptr || segment.capacity != bytes_ || segment.file.use_count() > 1) return false;
  // Durably, before anything is written over it: else a crash might bring the old name back with
  // new contents, which would be taken for damage.
  QUORATE_RETURN_IF_ERROR(TakeName(files_, directory_, segment.sequence));
  file_ = std::move(segment.file);
  capacity_ = bytes_;
  ++recycled_;
  return true;
}

Result<Segment> SpareSegment::Name(std::uint32_t sequence, SegmentHeader header,
                                   Place previous_end) {
  const std::lock_guard lock(mutex_);
  QUORATE_RETURN_IF_ERROR(PrepareLocked(header.capacity));
  header.capacity = capacity_.exchange(0);
  Result<Segment> segment = NameSegment(files_, directory_, std::exchange(file_, nullptr), sequence,
                                        header, previous_end);
  if (!segment) return NotForWantOfSpace(segment);
  return segment;
}

}  // namespace quorate::storage
