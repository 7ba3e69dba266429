// What happened, as a hash always and as text on demand.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <string_view>

#include "raft/message.h"
#include "tests/sim/random.h"

namespace quorate::sim {

// Two runs of one seed must have the same hash, and print the same bytes.
class Trace {
 public:
  // `out` may be null: then no text is made.
  explicit Trace(std::ostream* out) : out_(out) {}

  // `node` 0: the world. `text` makes the details and is called only when printing; `values` go
  // into the hash.
  template <typename Text>
  void Event(SimTime at, raft::NodeId node, std::string_view kind,
             std::initializer_list<std::uint64_t> values, Text text) {
    Add(at, node, kind, values);
    if (out_ != nullptr) Print(at, node, kind, text());
  }
  void Event(SimTime at, raft::NodeId node, std::string_view kind,
             std::initializer_list<std::uint64_t> values = {}) {
    Event(at, node, kind, values, [] { return std::string(); });
  }

  std::uint64_t hash() const { return hash_; }

 private:
  void Add(SimTime at, raft::NodeId node, std::string_view kind,
           std::initializer_list<std::uint64_t> values);
  void Print(SimTime at, raft::NodeId node, std::string_view kind, const std::string& text);

  std::ostream* out_;
  std::uint64_t hash_ = 0;
};

std::uint64_t Digest(const raft::Message& message);

}  // namespace quorate::sim
