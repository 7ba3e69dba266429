// --explain: why a read was answered as it was, and what other levels would have cost.
#pragma once

#include <string>
#include <vector>

#include "quorate/client.h"
#include "tools/nodes.h"
#include "tools/output.h"

namespace quorate::tools {

struct Explained {
  Level level{};
  std::string name{};                        // of the level, as it was asked for
  const Explanation* explanation = nullptr;  // null: the call ended before any node was asked
  std::vector<NodeReport> nodes{};           // as they are now, after the read
};

// Several lines: each attempt, with what the node that was asked knew; then a table of all nodes,
// and what each level would cost at each of them.
std::string Describe(const Explained& explained);

// {"attempts": [...], "nodes": [...]}
Json ToJson(const Explained& explained);

}  // namespace quorate::tools
