// What a snapshot stands for.
#pragma once

#include "raft/configuration.h"
#include "raft/types.h"

namespace quorate::raft {

// The state after applying exactly the entries up to `position`, and the configuration in force
// there.
struct SnapshotMark {
  Position position;
  Configuration configuration;
  friend bool operator==(const SnapshotMark&, const SnapshotMark&) = default;
};

}  // namespace quorate::raft
