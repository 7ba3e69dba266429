// A position that one thread sets and any thread reads.
#pragma once

#include <atomic>
#include <cstdint>

#include "raft/types.h"

namespace quorate::storage {

// A sequence lock: readers never hold up the writer, and see index and term of the same Set(). No
// fences (the thread sanitizer knows none): a reader that saw a new field through its acquire load
// also sees the count that was stored before it.
class PublishedPosition {
 public:
  explicit PublishedPosition(raft::Position position)
      : index_(position.index), term_(position.term) {}

  // One thread.
  void Set(raft::Position position) {
    const std::uint64_t before = count_.load(std::memory_order_relaxed);
    count_.store(before + 1, std::memory_order_relaxed);
    index_.store(position.index, std::memory_order_release);
    term_.store(position.term, std::memory_order_release);
    count_.store(before + 2, std::memory_order_release);
  }

  raft::Position Get() const {
    while (true) {
      const std::uint64_t before = count_.load(std::memory_order_acquire);
      const raft::Position position{index_.load(std::memory_order_acquire),
                                    term_.load(std::memory_order_acquire)};
      if (before % 2 == 0 && count_.load(std::memory_order_relaxed) == before) return position;
    }
  }

 private:
  std::atomic<std::uint64_t> count_{0};  // odd while Set() runs
  std::atomic<raft::Index> index_;
  std::atomic<raft::Term> term_;
};

}  // namespace quorate::storage
