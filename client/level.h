// What can be wrong with levels and SLAs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "quorate/level.h"

namespace quorate::internal {

// What is wrong with it, in words; nothing: it can be asked for.
std::optional<std::string> Wrong(const Level& level);
std::optional<std::string> Wrong(const Sla& sla);

// "strong", "bounded", "session", "eventual".
std::string_view KindOf(const Level& level);

// Whatever satisfies `level` satisfies `weaker`.
bool Implies(const Level& level, const Level& weaker);

}  // namespace quorate::internal
