// scan: keys in order, page by page, all at one index.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "tools/command.h"
#include "tools/output.h"
#include "tools/read_arguments.h"

namespace quorate::tools {
namespace {

struct ScanArguments {
  std::string prefix;
  std::string from;
  std::string to;
  ReadArguments read;
  std::uint64_t limit = 0;
  std::uint32_t page = 0;
  bool count = false;
  bool keys_only = false;
};

void PrintItem(const Settings& settings, const ScanArguments& arguments, const Item& item,
               const Certificate& certificate) {
  if (!settings.json) {
    std::cout << Escape(item.key);
    if (!arguments.keys_only) std::cout << '\t' << Escape(item.value);
    std::cout << '\n';
    return;
  }
  Json json;
  AddBytes(json, "key", item.key);
  if (!arguments.keys_only) AddBytes(json, "value", item.value);
  json["index"] = item.revision;
  json["applied_index"] = certificate.applied_index;
  PrintJson(json);
}

void PrintCount(const Settings& settings, const ScanArguments& arguments, std::uint64_t count,
                const ScanPage& page) {
  if (!settings.json) {
    std::cout << count << '\n';
    return;
  }
  Json json;
  json["count"] = count;
  json["level"] = arguments.read.name();
  AddReadReply(json, page);
  PrintJson(json);
}

ExitCode Scan(const Settings& settings, const ScanArguments& arguments) {
  Client client(settings.client_options());
  const ScanOptions options{.level = arguments.read.level(),
                            .page_items = arguments.page,
                            .count_only = arguments.count,
                            .node = settings.node};
  std::uint64_t seen = 0;
  Result<ScanPage> page =
      client.Scan(RangeOf(arguments.prefix, arguments.from, arguments.to), options);
  for (;;) {
    if (!page) {
      std::cout.flush();
      if (seen > 0 && !settings.json) PrintError("the scan broke off; what was printed is not all");
      return Report(settings, Json(), page.error());
    }
    for (const Item& item : page->items) {
      if (arguments.limit != 0 && seen == arguments.limit) break;
      PrintItem(settings, arguments, item, page->certificate);
      ++seen;
    }
    if (arguments.count) seen += page->count;
    if (!std::cout) return kExitOther;
    const bool enough = arguments.limit != 0 && seen >= arguments.limit;
    if (!page->next || enough) break;
    page = client.ScanNext(page->next, options);
  }
  if (arguments.count) PrintCount(settings, arguments, seen, *page);
  PrintReadReply(settings, *page);
  return kExitOk;
}

}  // namespace

Command AddScan(CLI::App& app) {
  auto arguments = std::make_shared<ScanArguments>();
  CLI::App* scan =
      app.add_subcommand("scan", "Print the keys with a prefix, in order, at one index");
  scan->add_option("prefix", arguments->prefix, "Empty or left out: all keys")->configurable(false);
  scan->add_option("--from", arguments->from, "Not below this key")->configurable(false);
  scan->add_option("--to", arguments->to, "Below this key")->configurable(false);
  scan->add_option("--limit", arguments->limit, "Stop after that many keys")
      ->check(CLI::PositiveNumber)
      ->configurable(false);
  scan->add_option("--page", arguments->page, "Keys fetched at a time (0: the node's choice)")
      ->capture_default_str();
  scan->add_flag("--keys-only", arguments->keys_only, "No values")->configurable(false);
  scan->add_flag("--count", arguments->count, "Only how many there are")
      ->excludes("--limit")
      ->excludes("--keys-only")
      ->configurable(false);
  AddLevelOptions(*scan, arguments->read);
  scan->footer(
      "One line per key: key, tab, value; \\t \\n \\r \\\\ \\xNN stand for bytes that would break "
      "the "
      "line\n(`quorate import --format lines` reads them back).\nExamples:\n  quorate scan lib\n"
      "  quorate scan --count --read bounded:1s\n  quorate scan --from bash --to bc --keys-only\n"
      "  quorate --json scan user/ | jq -r .key");
  return {.app = scan, .run = [arguments](const Settings& settings, Interrupt&) {
            return Scan(settings, *arguments);
          }};
}

}  // namespace quorate::tools
