#include "tools/transaction_text.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "tools/output.h"
#include "tools/settings.h"

namespace quorate::tools {
namespace {

using Words = std::vector<std::string>;

tl::unexpected<Error> Wrong(std::size_t line, const std::string& what) {
  Error error;
  error.code = ErrorCode::kInvalid;
  error.error_class = ErrorClass::kFinal;
  error.detail = "line " + std::to_string(line) + ": " + what;
  return tl::make_unexpected(std::move(error));
}

// Where the quoted word that starts at the front ends; npos: nowhere.
std::size_t ClosingQuote(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i;
    }
  }
  return std::string_view::npos;
}

std::string Unquoted(std::string_view text) {
  std::string plain;  // \" is no escape of the lines format
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[i + 1] != '"') plain += text[i];
      plain += text[++i];
    } else {
      plain += text[i];
    }
  }
  return Unescape(plain);
}

// nullopt: a quote is not closed, or something follows one at once.
std::optional<Words> Split(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  Words words;
  for (;;) {
    const std::size_t start = line.find_first_not_of(kBlanks);
    if (start == std::string_view::npos || line[start] == '#') return words;
    line.remove_prefix(start);
    std::size_t end = 0;
    if (line[0] == '"') {
      end = ClosingQuote(line);
      if (end == std::string_view::npos) return std::nullopt;
      words.push_back(Unquoted(line.substr(1, end - 1)));
      ++end;
      if (end < line.size() && kBlanks.find(line[end]) == std::string_view::npos) {
        return std::nullopt;
      }
    } else {
      end = std::min(line.find_first_of(kBlanks), line.size());
      words.push_back(Unquoted(line.substr(0, end)));
    }
    line.remove_prefix(end);
  }
}

std::optional<Relation> ParseRelation(const std::string& text) {
  if (text == "=") return Relation::kEqual;
  if (text == "!=") return Relation::kNotEqual;
  if (text == "<") return Relation::kLess;
  if (text == ">") return Relation::kGreater;
  return std::nullopt;
}

Result<Compare> ParseCompare(std::size_t line, const Words& words) {
  if (words.size() == 2 && words[0] == "exists") return Compare::Exists(words[1]);
  if (words.size() == 2 && words[0] == "missing") return Compare::Missing(words[1]);
  const bool by_value = words[0] == "value";
  if (words.size() != 4 || (!by_value && words[0] != "index")) {
    return Wrong(line,
                 "a comparison is one of: value KEY = VALUE, index KEY = INDEX (also !=, <, >), "
                 "exists KEY, missing KEY");
  }
  const auto relation = ParseRelation(words[2]);
  if (!relation) return Wrong(line, "'" + Escape(words[2]) + "' is none of =, !=, <, >");
  if (by_value) return Compare::Value(words[1], *relation, words[3]);
  const auto index = ParseNumber<std::uint64_t>(words[3]);
  if (!index) return Wrong(line, "'" + Escape(words[3]) + "' is not an index");
  return Compare::Revision(words[1], *relation, *index);
}

Result<Change> ParseChange(std::size_t line, const Words& words) {
  const std::string& what = words[0];
  if (words.size() == 3 && what == "put") return Change::Put(words[1], words[2]);
  if (words.size() == 3 && what == "append") return Change::Append(words[1], words[2]);
  if (words.size() == 2 && what == "del") return Change::Delete(words[1]);
  if (words.size() == 2 && what == "get") return Change::Get(words[1]);
  if ((words.size() == 2 || words.size() == 3) && what == "incr") {
    const auto by = ParseNumber<std::int64_t>(words.size() == 3 ? words[2] : "1");
    if (!by) return Wrong(line, "'" + Escape(words[2]) + "' is not a number of 64 bits with sign");
    return Change::Increment(words[1], *by);
  }
  return Wrong(line,
               "an operation is one of: put KEY VALUE, del KEY, incr KEY [BY], append KEY VALUE, "
               "get KEY");
}

enum class Section { kNone, kIf, kThen, kElse };

std::optional<Section> ParseSection(const Words& words) {
  if (words.size() != 1) return std::nullopt;
  if (words[0] == "if") return Section::kIf;
  if (words[0] == "then") return Section::kThen;
  if (words[0] == "else") return Section::kElse;
  return std::nullopt;
}

// Adds one line to the transaction; what is wrong with it, if anything.
std::optional<tl::unexpected<Error>> Add(Transaction& transaction, Section section,
                                         std::size_t line, const Words& words) {
  if (section == Section::kNone) {
    return Wrong(line, "expected 'if', 'then' or 'else', not '" + Escape(words[0]) + "'");
  }
  if (section == Section::kIf) {
    auto compare = ParseCompare(line, words);
    if (!compare) return tl::make_unexpected(std::move(compare.error()));
    transaction.when.push_back(std::move(*compare));
    return std::nullopt;
  }
  auto change = ParseChange(line, words);
  if (!change) return tl::make_unexpected(std::move(change.error()));
  (section == Section::kThen ? transaction.then : transaction.otherwise)
      .push_back(std::move(*change));
  return std::nullopt;
}

}  // namespace

Result<Transaction> ParseTransaction(std::string_view text) {
  Transaction transaction;
  Section section = Section::kNone;
  std::array<bool, 4> seen{};
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = Split(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!words) return Wrong(line, "a word in quotes has no end, or no blank behind it");
    if (words->empty()) continue;
    if (const auto next = ParseSection(*words)) {
      if (std::exchange(seen.at(static_cast<std::size_t>(*next)), true)) {
        return Wrong(line, "a second section '" + words->front() + "'");
      }
      section = *next;
    } else if (auto wrong = Add(transaction, section, line, *words)) {
      return std::move(*wrong);
    }
  }
  if (transaction.then.empty() && transaction.otherwise.empty()) {
    return Wrong(1, "a transaction needs an operation, under 'then' or under 'else'");
  }
  return transaction;
}

}  // namespace quorate::tools
