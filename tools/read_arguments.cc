#include "tools/read_arguments.h"

#include <CLI/CLI.hpp>

namespace quorate::tools {
namespace {

// CLI11 wants an empty string for what is right, else what is wrong with it.
template <typename T>
std::string Complaint(const Result<T>& parsed) {
  return parsed ? std::string() : parsed.error().detail;
}

}  // namespace

Level ReadArguments::level() const {
  Level level = ParseLevel(read).value_or(kStrong);  // checked when it was read
  if (on_unmet == "wait") level.on_unmet = OnUnmet::kWait;
  if (on_unmet == "refuse") level.on_unmet = OnUnmet::kRefuse;
  if (on_unmet == "serve") level.on_unmet = OnUnmet::kServeAnyway;
  return level;
}

ReadOptions ReadArguments::options(const Settings& settings) const {
  ReadOptions options{.level = level(), .node = settings.node, .explain = explain};
  if (!sla.empty()) options.sla = ParseSla(sla).value_or(Sla{});
  return options;
}

void AddLevelOptions(CLI::App& command, ReadArguments& arguments) {
  command
      .add_option("--read", arguments.read,
                  "strong | bounded:200ms | bounded:200ms,lag=10 | session:TOKEN | eventual; "
                  "bounded and session combine: bounded:200ms,session:TOKEN")
      ->check([](const std::string& text) { return Complaint(ParseLevel(text)); }, "LEVEL")
      ->envname("QUORATE_READ")
      ->capture_default_str();
  command
      .add_option("--on-unmet", arguments.on_unmet,
                  "If a node cannot serve it as it stands: wait (for what it lacks, or the "
                  "leader), refuse (at once), serve (anyway, and say how old it may be)")
      ->check(CLI::IsMember({"wait", "refuse", "serve"}))
      ->envname("QUORATE_ON_UNMET")
      ->run_callback_for_default(false);  // so that --print-config leaves it out while it is empty
}

void AddReadOptions(CLI::App& command, ReadArguments& arguments) {
  AddLevelOptions(command, arguments);
  command
      .add_option("--sla", arguments.sla,
                  "What is wanted most, and what will do instead: 'strong@20ms > "
                  "bounded:200ms@10ms > eventual'")
      ->check([](const std::string& text) { return Complaint(ParseSla(text)); }, "SLA")
      ->run_callback_for_default(false)  // as above
      ->excludes("--read")
      ->excludes("--on-unmet");
  command
      .add_flag("--explain", arguments.explain,
                "Say what each node knew and why it answered as it did, on stderr (with --json, "
                "as a field)")
      ->configurable(false);
}

}  // namespace quorate::tools
