// Every node that can be found, and what each says of itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quorate/client.h"

namespace quorate::tools {

struct NodeReport {
  std::uint64_t id = 0;  // 0: it has never been reached, and no other node named it
  std::string address;
  Result<NodeStatus> status;
};

// The endpoints, then the nodes that these have named; each node once, ascending by id. Takes as
// long as the slowest to answer, at most two of the client's timeouts.
std::vector<NodeReport> AskEverybody(Client& client, const std::vector<std::string>& endpoints);

}  // namespace quorate::tools
