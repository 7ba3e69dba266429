#include "jepsen/check/findings.h"

#include <algorithm>
#include <utility>

#include "jepsen/check/sentence.h"

namespace quorate::check {

CheckerResult& Findings::Row(std::string_view checker) {
  for (CheckerResult& row : report_.checkers) {
    if (row.name == checker) return row;
  }
  CheckerResult& row = report_.checkers.emplace_back();
  row.name = checker;
  return row;
}

bool Findings::Listed(std::string_view checker) {
  CheckerResult& row = Row(checker);
  row.verdict = Verdict::kInvalid;
  return row.found++ < max_listed_;
}

void Findings::List(std::string_view checker, std::initializer_list<Position> operations,
                    std::string sentence) {
  Violation violation;
  violation.checker = checker;
  violation.sentence = std::move(sentence);
  for (const Position position : operations) {
    if (position == kNowhere) continue;
    const Operation& op = history_.operations[position];
    if (std::find(violation.operations.begin(), violation.operations.end(), op.number) !=
        violation.operations.end()) {
      continue;
    }
    if (violation.operations.empty()) {
      violation.at = op.invoked;
      if (op.key != kNil) violation.key = PlainText(history_.values, op.key);
    }
    violation.operations.push_back(op.number);
  }
  report_.violations.push_back(std::move(violation));
}

Timed::~Timed() {
  findings_.Row(checker_).took_ms += MillisecondsSince(begun_);
}

}  // namespace quorate::check
