#include "tests/sim/linearizability.h"

#include <algorithm>
#include <map>
#include <queue>

namespace quorate::sim {
namespace {

// The histories of single keys, executed in log order. Its own code on purpose: sharing the state
// machine's would share its mistakes.
class Model {
 public:
  // Executes `operation` at `index` and returns what its answer should be.
  Result Execute(const Operation& operation, raft::Index index) {
    std::vector<Version>& versions = keys_[operation.key];
    const Observed now = versions.empty() ? Observed{} : versions.back().state;
    switch (operation.kind) {
      case OperationKind::kPut:
        versions.push_back({index, {index, operation.value}});
        return Result::kDone;
      case OperationKind::kDelete:
        if (now.mod_index == 0) return Result::kNotFound;
        versions.push_back({index, {}});
        return Result::kDone;
      case OperationKind::kCompareAndSet:
        if (!Holds(operation, now)) return Result::kCompareFailed;
        versions.push_back({index, {index, operation.value}});
        return Result::kDone;
      case OperationKind::kStrongRead:
      case OperationKind::kWeakRead:
        break;
    }
    return Result::kUnknown;
  }

  Observed At(const std::string& key, raft::Index index) const {
    const auto versions = keys_.find(key);
    if (versions == keys_.end()) return {};
    const auto after =
        std::upper_bound(versions->second.begin(), versions->second.end(), index,
                         [](raft::Index i, const Version& v) { return i < v.since; });
    return after == versions->second.begin() ? Observed{} : std::prev(after)->state;
  }

 private:
  struct Version {
    raft::Index since = 0;
    Observed state;
  };

  static bool Holds(const Operation& operation, const Observed& now) {
    if (operation.expect_index) return *operation.expect_index == now.mod_index;
    return now.mod_index != 0 && operation.expect_value == now.value;
  }

  std::map<std::string, std::vector<Version>> keys_;
};

std::string Name(const Operation& operation) {
  constexpr const char* kKinds[] = {"put", "delete", "compare-and-set", "strong read", "weak read"};
  return std::string(kKinds[static_cast<int>(operation.kind)]) + " #" +
         std::to_string(operation.id) + " of " + operation.key;
}

std::string Show(const Observed& observed) {
  if (observed.mod_index == 0) return "nothing";
  return "'" + observed.value.substr(0, 40) + "' of index " + std::to_string(observed.mod_index);
}

using Violation = std::optional<std::string>;

Violation CheckWrite(const Operation& operation, std::optional<raft::Index> logged,
                     Result expected) {
  const bool answered = operation.result != Result::kUnknown;
  if (operation.result == Result::kNotExecuted) {
    if (!logged) return std::nullopt;
    return Name(operation) + " was refused as not executed, but is in the log at " +
           std::to_string(*logged);
  }
  if (!answered) return std::nullopt;
  if (logged != operation.index) {
    return Name(operation) + " was acknowledged at index " + std::to_string(operation.index) +
           ", where the log does not have it";
  }
  if (operation.result != expected)
    return Name(operation) + " was told another outcome than the log's";
  return std::nullopt;
}

Violation CheckRead(const Operation& operation, const Model& model) {
  if (operation.result != Result::kDone) return std::nullopt;
  const Observed expected = model.At(operation.key, operation.index);
  if (operation.observed == expected) return std::nullopt;
  return Name(operation) + " at index " + std::to_string(operation.index) + " returned " +
         Show(operation.observed) + " instead of " + Show(expected);
}

// Where an operation stands: writes at an index come before reads of the state at that index.
struct Place {
  const Operation* operation;
  raft::Index index;
};

Violation CheckRealTime(std::vector<Place> places) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.operation->invoked < b.operation->invoked;
  });
  const auto returns_later = [](const Place& a, const Place& b) {
    return a.operation->returned > b.operation->returned;
  };
  std::priority_queue<Place, std::vector<Place>, decltype(returns_later)> open(returns_later);
  Place latest{nullptr, 0};  // the furthest of those that have returned
  for (const Place& place : places) {
    const Operation& operation = *place.operation;
    for (; !open.empty() && open.top().operation->returned < operation.invoked; open.pop()) {
      if (open.top().index >= latest.index) latest = open.top();
    }
    const bool after =
        IsWrite(operation.kind) ? place.index > latest.index : place.index >= latest.index;
    if (latest.operation != nullptr && !after && operation.kind != OperationKind::kWeakRead) {
      return Name(operation) + " stands at index " + std::to_string(place.index) +
             ", but was invoked after " + Name(*latest.operation) + " had returned from index " +
             std::to_string(latest.index);
    }
    // An unanswered write never returns; an eventual read promises nothing to later operations.
    const bool orders =
        operation.result != Result::kUnknown && operation.kind != OperationKind::kWeakRead;
    if (orders) open.push(place);
  }
  return std::nullopt;
}

