// What can be done to a register.
#pragma once

#include <string>
#include <unordered_map>

#include "jepsen/workload/keys.h"
#include "jepsen/workload/worker.h"

namespace quorate::workload {

// What a compare-and-set may expect: what was written to a key last, as far as anybody knows.
class LastWritten {
 public:
  struct Value {
    std::string text;  // meaningless if the key was deleted
    std::uint64_t revision = 0;
    bool present = false;
  };

  void Note(const std::string& key, Value value);
  Value Of(const std::string& key) const;

 private:
  std::unordered_map<std::string, Value> values_;
};

awaitable<void> Write(Worker& worker, std::string key, LastWritten& last);
awaitable<void> Delete(Worker& worker, std::string key, LastWritten& last);
// Of the value written last, mostly, so that it mostly succeeds.
awaitable<void> CompareAndSet(Worker& worker, std::string key, LastWritten& last);

}  // namespace quorate::workload
