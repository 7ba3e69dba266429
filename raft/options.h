// Every constant of the core, with the reason for its value.
#pragma once

#include <cstddef>

#include "raft/controls.h"
#include "raft/types.h"

namespace quorate::raft {

struct Options {
  // A heartbeat costs a few microseconds; 30 ms keeps followers' anchors fresh and idle CPU under 1
  // %.
  Duration heartbeat{30'000};
  // Elections start after a random time in [election, 2 * election) without a leader: sixteen
  // missed heartbeats, so that a scheduling hiccup deposes nobody, and a new leader within two
  // seconds of a crash.
  Duration election{500'000};
  // A read that waits for the leader asks again after this long, then twice as long, and so on,
  // each time under a fresh id: messages may be lost.
  Duration read_retry{100'000};
  // Reads that wait share the next round; while one is in flight the next starts no earlier than
  // this after it. Locally a round trip takes less, so that one round is in flight; far away, reads
  // wait no longer than this.
  Duration round_spacing{1'000};

  // One append message; at least one entry is always sent.
  std::size_t max_append_bytes = 512 << 10;
  // Sent to one follower and not known to be durable there. Covers a disk sync's worth of writes at
  // full speed.
  std::size_t max_inflight_bytes = 8 << 20;
  // Appended and not yet applied here; over it, proposals are refused (never queued).
  std::size_t max_backlog_bytes = 64 << 20;
  // Durable entries kept in memory for followers that lag a little; older ones are fetched from
  // disk.
  std::size_t max_cached_bytes = 16 << 20;
  // Reads that wait for a round at the leader, and that a follower has asked the leader about; over
  // it, they are refused.
  std::size_t max_forwarded_reads = 4096;

  // Brings one known bug back (tests/sim --control). Ignored unless built with QUORATE_CONTROLS.
  Control control = Control::kNone;
};

}  // namespace quorate::raft
