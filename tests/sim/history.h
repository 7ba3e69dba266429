// What clients asked and were told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "raft/types.h"
#include "src/freshness.h"
#include "tests/sim/random.h"

namespace quorate::sim {

// Weak: every level but strong. What each of them promises, freshness_audit.h checks.
enum class OperationKind { kPut, kDelete, kCompareAndSet, kStrongRead, kWeakRead };

inline bool IsWrite(OperationKind kind) {
  return kind == OperationKind::kPut || kind == OperationKind::kDelete ||
         kind == OperationKind::kCompareAndSet;
}

enum class Result {
  kUnknown,      // no answer: a write may have happened, or may yet happen
  kNotExecuted,  // certainly did not happen
  kDone,         // a write that took effect, or a read
  kNotFound,     // a delete of an absent key
  kCompareFailed,
};

// A value and the index of the write that made it; index 0 means that the key was absent.
struct Observed {
  raft::Index mod_index = 0;
  std::string value;
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct Operation {
  std::uint64_t id = 0;
  OperationKind kind = OperationKind::kPut;
  std::string key;
  std::string value;                        // put, compare-and-set
  std::optional<raft::Index> expect_index;  // compare-and-set: on this
  std::optional<std::string> expect_value;  // or on this
  server::ReadNeed need;                    // reads
  SimTime invoked{0};

  Result result = Result::kUnknown;
  SimTime returned{0};    // unless unknown
  raft::Index index = 0;  // of the write, or of the state that was read
  Observed observed;      // by a read
};

// One client's command as the log has it.
struct LoggedWrite {
  raft::Index index = 0;
  std::uint64_t operation = 0;  // Operation::id
};

}  // namespace quorate::sim
