// Which configuration is in force where the log ends.
#pragma once

#include <utility>
#include <vector>

#include "raft/configuration.h"
#include "raft/types.h"

namespace quorate::storage {

// The configurations of a log's entries, which come and go with them. Not thread-safe.
class ConfigurationHistory {
 public:
  explicit ConfigurationHistory(raft::Configuration base = {}) : base_(std::move(base)) {}

  // Entry `index`, behind all others, holds this one.
  void Add(raft::Index index, raft::Configuration configuration) {
    changes_.emplace_back(index, std::move(configuration));
  }
  // The entries from `from` on are replaced.
  void Truncate(raft::Index from) {
    while (!changes_.empty() && changes_.back().first >= from) changes_.pop_back();
  }
  // The entries up to `start` leave the log, and can no longer be replaced.
  void CutTo(raft::Index start) {
    auto kept = changes_.begin();
    for (; kept != changes_.end() && kept->first <= start; ++kept) base_ = std::move(kept->second);
    changes_.erase(changes_.begin(), kept);
  }

  // Before the first entry; of entries, ascending; behind the last entry.
  const raft::Configuration& base() const { return base_; }
  const std::vector<std::pair<raft::Index, raft::Configuration>>& changes() const {
    return changes_;
  }
  const raft::Configuration& InForce() const {
    return changes_.empty() ? base_ : changes_.back().second;
  }

 private:
  raft::Configuration base_;
  std::vector<std::pair<raft::Index, raft::Configuration>> changes_;
};

}  // namespace quorate::storage
