// txn: several operations in one atomic step, if the comparisons hold.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "tools/transaction_text.h"
#include "tools/writes.h"

namespace quorate::tools {
namespace {

// More than any transaction may be: escapes make the text longer than what it says.
constexpr std::size_t kMostText = std::size_t{8} << 20;

std::optional<std::string> ReadText(const std::string& file) {
  std::string text;
  if (file == "-") {
    text = ValueOrStdin(file, kMostText);
  } else {
    std::ifstream in(file, std::ios::binary);
    text.resize(kMostText + 1);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (in.bad() || !in.is_open()) {
      PrintError("cannot read " + file);
      return std::nullopt;
    }
  }
  if (text.size() > kMostText) {
    PrintError("a transaction is at most 1 MiB; this text is over " + std::to_string(kMostText) +
               " bytes");
    return std::nullopt;
  }
  return text;
}

std::string_view Name(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::kPut:
      return "put";
    case Change::Kind::kDelete:
      return "del";
    case Change::Kind::kIncrement:
      return "incr";
    case Change::Kind::kAppend:
      return "append";
    case Change::Kind::kGet:
      return "get";
  }
  return "?";
}

bool Answers(Change::Kind kind) {
  return kind == Change::Kind::kGet || kind == Change::Kind::kIncrement;
}

// What was got, and the sums, as `scan` prints keys and values.
void PrintResults(const std::vector<Change>& changes, const std::vector<ChangeResult>& results) {
  for (std::size_t i = 0; i < std::min(changes.size(), results.size()); ++i) {
    if (!Answers(changes[i].kind)) continue;
    if (changes[i].kind == Change::Kind::kGet && !results[i].found) {
      std::cout.flush();
      PrintError("key not found: " + Escape(changes[i].key));
    } else {
      std::cout << Escape(changes[i].key) << '\t' << Escape(results[i].value) << '\n';
    }
  }
}

Json ResultsJson(const std::vector<Change>& changes, const std::vector<ChangeResult>& results) {
  Json list = Json::array();
  for (std::size_t i = 0; i < std::min(changes.size(), results.size()); ++i) {
    Json json;
    json["operation"] = Name(changes[i].kind);
    AddBytes(json, "key", changes[i].key);
    json["found"] = results[i].found;
    if (Answers(changes[i].kind)) AddBytes(json, "value", results[i].value);
    if (changes[i].kind == Change::Kind::kGet) json["index"] = results[i].revision;
    list.push_back(std::move(json));
  }
  return list;
}

ExitCode Txn(const Settings& settings, Interrupt& interrupt, const std::string& file) {
  const auto text = ReadText(file);
  if (!text) return kExitUsage;
  const Result<Transaction> transaction = ParseTransaction(*text);
  if (!transaction) return Report(settings, Json(), transaction.error());
  ExplainInterruptedWrite(interrupt);
  Client client(settings.client_options());
  const Result<TransactionReply> reply =
      client.Execute(*transaction, WriteOptions{.node = settings.node});
  if (!reply) return Report(settings, Json(), reply.error());
  const auto& changes = reply->succeeded ? transaction->then : transaction->otherwise;
  if (settings.json) {
    Json json;
    json["succeeded"] = reply->succeeded;
    json["results"] = ResultsJson(changes, reply->results);
    AddWriteReply(json, reply->write);
    PrintJson(json);
  } else {
    PrintResults(changes, reply->results);
    std::cout.flush();
    if (!reply->succeeded) PrintError("the comparisons do not hold: else");
  }
  PrintWriteReply(settings, reply->write);
  return reply->succeeded ? kExitOk : kExitCompareFailed;
}

}  // namespace

Command AddTransaction(CLI::App& app) {
  auto file = std::make_shared<std::string>();
  CLI::App* txn = app.add_subcommand(
      "txn", "Execute several operations in one atomic step, if comparisons hold");
  txn->add_option("file", *file, "- reads it from stdin")->required()->configurable(false);
  txn->footer(
      "The file:\n"
      "  # sell one of the stock\n"
      "  if\n"
      "    index stock = 1093       # also: value KEY = VALUE, exists KEY, missing KEY; !=, <, >\n"
      "    missing sold/17\n"
      "  then\n"
      "    incr stock -1            # also: put KEY VALUE, del KEY, append KEY VALUE, get KEY\n"
      "    put sold/17 \"to alice\"   # \\n \\t \\\" \\\\ \\xNN stand for bytes\n"
      "  else\n"
      "    get stock\n"
      "If all comparisons hold, all of 'then' is executed, else all of 'else'; each section may be "
      "left out.\nAt most 128 comparisons and operations, and 1 MiB. What get and incr answer goes "
      "to stdout: key, tab, value.\n"
      "Exit: 0 then, 4 else, 1 or 2 an operation failed and nothing was changed, 7 certainly not, "
      "8 unknown.");
  return {.app = txn, .run = [file](const Settings& settings, Interrupt& interrupt) {
            return Txn(settings, interrupt, *file);
          }};
}

}  // namespace quorate::tools
