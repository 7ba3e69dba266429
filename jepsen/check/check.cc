#include "jepsen/check/check.h"

#include <algorithm>

#include "jepsen/check/black_box.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

bool HasIndices(const History& history) {
  return history.format == Format::kQuorate &&
         std::any_of(history.operations.begin(), history.operations.end(),
                     [](const Operation& op) {
                       return op.ok() && (op.certificate.index != kAbsent || op.revision != kAbsent);
                     });
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
  if (!indexed || options.always_black_box) CheckBlackBox(history, options, report);
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
