// How fresh a read is asked to be: --read, --on-unmet, --sla, --explain.
#pragma once

#include <string>

#include "quorate/client.h"
#include "tools/settings.h"

namespace CLI {
class App;
}

namespace quorate::tools {

struct ReadArguments {
  std::string read = "strong";
  std::string sla{};       // not empty: instead of `read`
  std::string on_unmet{};  // empty: as --read says
  bool explain = false;

  Level level() const;
  ReadOptions options(const Settings& settings) const;
  const std::string& name() const { return sla.empty() ? read : sla; }  // as it was asked for
};

// --read and --on-unmet. What makes no sense is a usage error that says why.
void AddLevelOptions(CLI::App& command, ReadArguments& arguments);
// These, --sla and --explain.
void AddReadOptions(CLI::App& command, ReadArguments& arguments);

}  // namespace quorate::tools
