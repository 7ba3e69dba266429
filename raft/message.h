// What nodes say to each other. Plain structs; Protobuf exists only at the edge (src/peer_codec).
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "raft/entry.h"
#include "raft/types.h"

namespace quorate::raft {

// A reading of a follower's own clock. Opaque to the leader, which only hands it back (D6.3).
struct ClockReading {
  Time at{0};
  std::uint64_t boot_id =
      0;  // random per process: readings of another life of the process mean nothing
  friend bool operator==(const ClockReading&, const ClockReading&) = default;
};

// A fact that never expires: everything committed anywhere by the receiver's own time `reading` has
// index <= `index`.
struct Anchor {
  Index index = 0;
  ClockReading reading;
  friend bool operator==(const Anchor&, const Anchor&) = default;
};

// Pre-votes ask for the term after the sender's own without entering it (thesis 9.6).
struct VoteRequest {
  bool pre_vote = false;
  Term for_term =
      0;          // the term the sender wants to lead; equals the message's term unless pre_vote
  Position last;  // of the sender's log
  bool transfer =
      false;  // the leader asked for this election (TimeoutNow): leader stickiness does not apply
  std::uint64_t boot_id = 0;  // of the sender's process
};

struct VoteReply {
  bool pre_vote = false;
  Term for_term = 0;  // as in the request
  bool granted = false;
  // As in the request: a vote is for the process that asked for it, not for whoever runs under its
  // id by the time the answer arrives.
  std::uint64_t boot_id = 0;
};

// Append lane. Entries follow `previous`; there may be none (a probe).
struct Append {
  Position previous;
  Index commit = 0;
  std::uint64_t round = 0;
  std::optional<Anchor> anchor;
  std::vector<Entry> entries;
};

struct AppendReply {
  bool accepted = false;
  // Accepted: everything up to `verified` equals the leader's log (proven in this term by a
  // previous-entry check), and everything up to `durable` <= verified is on the follower's disk
  // too. Never the follower's last index: CCF's ack bug.
  Index verified = 0;
  Index durable = 0;
  // Rejected: `rejected` is the request's previous index, `hint` the last position that may match.
  Index rejected = 0;
  Position hint;
  std::uint64_t round = 0;  // the highest round received in this term
  ClockReading clock;
  bool full = false;  // this node's disk has no room for more entries
};

// Control lane: never queued behind entries, never waits for a disk.
struct Heartbeat {
  Index commit =
      0;  // min(commit, what the follower is known to hold): safe whatever overtakes what
  std::uint64_t round = 0;
  std::optional<Anchor> anchor;
};

struct HeartbeatReply {
  std::uint64_t round = 0;
  ClockReading clock;
  bool full = false;  // as in AppendReply
};

// "The log no longer reaches you: fetch this snapshot, which I keep." On the control lane, repeated
// until an AppendReply says that the follower holds as much. The follower pulls it in its own time.
struct SnapshotOffer {
  std::uint64_t snapshot = 0;  // the sender's name for it
  Position position;
};

// A follower asks the leader for a read index; `id` is fresh for each attempt (etcd #20418).
struct ReadIndexRequest {
  std::uint64_t id = 0;
};

struct ReadIndexReply {
  std::uint64_t id = 0;
  bool granted = false;  // false: this node does not lead, or could not confirm that it does
  Index index = 0;
};

// "Campaign at once" (thesis 3.10).
struct TimeoutNow {};

using MessageBody =
    std::variant<VoteRequest, VoteReply, Append, AppendReply, Heartbeat, HeartbeatReply,
                 SnapshotOffer, ReadIndexRequest, ReadIndexReply, TimeoutNow>;

struct Message {
  NodeId from = kNoNode;
  NodeId to = kNoNode;
  Uuid from_uuid;  // of the sender's data directory
  Term term = 0;   // the sender's current term
  MessageBody body;
};

}  // namespace quorate::raft
