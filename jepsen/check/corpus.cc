#include "jepsen/check/corpus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "jepsen/check/sentence.h"

namespace quorate::check {
namespace {

using Expected = CorpusEntry::Expected;

std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = line.find('\t', begin);
    fields.push_back(line.substr(begin, end - begin));
    if (end == std::string::npos) return fields;
    begin = end + 1;
  }
}

bool ToExpected(const std::string& text, Expected& expected) {
  if (text == "ok") {
    expected = Expected::kValid;
  } else if (text == "not-ok") {
    expected = Expected::kInvalid;
  } else if (text.starts_with("SKIP")) {
    expected = Expected::kSkip;
  } else {
    return false;
  }
  return true;
}

std::vector<CorpusEntry> AllFiles(const std::string& directory, std::string& error) {
  std::vector<CorpusEntry> entries;
  std::error_code code;
  auto walk = std::filesystem::recursive_directory_iterator(directory, code);
  for (; !code && walk != std::filesystem::recursive_directory_iterator(); walk.increment(code)) {
    if (!walk->is_regular_file()) continue;
    entries.push_back({std::filesystem::relative(walk->path(), directory).string(), {}, {}});
  }
  if (code) error = directory + ": " + code.message();
  std::sort(entries.begin(), entries.end(),
            [](const CorpusEntry& a, const CorpusEntry& b) { return a.file < b.file; });
  return entries;
}

// "cas-register init=0 (nil reads always legal)" says what an object is at first.
std::optional<std::string> InitialOf(const std::string& model) {
  const std::size_t at = model.find("init=");
  if (at == std::string::npos) return std::nullopt;
  const std::string text = model.substr(at + 5);
  std::string initial = text.substr(0, text.find_first_of(" ,("));
  return initial == "\"\"" ? std::string() : initial;
}

}  // namespace

bool CorpusOutcome::agrees() const {
  if (skipped) return true;
  if (!error.empty()) return false;
  switch (entry.expected) {
    case Expected::kValid:
      return verdict == Verdict::kValid;
    case Expected::kInvalid:
      return verdict == Verdict::kInvalid;
    default:
      return true;
  }
}

std::vector<CorpusEntry> ReadCorpus(const std::string& directory, std::string& error) {
  const std::string path = directory + "/verdicts.txt";
  std::error_code code;
  if (!std::filesystem::is_directory(directory, code)) {
    error = directory + ": no such directory";
    return {};
  }
  if (!std::filesystem::exists(path, code)) return AllFiles(directory, error);
  std::ifstream file(path);
  std::vector<CorpusEntry> entries;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> fields = Fields(line);
    CorpusEntry entry;
    if (fields.size() < 3 || !ToExpected(fields[1], entry.expected)) {
      error = path + ':' + std::to_string(number) +
              ": expected <path> TAB <ok|not-ok|SKIP> TAB <model>";
      return {};
    }
    entry.file = fields[0];
    entry.model = fields[2];
    entries.push_back(std::move(entry));
  }
  return entries;
}

CorpusOutcome CheckEntry(const std::string& directory, const CorpusEntry& entry,
                         const CheckOptions& options) {
  CorpusOutcome outcome;
  outcome.entry = entry;
  if (entry.expected == Expected::kSkip) {
    outcome.skipped = true;
    return outcome;
  }
  const auto begun = std::chrono::steady_clock::now();
  CheckOptions own = options;
  if (!own.read.initial) own.read.initial = InitialOf(entry.model);
  const auto result = CheckFile(directory + '/' + entry.file, own);
  outcome.took_ms = MillisecondsSince(begun);
  if (const auto* error = std::get_if<ReadError>(&result)) {
    outcome.error = error->Show();
    outcome.skipped =
        error->kind == ReadError::Kind::kEmpty && entry.expected == Expected::kNotKnown;
    return outcome;
  }
  outcome.verdict = std::get<Report>(result).verdict();
  return outcome;
}

}  // namespace quorate::check
