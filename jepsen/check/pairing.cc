#include "jepsen/check/pairing.h"

namespace quorate::check {

Operation* Pairing::Invoke(std::int64_t process, std::uint64_t line) {
  const auto [at, is_new] = open_.try_emplace(process, history_.operations.size());
  if (!is_new) {
    const Operation& open = history_.operations[at->second];
    error_ = "process " + std::to_string(process) + " invokes while its " +
             std::string(Name(open.function)) + " of line " + std::to_string(open.number) +
             " has not ended";
    return nullptr;
  }
  Operation& operation = history_.operations.emplace_back();
  operation.number = line;
  operation.client = process;
  operation.invoked = now_++;
  return &operation;
}

Operation* Pairing::Complete(std::int64_t process, Function function, Outcome outcome) {
  const auto at = open_.find(process);
  if (at == open_.end()) {
    error_ = "process " + std::to_string(process) + " completes a " + std::string(Name(function)) +
             " that it did not invoke";
    return nullptr;
  }
  Operation& operation = history_.operations[at->second];
  if (operation.function != function) {
    error_ = "process " + std::to_string(process) + " completes a " + std::string(Name(function)) +
             " but had invoked a " + std::string(Name(operation.function)) + " in line " +
             std::to_string(operation.number);
    return nullptr;
  }
  open_.erase(at);
  operation.outcome = outcome;
  if (outcome != Outcome::kInfo) operation.returned = now_++;
  return &operation;
}

}  // namespace quorate::check