// A state can be shown only once it exists: a write that was invoked after the read returned cannot
// be in it.
Violation CheckNotFromTheFuture(const std::vector<Operation>& operations,
                                const std::map<std::uint64_t, raft::Index>& logged) {
  std::vector<std::pair<SimTime, raft::Index>> writes;  // by invocation
  for (const Operation& operation : operations) {
    const auto it = logged.find(operation.id);
    if (it != logged.end()) writes.emplace_back(operation.invoked, it->second);
  }
  std::sort(writes.begin(), writes.end());
  // The lowest index among writes invoked at or after each one.
  std::vector<raft::Index> lowest(writes.size() + 1, ~raft::Index{0});
  for (std::size_t i = writes.size(); i-- > 0;)
    lowest[i] = std::min(lowest[i + 1], writes[i].second);
  for (const Operation& operation : operations) {
    if (operation.kind != OperationKind::kWeakRead || operation.result != Result::kDone) continue;
    const auto later = std::upper_bound(writes.begin(), writes.end(),
                                        std::pair(operation.returned, ~raft::Index{0}));
    if (lowest[static_cast<std::size_t>(later - writes.begin())] <= operation.index) {
      return Name(operation) + " at index " + std::to_string(operation.index) +
             " shows a write that was invoked only later";
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> FindViolation(const std::vector<Operation>& operations,
                                         const std::vector<LoggedWrite>& log) {
  std::map<std::uint64_t, const Operation*> by_id;
  for (const Operation& operation : operations) by_id[operation.id] = &operation;

  Model model;
  std::map<std::uint64_t, raft::Index> logged;
  std::map<std::uint64_t, Result> expected;
  for (const LoggedWrite& write : log) {
    const auto operation = by_id.find(write.operation);
    if (operation == by_id.end() || !IsWrite(operation->second->kind)) {
      return "the log has a write at index " + std::to_string(write.index) +
             " that nobody asked for";
    }
    if (!logged.emplace(write.operation, write.index).second) {
      return Name(*operation->second) + " was executed twice, at index " +
             std::to_string(logged[write.operation]) + " and " + std::to_string(write.index);
    }
    expected[write.operation] = model.Execute(*operation->second, write.index);
  }

  std::vector<Place> places;
  for (const Operation& operation : operations) {
    const auto at = logged.find(operation.id);
    const auto index = at == logged.end() ? std::nullopt : std::optional(at->second);
    Violation violation;
    if (IsWrite(operation.kind)) {
      violation = CheckWrite(operation, index, index ? expected[operation.id] : Result::kUnknown);
      if (index) places.push_back({&operation, *index});
    } else {
      violation = CheckRead(operation, model);
      if (operation.result == Result::kDone) places.push_back({&operation, operation.index});
    }
    if (violation) return violation;
  }
  if (Violation violation = CheckRealTime(std::move(places))) return violation;
  return CheckNotFromTheFuture(operations, logged);
}

}  // namespace quorate::sim
