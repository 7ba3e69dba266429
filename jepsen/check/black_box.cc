#include "jepsen/check/black_box.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "jepsen/check/sentence.h"
#include "jepsen/check/shrink.h"

namespace quorate::check {
namespace {

constexpr std::chrono::milliseconds kShrinkTime{1'000};

struct Partition {
  Value key = kNil;
  std::vector<Operation> operations;
};

// In the order in which the keys first occur.
std::vector<Partition> Partitions(const History& history) {
  std::vector<Partition> partitions;
  std::unordered_map<Value, std::size_t> of_key;
  for (const Operation& op : history.operations) {
    if (!TakesPart(op) || (op.is_read() && op.level != Level::kStrong) ||
        op.on_unmet == OnUnmet::kServe || op.function == Function::kUse) {
      continue;
    }
    const Value key = IsByKey(history.model) ? op.key : kNil;
    const auto [at, is_new] = of_key.try_emplace(key, partitions.size());
    if (is_new) partitions.push_back({key, {}});
    Operation& added = partitions[at->second].operations.emplace_back(op);
    if (op.outcome == Outcome::kInfo) added.returned = kNever;
  }
  return partitions;
}

Violation Explain(History& history, Stepper& stepper, Partition partition, std::size_t stuck_at) {
  const Budget budget = Budget::For(kShrinkTime);
  const std::vector<Operation> small =
      Shrink(stepper, history.values, std::move(partition.operations), stuck_at, budget);
  const Linearization why = Linearize(stepper, history.values, small, Budget::For(kShrinkTime));
  // What is left ends with the return that no order reaches.
  const auto last = std::max_element(small.begin(), small.end(), [](const auto& a, const auto& b) {
    return (a.returned == kNever ? -1 : a.returned) < (b.returned == kNever ? -1 : b.returned);
  });
  const Operation& stuck = *last;
  Violation violation;
  violation.checker = "linearizable";
  violation.at = stuck.invoked;
  if (partition.key != kNil) violation.key = PlainText(history.values, partition.key);
  violation.operations.push_back(stuck.number);
  for (const Operation& op : small) {
    if (&op != &stuck) violation.operations.push_back(op.number);
  }
  std::string& text = violation.sentence;
  text = Describe(history, stuck) + ", which no order of the operations explains";
  // The search may have stopped earlier, where it looked ahead.
  const bool has_states =
      why.verdict == Verdict::kInvalid && !why.states.empty() && &small[why.stuck_at] == &stuck;
  for (std::size_t i = 0; has_states && i < why.states.size(); ++i) {
    text += i == 0                       ? ": the value could only have been "
            : i + 1 == why.states.size() ? " or "
                                         : ", ";
    text += stepper.Show(why.states[i]);
  }
  text += " (" + std::to_string(small.size()) + " of " + std::to_string(history.operations.size()) +
          " operations suffice to show it)";
  return violation;
}

}  // namespace

void CheckBlackBox(History& history, const CheckOptions& options, Report& report) {
  Stepper stepper(history);
  const Budget budget = Budget::For(options.time_limit, options.memory_limit);
  CheckerResult result;
  result.name = "linearizable";
  const auto begun = std::chrono::steady_clock::now();
  std::size_t configurations = 0;
  std::size_t unknown = 0;
  std::vector<Partition> partitions = Partitions(history);
  for (Partition& partition : partitions) {
    const Linearization found = Linearize(stepper, history.values, partition.operations, budget);
    result.checked += partition.operations.size();
    configurations += found.configurations;
    if (found.verdict == Verdict::kUnknown) ++unknown;
    if (found.verdict != Verdict::kInvalid) continue;
    result.verdict = Verdict::kInvalid;
    result.found = 1;
    report.violations.push_back(Explain(history, stepper, std::move(partition), found.stuck_at));
    break;
  }
  if (result.verdict == Verdict::kValid && unknown > 0) result.verdict = Verdict::kUnknown;
  result.detail = std::to_string(partitions.size()) + " objects, " +
                  std::to_string(configurations) + " configurations";
  if (unknown > 0) {
    result.detail += "; " + std::to_string(unknown) +
                     " not decided within the time or memory: raise --time-limit or --memory-limit";
  }
  result.took_ms = MillisecondsSince(begun);
  report.checkers.push_back(std::move(result));
}

}  // namespace quorate::check
