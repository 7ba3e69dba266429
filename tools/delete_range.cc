#include "tools/delete_range.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <utility>

#include "tools/output.h"
#include "tools/progress.h"

namespace quorate::tools {
namespace {

// In a form that the shell reads back, whatever the bytes ($'...' knows the escapes).
std::string Quoted(const std::string& key) {
  std::string text = "$'";
  for (const char c : Escape(key)) {
    if (c == '\'') text += '\\';
    text += c;
  }
  return text + "'";
}

std::string GoOnWith(const Range& left) {
  return "quorate del --from " + Quoted(left.first) +
         (left.last.empty() ? " --yes" : " --to " + Quoted(left.last));
}

ExitCode BrokenOff(const Settings& settings, std::uint64_t deleted, const Range& left,
                   const Error* error) {
  const std::string advice = Grouped(deleted) + " keys are deleted; to go on: " + GoOnWith(left);
  if (!settings.json) PrintError(advice);
  Json json;
  json["deleted"] = deleted;
  AddBytes(json, "resume", left.first);
  if (error != nullptr) return Report(settings, std::move(json), *error);
  json["interrupted"] = true;
  json["error"] = nullptr;
  if (settings.json) PrintJson(json);
  return kExitInterrupted;
}

ExitCode Finish(const Settings& settings, std::uint64_t deleted, const WriteReply& last) {
  if (settings.json) {
    Json json;
    json["deleted"] = deleted;
    json["resume"] = nullptr;
    AddWriteReply(json, last);
    PrintJson(json);
  } else {
    std::cout << deleted << '\n' << std::flush;
  }
  PrintWriteReply(settings, last);
  return deleted > 0 ? kExitOk : kExitNotFound;
}

}  // namespace

void AddRangeOptions(CLI::App& command, CLI::Option& key, DeleteRangeArguments& arguments) {
  auto* range = command.add_option_group("range", "All keys of a range, instead of one");
  range->add_option("--prefix", arguments.prefix, "Those that begin so")
      ->excludes(&key)
      ->configurable(false);
  range->add_option("--from", arguments.from, "Those not below this key")
      ->excludes(&key)
      ->configurable(false);
  range->add_option("--to", arguments.to, "Those below this key")
      ->excludes(&key)
      ->configurable(false);
  range->add_option("--step", arguments.step, "Keys that go in one step, which is atomic")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  range->add_flag("--yes", arguments.yes, "For a range without an end: it may be everything")
      ->configurable(false);
}

ExitCode DeleteRange(const Settings& settings, Interrupt& interrupt, const std::string& key,
                     const DeleteRangeArguments& arguments) {
  Range left = RangeOf(arguments.prefix.value_or(""), arguments.from.value_or(""),
                       arguments.to.value_or(""));
  if (!key.empty()) {
    PrintError("give a key, or a range, not both");
    return kExitUsage;
  }
  if (left.last.empty() && !arguments.yes) {
    PrintError("that is every key" + (left.first.empty() ? "" : " from " + Escape(left.first)) +
               " to the end; if you mean it, add --yes");
    return kExitUsage;
  }
  interrupt.SetHandler([] {});  // the step under way is waited for
  Client client(settings.client_options());
  Progress progress("deleting", 0, settings.verbose, " keys");
  std::uint64_t deleted = 0;
  for (;;) {
    const auto step = client.DeleteRange(left, arguments.step, WriteOptions{.node = settings.node});
    if (!step) {
      progress.Clear();
      return BrokenOff(settings, deleted, left, &step.error());
    }
    deleted += step->deleted;
    if (step->resume.empty()) {
      progress.Clear();
      return Finish(settings, deleted, step->write);
    }
    left.first = step->resume;
    progress.Update(deleted, 0);
    if (interrupt.raised()) {
      progress.Clear();
      return BrokenOff(settings, deleted, left, nullptr);
    }
  }
}

}  // namespace quorate::tools
