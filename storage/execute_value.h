// What commands do to a single key, alone or as parts of a transaction.
#pragma once

#include <cstdint>
#include <string>

#include "client/proto/wire.pb.h"
#include "storage/key_space.h"

namespace quorate::storage {

// Where a change is made, and in whose name.
struct Change {
  KeySpace& keys;
  raft::Index index = 0;      // of the command: becomes the mod_index of what it writes
  std::uint64_t session = 0;  // of the command; 0: none
};

// What it did. Only kDone has changed anything.
struct Part {
  Outcome outcome = Outcome::kDone;
  bool found = false;         // as in Applied
  std::uint64_t have = 0;     // as in Applied
  std::string value{};        // as in wire::WriteResult
  raft::Index mod_index = 0;  // of `value`, where that was there before
};

Result<Part> Execute(const wire::Put& command, const Change& change);
Result<Part> Execute(const wire::Delete& command, const Change& change);
Result<Part> Execute(const wire::CompareAndSet& command, const Change& change);
Result<Part> Execute(const wire::Increment& command, const Change& change);
Result<Part> Execute(const wire::Append& command, const Change& change);

}  // namespace quorate::storage
