#include "jepsen/check/stepper.h"

#include <algorithm>
#include <utility>

namespace quorate::check {
namespace {

// A map as a list: key, value, key, value..., ordered by key.
std::size_t Find(const std::vector<Value>& pairs, Value key) {
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    if (pairs[i] >= key) return i;
  }
  return pairs.size() / 2 * 2;
}

void Set(std::vector<Value>& pairs, Value key, Value value) {
  const std::size_t at = Find(pairs, key);
  if (at < pairs.size() && pairs[at] == key) {
    pairs[at + 1] = value;
  } else {
    pairs.insert(pairs.begin() + static_cast<std::ptrdiff_t>(at), {key, value});
  }
}

}  // namespace

bool IsByKey(Model model) {
  return model != Model::kBank && model != Model::kMultiRegister;
}

Stepper::Stepper(History& history) : history_(history), empty_(history.values.Text("")) {
  ValueTable& values = history.values;
  switch (history.model) {
    case Model::kSet:
      initial_ = values.List({});
      break;
    case Model::kBank:  // the balances are not known yet
      initial_ = values.List({kNil});
      break;
    case Model::kMultiRegister:
      initial_ = values.List({});
      read_ = values.Text(":read");
      write_ = values.Text(":write");
      short_read_ = values.Text(":r");
      short_write_ = values.Text(":w");
      break;
    case Model::kCounter:
    case Model::kLock:
      initial_ = 0;
      break;
    default:
      initial_ = history.initial;
  }
}

std::optional<State> Stepper::Step(State state, const Operation& operation) {
  switch (history_.model) {
    case Model::kCounter:
      return StepCounter(static_cast<std::int64_t>(state), operation);
    case Model::kSet:
      return StepSet(static_cast<Value>(state), operation);
    case Model::kBank:
      return StepBank(static_cast<Value>(state), operation);
    case Model::kLock:
      return StepLock(state != 0, operation);
    case Model::kMultiRegister:
      return StepTransaction(static_cast<Value>(state), operation);
    default:
      return StepScalar(static_cast<Value>(state), operation);
  }
}

std::string Stepper::Show(State state) const {
  switch (history_.model) {
    case Model::kCounter:
      return std::to_string(static_cast<std::int64_t>(state));
    case Model::kLock:
      return state != 0 ? "held" : "free";
    default:
      return history_.values.Show(static_cast<Value>(state));
  }
}

// In models of text, an absent key and an empty one are the same.
bool Stepper::SameScalar(Value a, Value b) const {
  if (a == b) return true;
  const bool text = history_.model == Model::kAppend || history_.model == Model::kKv;
  return text && (a == kNil || a == empty_) && (b == kNil || b == empty_);
}

Value Stepper::Concatenated(Value front, Value back) {
  if (front == kNil || front == empty_) return back;
  std::string text(history_.values.text(front));
  text += history_.values.text(back);
  return history_.values.Text(text);
}

