#include "jepsen/check/shrink.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

namespace quorate::check {
namespace {

class Shrinker {
 public:
  Shrinker(Stepper& stepper, const ValueTable& values, const Budget& budget)
      : stepper_(stepper), values_(values), budget_(budget) {}

  bool IsInvalid(const std::vector<Operation>& operations) {
    return Linearize(stepper_, values_, operations, budget_).verdict == Verdict::kInvalid;
  }

  // What was known at that moment.
  static std::vector<Operation> Until(const std::vector<Operation>& operations, Time moment) {
    std::vector<Operation> known;
    for (Operation op : operations) {
      if (op.invoked > moment) continue;
      if (op.returned != kNever && op.returned > moment) {
        if (op.only_observes()) continue;
        op.returned = kNever;
        op.outcome = Outcome::kInfo;
        op.has_result = false;
      }
      known.push_back(op);
    }
    return known;
  }

  // The first moment from which on no order exists. Usually when the operation that the search was
  // stuck at returned; where it looked ahead, later.
  std::vector<Operation> CutSuffix(const std::vector<Operation>& operations, Time guess) {
    std::vector<Operation> known = Until(operations, guess);
    if (IsInvalid(known)) return known;
    std::vector<Time> moments;
    for (const Operation& op : operations) {
      if (op.returned != kNever && op.returned > guess) moments.push_back(op.returned);
    }
    std::sort(moments.begin(), moments.end());
    const auto first = std::partition_point(moments.begin(), moments.end(), [&](Time moment) {
      return !IsInvalid(Until(operations, moment));
    });
    return first == moments.end() ? operations : Until(operations, *first);
  }

  void DropObservations(std::vector<Operation>& operations) {
    // The last answer stays: without it there is an order, which can take long to find.
    Time last = std::numeric_limits<Time>::min();
    for (const Operation& op : operations) {
      if (op.returned != kNever) last = std::max(last, op.returned);
    }
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      if (operations[i].only_observes() && operations[i].returned != last) candidates.push_back(i);
    }
    Drop(operations, candidates);
  }

  void DropUnseenWrites(std::vector<Operation>& operations) {
    std::size_t before = 0;
    do {
      before = operations.size();
      Drop(operations, UnseenWrites(operations));
    } while (operations.size() < before);
  }

 private:
  std::vector<std::size_t> UnseenWrites(const std::vector<Operation>& operations) const {
    std::unordered_set<Value> seen;
    for (const Operation& op : operations) {
      if (op.compared_unequal) return {};
      if (op.is_read()) {
        seen.insert(op.result);
      } else if (op.function == Function::kCas) {
        seen.insert(values_.items(op.value).front());
      } else if (op.function != Function::kWrite && op.function != Function::kDelete) {
        return {};
      }
    }
    std::vector<std::size_t> unseen;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const Operation& op = operations[i];
      if (op.is_read()) continue;
      if (!seen.contains(Made(values_, op))) unseen.push_back(i);
    }
    return unseen;
  }

  // Halves, quarters... of the candidates, as long as what is left stays invalid.
  void Drop(std::vector<Operation>& operations, const std::vector<std::size_t>& candidates) {
    std::vector<bool> gone(operations.size());
    for (std::size_t piece = candidates.size(); piece > 0; piece /= 2) {
      for (std::size_t begin = 0; begin < candidates.size(); begin += piece) {
        if (std::chrono::steady_clock::now() > budget_.deadline) break;
        std::vector<bool> without = gone;
        for (std::size_t i = begin; i < std::min(begin + piece, candidates.size()); ++i) {
          without[candidates[i]] = true;
        }
        if (without != gone && IsInvalid(Left(operations, without))) gone = without;
      }
    }
    operations = Left(operations, gone);
  }

  static std::vector<Operation> Left(const std::vector<Operation>& operations,
                                     const std::vector<bool>& gone) {
    std::vector<Operation> left;
    for (std::size_t i = 0; i < operations.size(); ++i) {
      if (!gone[i]) left.push_back(operations[i]);
    }
    return left;
  }

  Stepper& stepper_;
  const ValueTable& values_;
  const Budget& budget_;
};

}  // namespace

std::vector<Operation> Shrink(Stepper& stepper, const ValueTable& values,
                              std::vector<Operation> operations, std::size_t stuck_at,
                              const Budget& budget) {
  Shrinker shrinker(stepper, values, budget);
  operations = shrinker.CutSuffix(operations, operations[stuck_at].returned);
  shrinker.DropObservations(operations);
  if (stepper.model() == Model::kRegister) {
    shrinker.DropUnseenWrites(operations);
    shrinker.DropObservations(operations);
  }
  return operations;
}

}  // namespace quorate::check
