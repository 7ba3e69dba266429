// What the leader knows about one other member, and the window of entries on their way to it.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>

#include "raft/message.h"
#include "raft/types.h"

namespace quorate::raft {

enum class ProgressState {
  kProbe,      // the follower's log is unknown: one small append at a time until one is accepted
  kReplicate,  // known to match: appends are pipelined up to a window in bytes
  kSnapshot,   // the log does not reach it, or costs more than a snapshot: it is offered one
};

struct Progress {
  ProgressState state = ProgressState::kProbe;
  Index match = 0;  // durable on the follower: what counts towards commit
  Index next = 1;   // the next entry to send
  bool probe_sent = false;
  Index snapshot_floor = 0;  // kSnapshot: what it must hold durably before entries are sent again
  Index offered = 0;  // kSnapshot: the lowest position offered since; it may be fetching that one
  Time snapshot_since{0};
  // It has had a snapshot and not caught up yet: only a cut log sends it another, or one that takes
  // longer than the log grows would be followed by the next for ever (ClickHouse Keeper #107338).
  bool prefer_log = false;
  bool disk_full = false;   // it has no room for entries, as of its last reply
  bool fetching = false;    // entries are being read from disk for it
  Time last_sent{0};        // of an append
  Time last_heard{0};       // of anything in this term
  std::uint64_t round = 0;  // the highest it acknowledged in this term

  std::optional<ClockReading> clock;  // the latest to arrive in this term (not the largest: D6.3)
  std::optional<Anchor> anchor;       // to hand over with the next message
  Time anchor_handed_over{0};         // when a message was last sent for its sake

  struct Inflight {
    Index last = 0;
    std::size_t bytes = 0;
  };
  std::deque<Inflight> inflight;
  std::size_t inflight_bytes = 0;

  void Sent(Index last, std::size_t bytes);
  // Frees the window up to what is durable: what a follower has received and not synced still fills
  // its memory.
  void Acknowledged(Index verified, Index durable);
  void BecomeProbe(Index next_index);
  void BecomeReplicate(Index next_index);
  void BecomeSnapshot(Time now, Index floor);
};

}  // namespace quorate::raft
