// Flags, environment and configuration file of `quorated`, in that order of precedence.
#pragma once

#include <optional>

#include "src/options.h"

namespace quorate::server {

struct CommandLine {
  std::optional<ServerOptions> options;  // nothing: the process ends with `exit_code`
  int exit_code = 0;
};

inline constexpr int kExitUsage = 2;

// Prints help, version, --print-config and errors itself.
CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace quorate::server
