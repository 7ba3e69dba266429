// How old a state can be at most, by what this client itself has seen (client-anchored bound,
// D6.5).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include "client/boot_clock.h"

namespace quorate::internal {

// An anchor (c, T) says: everything that was committed by T has an index of at most c. It follows
// from a confirmed read of the state at c that was sent at T, and from a write at c that was first
// sent at T: its entry was made after T, behind all that was committed then. Only this client's
// clock is read: whatever the nodes' clocks do, a state that holds c lacks nothing that is older
// than T.
class Anchors {
 public:
  void Add(std::uint64_t incarnation, std::uint64_t index, BootTime at);

  // How old the state at `applied` was at most, at `when`.
  std::optional<std::chrono::microseconds> Age(std::uint64_t incarnation, std::uint64_t applied,
                                               BootTime when) const;

 private:
  struct Anchor {
    std::uint64_t index;
    BootTime at;
  };

  static constexpr std::size_t kMost = 1024;

  void Thin();

  // By index, and by time as well: what says less than another is dropped.
  std::deque<Anchor> anchors_;
  std::uint64_t incarnation_ = 0;
};

}  // namespace quorate::internal
