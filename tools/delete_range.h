// Deleting a range of keys in bounded steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/command.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace quorate::tools {

struct DeleteRangeArguments {
  std::optional<std::string> prefix;
  std::optional<std::string> from;
  std::optional<std::string> to;
  std::uint32_t step = 500;
  bool yes = false;

  bool asked() const { return prefix || from || to; }
};

// --prefix, --from, --to, --step, --yes; all of them instead of `key`.
void AddRangeOptions(CLI::App& command, CLI::Option& key, DeleteRangeArguments& arguments);

// `key` is what was given as one, which must be nothing.
ExitCode DeleteRange(const Settings& settings, Interrupt& interrupt, const std::string& key,
                     const DeleteRangeArguments& arguments);

}  // namespace quorate::tools
