#include "jepsen/check/sentence.h"

#include <cstdio>

namespace quorate::check {

std::string Called(const History& history, const Operation& op) {
  // Without numbers of its own, an operation is called by the line where it begins.
  std::string text(Name(op.function));
  text += history.format == Format::kQuorate ? " #" : " of line ";
  text += std::to_string(op.number);
  const std::uint32_t node = op.certificate.node != 0 ? op.certificate.node : op.node;
  if (op.is_read() && node != 0) text += " on node " + std::to_string(node);
  return text;
}

std::string Describe(const History& history, const Operation& op) {
  std::string text = Called(history, op);
  if (op.value != kNil && !op.is_read()) text += " of " + history.values.Show(op.value);
  text += " by client " + std::to_string(op.client);
  if (op.ok() && op.has_result) text += " returned " + history.values.Show(op.result);
  if (op.ok() && !op.has_result) text += " succeeded";
  if (op.compared_unequal) text += " was answered that it compared unequal";
  return text;
}

std::string Duration(Time microseconds) {
  char text[40];
  if (microseconds < 10'000) {
    std::snprintf(text, sizeof text, "%lld us", static_cast<long long>(microseconds));
  } else {
    std::snprintf(text, sizeof text, "%.2f s", static_cast<double>(microseconds) / 1e6);
  }
  return text;
}

std::string PlainText(const ValueTable& values, Value value) {
  return values.kind(value) == ValueTable::Kind::kText ? std::string(values.text(value))
                                                       : values.Show(value);
}

double MillisecondsSince(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
      .count();
}

}  // namespace quorate::check
