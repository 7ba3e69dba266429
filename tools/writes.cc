// put, del, cas, incr, append: one key each.
#include "tools/writes.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "tools/delete_range.h"

namespace quorate::tools {
namespace {

struct WriteArguments {
  std::string key;
  std::string value;
  std::string by = "1";
  bool return_previous = false;
  std::optional<std::uint64_t> expect_index;
  std::optional<std::string> expect_value;
  bool expect_absent = false;
  DeleteRangeArguments range;  // del

  WriteOptions options(const Settings& settings) const {
    return {.return_previous = return_previous, .node = settings.node};
  }
};

// With --return-previous the value before goes to stdout, as get prints it.
void AddPrevious(const Settings& settings, const WriteArguments& arguments, Json& json,
                 const Result<WriteReply>& reply) {
  if (!arguments.return_previous || !reply) return;
  if (!settings.json) {
    if (!reply->previous) return;
    std::fwrite(reply->previous->data(), 1, reply->previous->size(), stdout);
    if (IsTerminal(STDOUT_FILENO)) std::fputc('\n', stdout);
    std::fflush(stdout);
    return;
  }
  if (reply->previous) {
    AddBytes(json, "previous", *reply->previous);
  } else {
    json["previous"] = nullptr;
  }
  json["previous_index"] = reply->previous_revision;
}

ExitCode Put(const Settings& settings, Interrupt& interrupt, const WriteArguments& arguments) {
  const std::string value = ValueOrStdin(arguments.value);
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  const auto reply = client.Put(arguments.key, value, arguments.options(settings));
  Json json = KeyJson(arguments.key);
  AddPrevious(settings, arguments, json, reply);
  return FinishWrite(settings, std::move(json), reply);
}

ExitCode Delete(const Settings& settings, Interrupt& interrupt, const WriteArguments& arguments) {
  if (arguments.range.asked()) {
    return DeleteRange(settings, interrupt, arguments.key, arguments.range);
  }
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  const auto reply = client.Delete(arguments.key, arguments.options(settings));
  Json json = KeyJson(arguments.key);
  if (reply) json["found"] = reply->found;
  AddPrevious(settings, arguments, json, reply);
  const ExitCode code = FinishWrite(settings, std::move(json), reply);
  if (code != kExitOk || reply->found) return code;
  if (!settings.json) PrintError("key not found: nothing to delete");
  return kExitNotFound;
}

ExitCode CompareAndSet(const Settings& settings, Interrupt& interrupt,
                       const WriteArguments& arguments) {
  const std::string value = ValueOrStdin(arguments.value);
  ExplainInterruptedWrite(interrupt);
  Expectation expect = Absent{};
  if (arguments.expect_index) expect = AtRevision{*arguments.expect_index};
  if (arguments.expect_value) expect = WithValue{*arguments.expect_value};
  Client client(settings.client_options());
  return FinishWrite(
      settings, KeyJson(arguments.key),
      client.CompareAndSet(arguments.key, expect, value, arguments.options(settings)));
}

ExitCode Increment(const Settings& settings, Interrupt& interrupt,
                   const WriteArguments& arguments) {
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  const auto reply = client.Increment(arguments.key, *ParseNumber<std::int64_t>(arguments.by),
                                      arguments.options(settings));
  Json json = KeyJson(arguments.key);
  if (reply && settings.json) json["number"] = reply->number;
  if (reply && !settings.json) std::cout << reply->number << '\n' << std::flush;
  return FinishWrite(settings, std::move(json), reply);
}

ExitCode Append(const Settings& settings, Interrupt& interrupt, const WriteArguments& arguments) {
  const std::string value = ValueOrStdin(arguments.value);
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  return FinishWrite(settings, KeyJson(arguments.key),
                     client.Append(arguments.key, value, arguments.options(settings)));
}

using Runner = ExitCode (*)(const Settings&, Interrupt&, const WriteArguments&);

Command Make(CLI::App* app, const std::shared_ptr<WriteArguments>& arguments, Runner runner) {
  return {.app = app, .run = [arguments, runner](const Settings& settings, Interrupt& interrupt) {
            return runner(settings, interrupt, *arguments);
          }};
}

CLI::Option* AddKey(CLI::App& command, WriteArguments& arguments) {
  return command.add_option("key", arguments.key, "1 to 4096 bytes")->configurable(false);
}

void AddValue(CLI::App& command, WriteArguments& arguments) {
  command.add_option("value", arguments.value, "Up to 1 MiB; - reads it from stdin")
      ->required()
      ->configurable(false);
}

void AddReturnPrevious(CLI::App& command, WriteArguments& arguments) {
  command
      .add_flag("--return-previous", arguments.return_previous,
                "Print the value that was there before, in one atomic step")
      ->configurable(false);
}

}  // namespace

std::string ValueOrStdin(const std::string& argument, std::size_t most) {
  if (argument != "-") return argument;
  std::string value(most + 1, '\0');
  std::size_t size = 0;
  while (size < value.size()) {
    const std::size_t read = std::fread(value.data() + size, 1, value.size() - size, stdin);
    if (read == 0) break;
    size += read;
  }
  value.resize(size);
  return value;
}

void ExplainInterruptedWrite(Interrupt& interrupt) {
  interrupt.SetHandler([] {
    PrintError("interrupted: the write may have been applied, or may still be");
    ::_exit(kExitInterrupted);
  });
}

Json KeyJson(const std::string& key) {
  Json json;
  AddBytes(json, "key", key);
  return json;
}

ExitCode FinishWrite(const Settings& settings, Json json, const Result<WriteReply>& reply) {
  if (!reply) return Report(settings, std::move(json), reply.error());
  if (settings.json) {
    AddWriteReply(json, *reply);
    PrintJson(json);
  }
  PrintWriteReply(settings, *reply);
  return kExitOk;
}

Command AddPut(CLI::App& app) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* put = app.add_subcommand("put", "Set a key");
  AddKey(*put, *arguments)->required();
  AddValue(*put, *arguments);
  AddReturnPrevious(*put, *arguments);
  put->footer(
      "Examples:\n  quorate put colour green\n  quorate put photo - < photo.jpg\n"
      "  quorate put colour blue --return-previous\n"
      "  quorate put -- -key-with-a-dash value\nExit: 0 committed, 7 certainly not, 8 unknown.");
  return Make(put, arguments, Put);
}