std::optional<State> Stepper::StepScalar(Value state, const Operation& op) {
  switch (op.function) {
    case Function::kRead:
      if (!op.ok() || !op.has_result) return op.ok() ? std::optional<State>(state) : std::nullopt;
      if (op.result == kNil && history_.nil_reads_are_unknown) return state;
      return SameScalar(state, op.result) ? std::optional<State>(state) : std::nullopt;
    case Function::kWrite:
      return op.value;
    case Function::kDelete:
      return kNil;
    case Function::kAppend:
      if (op.ok() && op.has_result && !SameScalar(state, op.result)) return std::nullopt;
      return Concatenated(state, op.value);
    case Function::kCas: {
      const std::vector<Value> values = history_.values.items(op.value);
      const bool equal = values.size() == 2 && SameScalar(state, values[0]);
      if (op.compared_unequal) return equal ? std::nullopt : std::optional<State>(state);
      return equal ? std::optional<State>(values[1]) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::optional<State> Stepper::StepCounter(std::int64_t sum, const Operation& op) {
  std::int64_t number = 0;
  if (op.function == Function::kAdd) {
    if (!history_.values.AsNumber(op.value, number)) number = op.value == kNil ? 1 : 0;
    sum = Plus(sum, number);
  } else if (op.function != Function::kRead || !op.ok()) {
    return std::nullopt;
  }
  if (op.ok() && op.has_result) {
    if (op.result == kNil) number = 0;
    if (op.result != kNil && !history_.values.AsNumber(op.result, number)) return std::nullopt;
    if (number != sum) return std::nullopt;
  }
  return static_cast<State>(sum);
}

std::optional<State> Stepper::StepSet(Value state, const Operation& op) {
  std::vector<Value> elements = history_.values.items(state);
  if (op.function == Function::kAdd) {
    const auto at = std::lower_bound(elements.begin(), elements.end(), op.value);
    if (at == elements.end() || *at != op.value) elements.insert(at, op.value);
    return history_.values.List(elements);
  }
  if (op.function != Function::kRead || !op.ok()) return std::nullopt;
  std::vector<Value> read = history_.values.items(op.result);
  std::sort(read.begin(), read.end());
  return read == elements ? std::optional<State>(state) : std::nullopt;
}

// The state is a list: whether the balances are known (nil: they are what the accounts have gained
// so far), then account, balance, account, balance...
std::optional<State> Stepper::StepBank(Value state, const Operation& op) {
  ValueTable& values = history_.values;
  std::vector<Value> items = values.items(state);
  const bool known = items.front() != kNil;
  std::vector<Value> balances(items.begin() + 1, items.end());
  if (op.function == Function::kRead) {
    if (!op.ok()) return std::nullopt;
    return known || !op.has_result ? StepBankRead(balances, op) : [&]() -> std::optional<State> {
      std::vector<Value> next = {values.Number(1)};
      std::vector<std::pair<Value, Value>> pairs;
      for (const Value pair : values.items(op.result)) {
        const std::vector<Value> both = values.items(pair);
        if (both.size() == 2) pairs.emplace_back(both[0], both[1]);
      }
      std::sort(pairs.begin(), pairs.end());
      for (const auto& [account, balance] : pairs) next.insert(next.end(), {account, balance});
      return values.List(next);
    }();
  }
  const std::vector<Value> parts = values.items(op.value);
  std::int64_t amount = 0;
  if (op.function != Function::kTransfer || parts.size() != 3 ||
      !values.AsNumber(parts[2], amount)) {
    return std::nullopt;
  }
  const auto account = [&](Value name) {
    return values.kind(name) == ValueTable::Kind::kNumber
               ? values.Text(std::to_string(values.number(name)))
               : name;
  };
  const auto balance = [&](Value name) {
    const std::size_t at = Find(balances, name);
    return at < balances.size() && balances[at] == name ? values.number(balances[at + 1]) : 0;
  };
  const Value from = account(parts[0]);
  const Value to = account(parts[1]);
  const bool enough = balance(from) >= amount;
  if (op.compared_unequal) return known && enough ? std::nullopt : std::optional<State>(state);
  if (known && !enough) return std::nullopt;
  Set(balances, from, values.Number(Minus(balance(from), amount)));
  Set(balances, to, values.Number(Plus(balance(to), amount)));
  balances.insert(balances.begin(), items.front());
  return values.List(balances);
}

std::optional<State> Stepper::StepBankRead(const std::vector<Value>& balances,
                                           const Operation& op) {
  ValueTable& values = history_.values;
  const std::vector<Value> read = values.items(op.result);
  std::vector<Value> all = balances;
  all.insert(all.begin(), values.Number(1));
  const State state = values.List(all);
  if (!op.has_result) return state;
  if (read.size() * 2 != balances.size()) return std::nullopt;
  for (const Value pair : read) {
    const std::vector<Value> both = values.items(pair);
    if (both.size() != 2) return std::nullopt;
    const std::size_t at = Find(balances, both[0]);
    if (at >= balances.size() || balances[at] != both[0] || balances[at + 1] != both[1]) {
      return std::nullopt;
    }
  }
  return state;
}

std::optional<State> Stepper::StepLock(bool held, const Operation& op) {
  if (op.function == Function::kAcquire) return held ? std::nullopt : std::optional<State>(1);
  if (op.function == Function::kRelease) return held ? std::optional<State>(0) : std::nullopt;
  return op.ok() ? std::optional<State>(held ? 1 : 0) : std::nullopt;
}

std::optional<State> Stepper::StepTransaction(Value state, const Operation& op) {
  std::vector<Value> registers = history_.values.items(state);
  for (const Value part : history_.values.items(op.value)) {
    const std::vector<Value> fields = history_.values.items(part);
    if (fields.size() != 3) return std::nullopt;
    if (fields[0] == write_ || fields[0] == short_write_) {
      Set(registers, fields[1], fields[2]);
    } else if (fields[0] == read_ || fields[0] == short_read_) {
      if (!op.ok() || fields[2] == kNil) continue;  // not known
      const std::size_t at = Find(registers, fields[1]);
      const bool written = at < registers.size() && registers[at] == fields[1];
      if ((written ? registers[at + 1] : history_.initial) != fields[2]) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  return history_.values.List(registers);
}

}  // namespace quorate::check
