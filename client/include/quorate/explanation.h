// Why a read was answered as it was: who was asked, what each node knew, what was waited for. For
// people and for tools that debug staleness; ask for it with ReadOptions::explain.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quorate/result.h"

namespace quorate {

enum class Decision : std::uint8_t {
  kServedLocally = 0,
  kWaitedForApply = 1,
  kConfirmed = 2,    // through the leader
  kServedUnmet = 3,  // OnUnmet::kServeAnyway
  kRefused = 4,
};

std::string_view ToString(Decision decision);

// What one node knew when it decided.
struct NodeView {
  std::uint64_t node = 0;
  std::string role;
  std::uint64_t leader = 0;  // 0: it knew none
  Decision decision = Decision::kRefused;
  std::string reason{};  // one line
  std::uint64_t applied = 0;
  std::uint64_t commit = 0;
  std::optional<std::chrono::microseconds> local_age{};  // of what it had applied
  std::optional<std::chrono::microseconds>
      anchor_age{};  // of its newest anchor, which may not be applied yet
  std::uint64_t anchor_index = 0;
  std::chrono::microseconds waited_for_apply{0};
  std::chrono::microseconds waited_for_confirmation{0};
  std::chrono::microseconds typical_confirmation{0};  // what it takes there lately; 0: none yet
  bool caught_up = false;                             // since its start
};

// One request of the call.
struct Attempt {
  std::string address;
  std::uint64_t node = 0;              // 0: it never said
  std::size_t rung = 0;                // of an SLA
  std::chrono::microseconds sent{0};   // from the call's start
  std::chrono::microseconds took{0};   // until its answer, or until it was given up
  std::optional<ErrorCode> refused{};  // absent: it answered
  std::string detail{};
  std::optional<NodeView> view{};
};

struct Explanation {
  std::vector<Attempt> attempts;
};

}  // namespace quorate
