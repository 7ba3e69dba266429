// One entry of the replicated log.
#pragma once

#include <cstddef>
#include <cstdint>

#include "raft/bytes.h"
#include "raft/types.h"

namespace quorate::raft {

// The values are on disk and on the wire: never renumber.
enum class EntryKind : std::uint8_t {
  kNoop = 1,  // starts a leader's term: nothing of an older term counts as committed before it
              // (Raft 5.4.2)
  kConfiguration =
      2,  // data is an encoded Configuration, in force from the moment it is appended (thesis 4.1)
  kCommand = 3,  // data is a client's command, opaque to the core
};

// One command is one entry with an index of its own: an index orders and identifies every write
// (D3).
struct Entry {
  Term term = 0;
  Index index = 0;
  EntryKind kind = EntryKind::kNoop;
  Bytes data;

  // What the entry counts for in every limit that is stated in bytes; the constant covers its
  // header.
  std::size_t ByteSize() const { return data.size() + 32; }
  friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace quorate::raft
