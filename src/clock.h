// The node's own clock.
#pragma once

#include <time.h>

#include "raft/types.h"

namespace quorate::server {

// CLOCK_BOOTTIME now; unlike CLOCK_MONOTONIC it counts while the machine sleeps. Any thread.
inline raft::Time BootTime() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::duration_cast<raft::Time>(std::chrono::seconds(now.tv_sec) +
                                                std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace quorate::server