Command AddDelete(CLI::App& app) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* del = app.add_subcommand("del", "Delete a key, or all keys of a range");
  CLI::Option* key = AddKey(*del, *arguments);
  AddReturnPrevious(*del, *arguments);
  AddRangeOptions(*del, *key, arguments->range);
  del->footer(
      "A range goes in steps, each atomic, all of them together not: readers may see it half "
      "gone.\nShould a step fail, what is left can be deleted from the key that is named "
      "then.\nExamples:\n  quorate del colour\n  quorate del --prefix session/\n"
      "  quorate del --from bash --to bc\n  quorate del --prefix '' --yes     # everything\n"
      "Exit: 0 deleted, 3 there was nothing to delete.");
  return Make(del, arguments, Delete);
}

Command AddCompareAndSet(CLI::App& app) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* cas = app.add_subcommand("cas", "Set a key only if it is as expected");
  AddKey(*cas, *arguments)->required();
  AddValue(*cas, *arguments);
  auto* expect = cas->add_option_group("expectation");
  expect
      ->add_option("--expect-index", arguments->expect_index,
                   "The index of the write that made the present value (see get --json)")
      ->configurable(false);
  expect->add_option("--expect-value", arguments->expect_value, "The present value")
      ->configurable(false);
  expect->add_flag("--expect-absent", arguments->expect_absent, "There must be no such key")
      ->configurable(false);
  expect->require_option(1);
  cas->footer(
      "Examples:\n  quorate cas colour --expect-index 1093 blue\n  quorate cas lock "
      "--expect-absent me\n"
      "Exit: 0 set, 4 not as expected.");
  return Make(cas, arguments, CompareAndSet);
}

Command AddIncrement(CLI::App& app) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* incr = app.add_subcommand("incr", "Add to a number, and print the sum");
  AddKey(*incr, *arguments)->required();
  incr->add_option("by", arguments->by, "May be negative: quorate incr stock -- -3")
      ->check(
          [](const std::string& text) {
            return ParseNumber<std::int64_t>(text)
                       ? std::string()
                       : "'" + text + "' is not a number of 64 bits with sign";
          },
          "NUMBER")
      ->capture_default_str()
      ->configurable(false);
  incr->footer(
      "The value is a decimal number of 64 bits with sign; a key that is not there counts as 0.\n"
      "Examples:\n  quorate incr visits\n  quorate incr stock 12\n"
      "Exit: 0 added, 1 the value is no number, 2 the sum does not fit, 7 certainly not, 8 "
      "unknown.");
  return Make(incr, arguments, Increment);
}

Command AddAppend(CLI::App& app) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* append = app.add_subcommand("append", "Put bytes behind the value of a key");
  AddKey(*append, *arguments)->required();
  AddValue(*append, *arguments);
  append->footer(
      "A key that is not there counts as empty.\nExamples:\n  quorate append journal 'one more "
      "line'\n  date | quorate append journal -\n"
      "Exit: 0 committed, 2 the value would outgrow 1 MiB, 7 certainly not, 8 unknown.");
  return Make(append, arguments, Append);
}

}  // namespace quorate::tools
