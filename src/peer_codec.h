// The consensus core's messages as frames between nodes, and back.
#pragma once

#include <optional>
#include <string>

#include "client/proto/frame.h"
#include "raft/message.h"
#include "src/proto/peer.pb.h"
#include "src/snapshot_transfer.h"

namespace quorate::server {

// Both directions reuse their buffers; for one thread.
class PeerCodec {
 public:
  // Appends one kRaft frame to `out`. from, to and from_uuid are not in it: the connection's hello
  // named them.
  void Encode(const raft::Message& message, std::string& out);

  // Nothing if the frame is not a whole message of this version. Leaves from, to and from_uuid to
  // the caller.
  std::optional<raft::Message> Decode(const wire::Frame& frame);

  // The same for kPeerSnapshot frames.
  void Encode(const SnapshotMessage& message, std::string& out);
  std::optional<SnapshotMessage> DecodeSnapshot(const wire::Frame& frame);

 private:
  peer::RaftMessage header_;
  peer::SnapshotMessage snapshot_header_;
  std::string body_;
};

}  // namespace quorate::server
