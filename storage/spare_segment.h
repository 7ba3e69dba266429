// The file that becomes the next segment.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "storage/segment.h"

namespace quorate::storage {

// At most one, under the temporary name. Thread-safe.
class SpareSegment {
 public:
  // `bytes`: what an ordinary segment takes.
  SpareSegment(FileSystem& files, const std::string& directory, std::uint64_t bytes)
      : files_(files), directory_(directory), bytes_(bytes) {}

  // Once true, it stays so until Name() takes the spare.
  bool Ready() const { return capacity_ > 0; }
  std::uint64_t capacity() const { return capacity_; }  // 0 if there is none
  std::uint64_t recycled() const { return recycled_; }  // how many Recycle() took in

  // Makes one of at least `capacity` bytes unless there is. kNoSpace leaves none.
  Status Prepare(std::uint64_t capacity);
  // Takes in the file of a segment that has left the log. False, and nothing done, if there is a
  // spare, if a reader still has the file open, or if it is not of ordinary size.
  Result<bool> Recycle(Segment segment);
  // Makes the spare the segment `sequence`, of at least header.capacity bytes; makes one first if
  // need be. Only kNoSpace leaves everything as it was.
  Result<Segment> Name(std::uint32_t sequence, SegmentHeader header, Place previous_end);

 private:
  Status PrepareLocked(std::uint64_t capacity);

  FileSystem& files_;
  const std::string directory_;
  const std::uint64_t bytes_;

  std::mutex mutex_;  // also over the temporary name, which there is only one of
  std::shared_ptr<File> file_;
  std::atomic<std::uint64_t> capacity_{0};
  std::atomic<std::uint64_t> recycled_{0};
};

}  // namespace quorate::storage
