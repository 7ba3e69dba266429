// How fresh a read must be, and what to do if it cannot be had (D6.1).
//
//   kStrong                         sees every write acknowledged before the read was asked for
//   StaleBy(200ms)                  at most 200 ms old
//   StaleBy(200ms, 10)              all but the last 10 entries of what was committed 200 ms ago
//   AtLeast(token)                  everything that the token has seen
//   kEventual                       some consistent prefix, never behind what that node served
//   StaleBy(200ms) & AtLeast(token) both
//   kStrong.Else(OnUnmet::kRefuse)  what to do if the node that is asked cannot serve it as it is
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quorate/result.h"
#include "quorate/token.h"

namespace quorate {

enum class OnUnmet : std::uint8_t {
  kWait = 0,    // the node waits for what it lacks, or has the leader confirm, within the deadline
  kRefuse = 1,  // it says at once how stale it is; each node is asked at most once
  kServeAnyway = 2,  // it answers with what it has, and the certificate says how old that may be
};

struct Level {
  std::optional<std::chrono::microseconds> max_age{};  // absent: any age; 0: strong; at most a day
  std::uint64_t max_lag = 0;                           // entries; only with a max_age above 0
  std::optional<Token> token{};
  OnUnmet on_unmet = OnUnmet::kWait;

  constexpr bool strong() const { return max_age && max_age->count() == 0; }
  constexpr bool bounded() const { return max_age && max_age->count() > 0; }
  constexpr Level Else(OnUnmet what) const {
    Level level = *this;
    level.on_unmet = what;
    return level;
  }
};

inline constexpr Level kStrong{.max_age = std::chrono::microseconds(0)};
inline constexpr Level kEventual{};

constexpr Level StaleBy(std::chrono::microseconds age, std::uint64_t lag = 0) {
  return {.max_age = age, .max_lag = lag};
}
constexpr Level AtLeast(const Token& token) {
  return {.token = token};
}

// What satisfies both: the smaller age, the smaller lag, the later token, the stricter OnUnmet of
// the two (refuse before wait before serve anyway). Nothing satisfies tokens of two histories:
// reads of such a level fail with kInvalid.
Level operator&(const Level& a, const Level& b);

// "strong", "eventual", "bounded:200ms", "bounded:200ms,lag=10", "session:TOKEN",
// "bounded:200ms,session:TOKEN"; units us, ms, s, m, h. kInvalid: the detail names the part that is
// wrong and what would be right.
Result<Level> ParseLevel(std::string_view text);
std::string ToString(const Level& level);

// ---- A consistency SLA: what is wanted most, and what will do ----

// One step: this level, if it can be had within this time from when the step is taken.
struct Rung {
  Level level{};
  std::chrono::milliseconds within{0};  // 0, the last rung only: the rest of the call's timeout
};

// Tried in order, at most 8; the reply names the rung that was met, and why those before it were
// not. A rung is given up as soon as every node has refused it. A rung that asks for all that an
// earlier one asks for could never be met, nor anything behind one that serves anyway: such calls
// fail with kInvalid.
using Sla = std::vector<Rung>;

// "strong@20ms > bounded:200ms@10ms > eventual"; also "bounded(200ms)".
Result<Sla> ParseSla(std::string_view text);
std::string ToString(const Sla& sla);

}  // namespace quorate
