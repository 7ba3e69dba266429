// The sequential meaning of each model: what an operation answers and does in a state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jepsen/check/history.h"

namespace quorate::check {

// Numbers that a Stepper gives to states; equal states have equal numbers.
using State = std::uint64_t;

// Works on one object, or on all together where the model is about all of them. Adds values to the
// history's table as it goes. Not thread-safe.
class Stepper {
 public:
  explicit Stepper(History& history);

  Model model() const { return history_.model; }
  State Initial() const { return initial_; }
  // The state after the operation; nothing if it cannot have answered so in that state. Of an
  // operation without an answer only what it does counts; where that is nothing, nothing is
  // returned.
  std::optional<State> Step(State state, const Operation& operation);
  // For people.
  std::string Show(State state) const;

 private:
  std::optional<State> StepScalar(Value state, const Operation& operation);
  std::optional<State> StepCounter(std::int64_t sum, const Operation& operation);
  std::optional<State> StepSet(Value state, const Operation& operation);
  std::optional<State> StepBank(Value state, const Operation& operation);
  std::optional<State> StepBankRead(const std::vector<Value>& balances, const Operation& operation);
  std::optional<State> StepLock(bool held, const Operation& operation);
  std::optional<State> StepTransaction(Value state, const Operation& operation);
  bool SameScalar(Value a, Value b) const;
  Value Concatenated(Value front, Value back);

  History& history_;
  State initial_ = kNil;
  Value read_ = kNil;  // the names of a transaction's parts
  Value write_ = kNil;
  Value short_read_ = kNil;
  Value short_write_ = kNil;
  Value empty_ = kNil;
};

// Whether each key is an object of its own.
bool IsByKey(Model model);

}  // namespace quorate::check
