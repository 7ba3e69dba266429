#include "jepsen/check/calm.h"

#include <algorithm>

namespace quorate::check {

Calm::Calm(const History& history, Time settle) {
  for (const Fault& fault : history.faults) {
    const Time until = fault.until > kNever - settle ? kNever : fault.until + settle;
    disturbed_.emplace_back(fault.at, until);
  }
  std::sort(disturbed_.begin(), disturbed_.end());
  std::vector<std::pair<Time, Time>> merged;
  for (const auto& [from, to] : disturbed_) {
    if (!merged.empty() && from <= merged.back().second) {
      merged.back().second = std::max(merged.back().second, to);
    } else {
      merged.emplace_back(from, to);
    }
  }
  disturbed_ = std::move(merged);
}

bool Calm::Covers(Time from, Time to) const {
  const auto after = std::upper_bound(disturbed_.begin(), disturbed_.end(), std::pair(to, kNever));
  return after == disturbed_.begin() || std::prev(after)->second < from;
}

}  // namespace quorate::check
