// Puts the invocation and the completion of an operation together, for formats that write them
// as two events. An event's position is its time.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "jepsen/check/history.h"

namespace quorate::check {

class Pairing {
 public:
  explicit Pairing(History& history) : history_(history) {}

  // The operation that begins here, for the caller to fill in; nullptr: error() says why not.
  Operation* Invoke(std::int64_t process, std::uint64_t line);
  // The operation that ends here, with its outcome and time set; nullptr: error() says why not.
  // The pointer holds until the next Invoke.
  Operation* Complete(std::int64_t process, Function function, Outcome outcome);

  const std::string& error() const { return error_; }

 private:
  History& history_;
  std::unordered_map<std::int64_t, std::size_t> open_;
  Time now_ = 0;
  std::string error_;
};

}  // namespace quorate::check
