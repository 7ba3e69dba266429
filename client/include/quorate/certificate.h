// Proof of freshness, in every reply (D6.4).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace quorate {

enum class Basis : std::uint8_t {
  kNone = 0,       // nothing is known of the age
  kReadIndex = 1,  // a quorum confirmed after the request arrived
  kLease = 2,
  kAnchor = 3,
  kCommit = 4,  // the answer to a write
};

std::string_view ToString(Basis basis);

// What a reply is the state of, and how that is known.
struct Certificate {
  std::uint64_t node = 0;           // who answered
  std::uint64_t term = 0;           // that node's
  std::uint64_t applied_index = 0;  // the answer is the state at exactly this index
  std::uint64_t entry_term = 0;     // term of the entry at applied_index
  std::uint64_t incarnation = 0;    // of the history that applied_index counts in
  // Nothing committed longer than this before the request is missing, but for the last `lag`
  // entries; absent: no bound is known. On the node's own clock: see also ReadReply::client_age.
  std::optional<std::chrono::microseconds> age{};
  std::uint64_t lag = 0;
  Basis basis = Basis::kNone;
  std::uint64_t fresh_index = 0;        // what the bound rests on
  std::chrono::microseconds waited{0};  // for a leader's confirmation or for apply
  bool via_leader = false;              // another node confirmed it
};

}  // namespace quorate
