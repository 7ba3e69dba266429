// What a node says of itself: to `quorate status`, /status, /readyz and /metrics alike.
#pragma once

#include <string>

#include "client/proto/wire.pb.h"
#include "raft/types.h"

namespace quorate::server {

class PeerTransport;
class Replica;
class Service;

struct StatusSources {
  const Replica& replica;
  const PeerTransport& transport;
  const Service& service;
  std::uint64_t cluster_id = 0;
  raft::Time started{0};
};

// `now` must have been read for this purpose: the age is counted from it.
wire::NodeStatus BuildStatus(const StatusSources& from, raft::Time now);

// One JSON object, with the field names of the message.
std::string ToJson(const wire::NodeStatus& status);

}  // namespace quorate::server
