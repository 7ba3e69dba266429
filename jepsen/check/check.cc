#include "jepsen/check/check.h"

#include <algorithm>
#include <array>

#include "jepsen/check/black_box.h"
#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

bool HasIndices(const History& history) {
  return history.format == Format::kQuorate &&
         std::any_of(history.operations.begin(), history.operations.end(), [](const Operation& op) {
           return op.ok() && (op.certificate.index != kAbsent || op.revision != kAbsent);
         });
}

bool LacksIndex(const Operation& op) {
  return op.ok() && op.on_unmet != OnUnmet::kServe && (op.is_read() || IsAnsweredWrite(op)) &&
         ShownIndex(op) == kAbsent;
}

// Whether all that must be linearizable has a place by its index. Locks end with their sessions
// too, of which the search knows nothing.
bool IsWhollyIndexed(const History& history) {
  return history.model == Model::kLock ||
         std::none_of(history.operations.begin(), history.operations.end(),
                      [](const Operation& op) {
                        return LacksIndex(op) && (!op.is_read() || op.level == Level::kStrong);
                      });
}

// A promise that nothing can be said about is not one that was kept.
void NoteUnchecked(const History& history, const CheckOptions& options, Report& report) {
  std::array<std::uint64_t, 4> lacking{};
  for (const Operation& op : history.operations) {
    if (op.is_read() && LacksIndex(op)) ++lacking[static_cast<std::size_t>(op.level)];
  }
  Findings findings(history, options.max_listed, report);
  if (history.operations.empty()) {
    // Others count an empty history as linearizable; a test of ours that did nothing shows nothing.
    CheckerResult& row = findings.Row("operations");
    if (history.format == Format::kQuorate) row.verdict = Verdict::kUnknown;
    row.detail = "there are none: nothing was checked";
  }
  for (const Level level : {Level::kBounded, Level::kSession, Level::kEventual}) {
    const std::uint64_t count = lacking[static_cast<std::size_t>(level)];
    if (count == 0) continue;
    CheckerResult& row = findings.Row(Name(level));
    if (row.verdict == Verdict::kValid) row.verdict = Verdict::kUnknown;
    row.detail = std::to_string(count) + " reads have no certificate with an index: not checked";
  }
}

}  // namespace

Report Check(History& history, const CheckOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  Report report;
  report.file = history.file;
  report.model = history.model;
  report.operations = history.operations.size();
  const bool indexed = HasIndices(history);
  if (indexed) CheckWhiteBox(history, options, report);
  if (!indexed || options.always_black_box || !IsWhollyIndexed(history)) {
    CheckBlackBox(history, options, report);
  }
  NoteUnchecked(history, options, report);
  if (history.format == Format::kQuorate && history.end == kNever) {
    report.notes.emplace_back("the history has no \"end\": the test did not run to its end");
  }
  report.check_ms = MillisecondsSince(begun);
  return report;
}

std::variant<Report, ReadError> CheckFile(const std::string& path, const CheckOptions& options) {
  const auto begun = std::chrono::steady_clock::now();
  ReadResult read = ReadFile(path, options.read);
  if (auto* error = std::get_if<ReadError>(&read)) return std::move(*error);
  const double read_ms = MillisecondsSince(begun);
  Report report = Check(std::get<History>(read), options);
  report.read_ms = read_ms;
  return report;
}

}  // namespace quorate::check
