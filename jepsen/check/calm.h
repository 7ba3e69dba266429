// When no fault was active, nor had been shortly before.
#pragma once

#include <utility>
#include <vector>

#include "jepsen/check/history.h"

namespace quorate::check {

class Calm {
 public:
  // A fault is felt for `settle` after its end.
  Calm(const History& history, Time settle);

  // Whether all of [from, to] is calm.
  bool Covers(Time from, Time to) const;

 private:
  std::vector<std::pair<Time, Time>> disturbed_;  // ascending, apart from each other
};

}  // namespace quorate::check
