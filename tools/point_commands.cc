// put, get, del, cas: one key each.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "tools/command.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

// One byte more than any value may have is enough to know that it is too large.
constexpr std::size_t kMostStdin = (std::size_t{1} << 20) + 1;

struct PointArguments {
  std::string key;
  std::string value;
  std::string read = "strong";
  std::optional<std::uint64_t> expect_index;
  std::optional<std::string> expect_value;
  bool expect_absent = false;
};

// "-" stands for everything on stdin, as it is.
std::string ValueOrStdin(const std::string& argument) {
  if (argument != "-") return argument;
  std::string value(kMostStdin, '\0');
  std::size_t size = 0;
  while (size < value.size()) {
    const std::size_t read = std::fread(value.data() + size, 1, value.size() - size, stdin);
    if (read == 0) break;
    size += read;
  }
  value.resize(size);
  return value;
}

// Nobody can say whether a write that was under way when Ctrl-C came has been applied.
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
    json["index"] = reply->revision;
    AddCertificate(json, reply->certificate);
    json["error"] = nullptr;
    PrintJson(json);
  }
  PrintCertificate(settings, reply->certificate);
  return kExitOk;
}

ExitCode Put(const Settings& settings, Interrupt& interrupt, const PointArguments& arguments) {
  const std::string value = ValueOrStdin(arguments.value);
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  return FinishWrite(settings, KeyJson(arguments.key),
                     client.Put(arguments.key, value, {.node = settings.node}));
}

ExitCode Delete(const Settings& settings, Interrupt& interrupt, const PointArguments& arguments) {
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  const auto reply = client.Delete(arguments.key, {.node = settings.node});
  Json json = KeyJson(arguments.key);
  if (reply) json["found"] = reply->found;
  const ExitCode code = FinishWrite(settings, std::move(json), reply);
  if (code != kExitOk || reply->found) return code;
  if (!settings.json) PrintError("key not found: nothing to delete");
  return kExitNotFound;
}

ExitCode CompareAndSet(const Settings& settings, Interrupt& interrupt,
                       const PointArguments& arguments) {
  const std::string value = ValueOrStdin(arguments.value);
  ExplainInterruptedWrite(interrupt);
  Expectation expect = Absent{};
  if (arguments.expect_index) expect = AtRevision{*arguments.expect_index};
  if (arguments.expect_value) expect = WithValue{*arguments.expect_value};
  Client client(settings.client_options());
  return FinishWrite(settings, KeyJson(arguments.key),
                     client.CompareAndSet(arguments.key, expect, value, {.node = settings.node}));
}

void PrintValue(const std::string& value) {
  std::fwrite(value.data(), 1, value.size(), stdout);
  // Pipes and files get the bytes and nothing else.
  if (IsTerminal(STDOUT_FILENO) && (value.empty() || value.back() != '\n'))
    std::fputc('\n', stdout);
  std::fflush(stdout);
}

ExitCode Get(const Settings& settings, const PointArguments& arguments) {
  Client client(settings.client_options());
  const auto reply =
      client.Get(arguments.key, {.level = ParseLevel(arguments.read), .node = settings.node});
  Json json = KeyJson(arguments.key);
  json["level"] = arguments.read;
  if (!reply) return Report(settings, std::move(json), reply.error());
  if (settings.json) {
    if (reply->found) {
      AddBytes(json, "value", reply->value);
    } else {
      json["value"] = nullptr;
    }
    json["found"] = reply->found;
    json["index"] = reply->revision;
    AddCertificate(json, reply->certificate);
    json["error"] = nullptr;
    PrintJson(json);
  } else if (reply->found) {
    PrintValue(reply->value);
  } else {
    PrintError("key not found");
  }
  PrintCertificate(settings, reply->certificate);
  return reply->found ? kExitOk : kExitNotFound;
}

using Runner = ExitCode (*)(const Settings&, Interrupt&, const PointArguments&);

Command Make(CLI::App* app, const std::shared_ptr<PointArguments>& arguments, Runner runner) {
  return {.app = app, .run = [arguments, runner](const Settings& settings, Interrupt& interrupt) {
            return runner(settings, interrupt, *arguments);
          }};
}

}  // namespace

Command AddPut(CLI::App& app) {
  auto arguments = std::make_shared<PointArguments>();
  CLI::App* put = app.add_subcommand("put", "Set a key");
  put->add_option("key", arguments->key, "1 to 4096 bytes")->required()->configurable(false);
  put->add_option("value", arguments->value, "Up to 1 MiB; - reads it from stdin")
      ->required()
      ->configurable(false);
  put->footer(
      "Examples:\n  quorate put colour green\n  quorate put photo - < photo.jpg\n"
      "  quorate put -- -key-with-a-dash value\nExit: 0 committed, 7 certainly not, 8 unknown.");
  return Make(put, arguments, Put);
}

Command AddGet(CLI::App& app) {
  auto arguments = std::make_shared<PointArguments>();
  CLI::App* get = app.add_subcommand("get", "Print the value of a key");
  get->add_option("key", arguments->key, "1 to 4096 bytes")->required()->configurable(false);
  AddReadOption(*get, arguments->read);
  get->footer(
      "The value alone goes to stdout; what is known of its freshness goes to stderr (on a "
      "terminal, or "
      "with -v).\nExamples:\n  quorate get colour\n  quorate get colour --read eventual --node 3 "
      "-v\n"
      "  quorate --json get colour\n  quorate get photo > photo.jpg\nExit: 0 found, 3 not found, 5 "
      "refused.");
  return Make(get, arguments, [](const Settings& settings, Interrupt&, const PointArguments& a) {
    return Get(settings, a);
  });
}

Command AddDelete(CLI::App& app) {
  auto arguments = std::make_shared<PointArguments>();
  CLI::App* del = app.add_subcommand("del", "Delete a key");
  del->add_option("key", arguments->key, "1 to 4096 bytes")->required()->configurable(false);
  del->footer("Example:\n  quorate del colour\nExit: 0 deleted, 3 there was nothing to delete.");
  return Make(del, arguments, Delete);
}

Command AddCompareAndSet(CLI::App& app) {
  auto arguments = std::make_shared<PointArguments>();
  CLI::App* cas = app.add_subcommand("cas", "Set a key only if it is as expected");
  cas->add_option("key", arguments->key, "1 to 4096 bytes")->required()->configurable(false);
  cas->add_option("value", arguments->value, "Up to 1 MiB; - reads it from stdin")
      ->required()
      ->configurable(false);
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

}  // namespace quorate::tools
