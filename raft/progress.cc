#include "raft/progress.h"

#include <algorithm>

namespace quorate::raft {

void Progress::Sent(Index last, std::size_t bytes) {
  inflight.push_back({last, bytes});
  inflight_bytes += bytes;
}

void Progress::Acknowledged(Index verified, Index durable) {
  // The answer to an earlier, larger append may come after going back to a smaller one: what it
  // holds is not sent again, or a lost answer to that would leave a window that nothing frees.
  next = std::max(next, verified + 1);
  match = std::max(match, durable);
  while (!inflight.empty() && inflight.front().last <= match) {
    inflight_bytes -= inflight.front().bytes;
    inflight.pop_front();
  }
}

void Progress::BecomeProbe(Index next_index) {
  state = ProgressState::kProbe;
  next = std::max(next_index, match + 1);
  probe_sent = false;
  fetching = false;
  inflight.clear();
  inflight_bytes = 0;
}

void Progress::BecomeSnapshot(Time now, Index floor) {
  BecomeProbe(match + 1);
  state = ProgressState::kSnapshot;
  snapshot_floor = floor;
  snapshot_since = now;
  offered = 0;
}

void Progress::BecomeReplicate(Index next_index) {
  BecomeProbe(next_index);
  state = ProgressState::kReplicate;
}

}  // namespace quorate::raft
