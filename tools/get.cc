// get: one key, or several at one index.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/command.h"
#include "tools/explain.h"
#include "tools/output.h"
#include "tools/read_arguments.h"

namespace quorate::tools {
namespace {

struct GetArguments {
  std::vector<std::string> keys;
  ReadArguments read;
};

void PrintValue(const std::string& value) {
  std::fwrite(value.data(), 1, value.size(), stdout);
  // Pipes and files get the bytes and nothing else.
  if (IsTerminal(STDOUT_FILENO) && (value.empty() || value.back() != '\n'))
    std::fputc('\n', stdout);
  std::fflush(stdout);
}

Json AskedJson(const GetArguments& arguments) {
  Json json;
  if (arguments.keys.size() == 1) AddBytes(json, "key", arguments.keys[0]);
  json["level"] = arguments.read.name();
  return json;
}

void AddFound(Json& json, const std::string* value, std::uint64_t revision) {
  if (value != nullptr) {
    AddBytes(json, "value", *value);
  } else {
    json["value"] = nullptr;
  }
  json["found"] = value != nullptr;
  json["index"] = revision;
}

// What the reply, or the refusal, is accompanied by.
template <typename Reply>
void Explain(const Settings& settings, Client& client, const GetArguments& arguments,
             const Result<Reply>& reply, Json& json) {
  if (!arguments.read.explain) return;
  const auto& explanation = reply ? reply->explanation : reply.error().explanation;
  const Explained explained{.level = arguments.read.level(),
                            .name = arguments.read.name(),
                            .explanation = explanation.get(),
                            .nodes = AskEverybody(client, settings.endpoints)};
  if (settings.json) {
    json["explain"] = ToJson(explained);
  } else {
    std::cout.flush();
    std::cerr << Describe(explained);
  }
}

template <typename Reply>
ExitCode Refuse(const Settings& settings, Client& client, const GetArguments& arguments,
                const Result<Reply>& reply) {
  Json json = AskedJson(arguments);
  const ExitCode code = ToExitCode(reply.error());
  if (settings.json) {
    Explain(settings, client, arguments, reply, json);
    return Report(settings, std::move(json), reply.error());
  }
  Report(settings, std::move(json), reply.error());
  Explain(settings, client, arguments, reply, json);
  return code;
}

ExitCode GetOne(const Settings& settings, Client& client, const GetArguments& arguments) {
  const ReadOptions options = arguments.read.options(settings);
  const Result<GetReply> reply = client.Get(arguments.keys[0], options);
  if (!reply) return Refuse(settings, client, arguments, reply);
  Json json = AskedJson(arguments);
  if (settings.json) {
    AddFound(json, reply->found ? &reply->value : nullptr, reply->revision);
    AddReadReply(json, *reply, options.sla);
  } else if (reply->found) {
    PrintValue(reply->value);
  } else {
    PrintError("key not found");
  }
  PrintReadReply(settings, *reply, options.sla);
  Explain(settings, client, arguments, reply, json);
  if (settings.json) PrintJson(json);
  return reply->found ? kExitOk : kExitNotFound;
}

// One line per key that exists, as `scan` prints them, in the order asked.
void PrintItems(const std::vector<Item>& items) {
  for (const Item& item : items) {
    std::cout << Escape(item.key) << '\t' << Escape(item.value) << '\n';
  }
}

Json ItemsJson(const std::vector<std::string>& keys,
               const std::unordered_map<std::string, const Item*>& found) {
  Json items = Json::array();
  for (const std::string& key : keys) {
    Json item;
    AddBytes(item, "key", key);
    const auto at = found.find(key);
    const bool exists = at != found.end();
    AddFound(item, exists ? &at->second->value : nullptr, exists ? at->second->revision : 0);
    items.push_back(std::move(item));
  }
  return items;
}

ExitCode GetSeveral(const Settings& settings, Client& client, const GetArguments& arguments) {
  const ReadOptions options = arguments.read.options(settings);
  const Result<MultiGetReply> reply = client.MultiGet(arguments.keys, options);
  if (!reply) return Refuse(settings, client, arguments, reply);
  std::unordered_map<std::string, const Item*> found;
  for (const Item& item : reply->items) found[item.key] = &item;
  Json json = AskedJson(arguments);
  if (settings.json) {
    json["items"] = ItemsJson(arguments.keys, found);
    AddReadReply(json, *reply, options.sla);
  } else {
    PrintItems(reply->items);
  }
  bool complete = true;
  for (const std::string& key : arguments.keys) {
    if (found.contains(key)) continue;
    complete = false;
    if (!settings.json) PrintError("key not found: " + Escape(key));
  }
  PrintReadReply(settings, *reply, options.sla);
  Explain(settings, client, arguments, reply, json);
  if (settings.json) PrintJson(json);
  return complete ? kExitOk : kExitNotFound;
}

}  // namespace

Command AddGet(CLI::App& app) {
  auto arguments = std::make_shared<GetArguments>();
  CLI::App* get = app.add_subcommand("get", "Print the value of a key, or of several at one index");
  get->add_option("key", arguments->keys, "1 to 4096 bytes each; at most 1000")
      ->required()
      ->configurable(false);
  AddReadOptions(*get, arguments->read);
  get->footer(
      "The value alone goes to stdout; what is known of its freshness goes to stderr (on a "
      "terminal, or with -v).\nSeveral keys: one line each, key, tab, value, as scan prints "
      "them.\nExamples:\n  quorate get colour\n  quorate get colour --read eventual --node 3 -v\n"
      "  quorate get colour --read bounded:200ms --on-unmet refuse --explain\n"
      "  quorate get colour --sla 'strong@20ms > bounded:200ms@10ms > eventual'\n"
      "  quorate get alice bob carol --read bounded:1s\n"
      "  quorate --json get colour\n  quorate get photo > photo.jpg\n"
      "Exit: 0 found, 3 not found (one of them), 5 refused.");
  return {.app = get, .run = [arguments](const Settings& settings, Interrupt&) {
            Client client(settings.client_options());
            return arguments->keys.size() == 1 ? GetOne(settings, client, *arguments)
                                               : GetSeveral(settings, client, *arguments);
          }};
}

}  // namespace quorate::tools
