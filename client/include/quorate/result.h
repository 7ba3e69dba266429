// How a call ends: a value, or an Error that says whether the call can have had any effect.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace quorate {

struct Explanation;  // quorate/explanation.h

// Codes below 1000 are the nodes' own (client/proto/wire.proto); those from 1000 on are found by
// this library.
enum class ErrorCode : std::uint16_t {
  // Certainly not executed.
  kNotLeader = 1,
  kNoLeader = 2,
  kOverloaded = 3,  // a queue is full, here or at the node: have, want in bytes
  kShuttingDown = 4,
  kSuperseded = 5,
  kDiskFull = 6,  // the node's, or those of so many that no quorum is left; have: bytes free
  // Reads that were refused rather than answered worse than asked.
  kNoQuorum = 20,     // age: since leadership was last confirmed
  kNotCaughtUp = 21,  // have, want: indexes
  kStale = 22,        // age; have, want: indexes, what is applied and what the bound needs
  kLeaderChanged = 23,
  kFutureToken = 24,  // have, want: indexes; nothing beyond `have` is committed
  kDiverged = 25,     // the token is of another cluster, or of one since restored from a backup
  kClockJump = 26,    // the node's clock went back: it can prove no age for a moment
  // The time was up. error_class says whether a write may still take effect.
  kDeadline = 40,
  // Final.
  kCompareFailed = 60,  // have: the key's revision, 0 if it is absent
  kInvalid = 61,
  kTooLarge = 62,  // have, want: bytes, limit
  kProtocol = 63,
  kWrongCluster = 64,
  kUnsupported = 65,
  kCursorExpired = 66,
  kTooMany = 67,
  kInternal = 68,
  kSnapshotGone = 69,   // the node no longer keeps it
  kNotANumber = 70,     // Increment: the value is not a decimal number of 64 bits
  kOutOfRange = 71,     // Increment: the sum does not fit into 64 bits
  kValueTooLarge = 72,  // Append: have, want: bytes, limit
  // Of one attempt of a session's write: it was not executed. error_class speaks of all attempts.
  kSessionExpired = 80,  // or closed, or never opened in this history
  kSessionSeqGone = 81,
  kOutOfOrder = 82,  // an ordered session's write, after one that was not executed

  kCannotConnect = 1000,   // no endpoint could be reached
  kConnectionLost = 1001,  // it broke after the request may have been sent
  kClosed = 1002,          // Client::Close() was called
  kUnknownNode = 1003,     // the pinned node is not a member that any endpoint knows
  kCancelled = 1004,       // by its Cancellation
};

// "NO_LEADER", "CANNOT_CONNECT", ...: for logs and --json.
std::string_view ToString(ErrorCode code);

enum class ErrorClass : std::uint8_t {
  kNotExecuted,  // no attempt can have had an effect: safe to try again
  kUnknown,      // a write may have taken effect, or still may
  kFinal,        // not executed, and the same request will not fare better
};

std::string_view ToString(ErrorClass error_class);

struct LeaderHint {
  std::uint64_t node = 0;  // 0: unknown
  std::string address;     // for clients, host:port; empty if unknown
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  ErrorClass error_class = ErrorClass::kFinal;
  std::string detail;      // one line for people: what was wrong, with its numbers, and what to do
  int attempts = 0;        // requests sent and dials that failed on behalf of this call
  LeaderHint leader;       // where the refusing node saw the leader
  std::uint64_t have = 0;  // the numbers of a refusal; their meaning is at the code
  std::uint64_t want = 0;
  std::optional<std::chrono::microseconds> age{};  // of what the refusing node had
  // Reads: the smallest age that any of the nodes asked could prove.
  std::optional<std::chrono::microseconds> best_age{};
  // Why a confirmation through the leader did not help a refused read: kNoLeader, kNoQuorum, ...
  std::optional<ErrorCode> because{};
  std::shared_ptr<const Explanation> explanation{};  // if it was asked for

  // Whether a write may have taken effect in spite of this error. Never true of reads.
  bool maybe_applied() const { return error_class == ErrorClass::kUnknown; }
};

template <typename T>
using Result = tl::expected<T, Error>;

}  // namespace quorate
