#include "quorate/result.h"

#include "quorate/certificate.h"
#include "quorate/explanation.h"
#include "quorate/read.h"

namespace quorate {

std::string_view ToString(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotLeader:
      return "NOT_LEADER";
    case ErrorCode::kNoLeader:
      return "NO_LEADER";
    case ErrorCode::kOverloaded:
      return "OVERLOADED";
    case ErrorCode::kShuttingDown:
      return "SHUTTING_DOWN";
    case ErrorCode::kSuperseded:
      return "SUPERSEDED";
    case ErrorCode::kDiskFull:
      return "DISK_FULL";
    case ErrorCode::kNoQuorum:
      return "NO_QUORUM";
    case ErrorCode::kNotCaughtUp:
      return "NOT_CAUGHT_UP";
    case ErrorCode::kStale:
      return "STALE";
    case ErrorCode::kLeaderChanged:
      return "LEADER_CHANGED";
    case ErrorCode::kFutureToken:
      return "FUTURE_TOKEN";
    case ErrorCode::kDiverged:
      return "DIVERGED";
    case ErrorCode::kClockJump:
      return "CLOCK_JUMP";
    case ErrorCode::kDeadline:
      return "DEADLINE";
    case ErrorCode::kCompareFailed:
      return "COMPARE_FAILED";
    case ErrorCode::kInvalid:
      return "INVALID";
    case ErrorCode::kTooLarge:
      return "TOO_LARGE";
    case ErrorCode::kProtocol:
      return "PROTOCOL";
    case ErrorCode::kWrongCluster:
      return "WRONG_CLUSTER";
    case ErrorCode::kUnsupported:
      return "UNSUPPORTED";
    case ErrorCode::kCursorExpired:
      return "CURSOR_EXPIRED";
    case ErrorCode::kTooMany:
      return "TOO_MANY";
    case ErrorCode::kInternal:
      return "INTERNAL";
    case ErrorCode::kSnapshotGone:
      return "SNAPSHOT_GONE";
    case ErrorCode::kNotANumber:
      return "NOT_A_NUMBER";
    case ErrorCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case ErrorCode::kValueTooLarge:
      return "VALUE_TOO_LARGE";
    case ErrorCode::kSessionExpired:
      return "SESSION_EXPIRED";
    case ErrorCode::kSessionSeqGone:
      return "SESSION_SEQ_GONE";
    case ErrorCode::kOutOfOrder:
      return "OUT_OF_ORDER";
    case ErrorCode::kCannotConnect:
      return "CANNOT_CONNECT";
    case ErrorCode::kConnectionLost:
      return "CONNECTION_LOST";
    case ErrorCode::kClosed:
      return "CLOSED";
    case ErrorCode::kUnknownNode:
      return "UNKNOWN_NODE";
    case ErrorCode::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN_CODE";
}

std::string_view ToString(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::kNotExecuted:
      return "not_executed";
    case ErrorClass::kUnknown:
      return "unknown";
    case ErrorClass::kFinal:
      return "final";
  }
  return "unknown";
}

std::string_view ToString(Basis basis) {
  switch (basis) {
    case Basis::kNone:
      return "none";
    case Basis::kReadIndex:
      return "read_index";
    case Basis::kLease:
      return "lease";
    case Basis::kAnchor:
      return "anchor";
    case Basis::kCommit:
      return "commit";
  }
  return "none";
}

std::string_view ToString(Decision decision) {
  switch (decision) {
    case Decision::kServedLocally:
      return "served_locally";
    case Decision::kWaitedForApply:
      return "waited_for_apply";
    case Decision::kConfirmed:
      return "confirmed";
    case Decision::kServedUnmet:
      return "served_unmet";
    case Decision::kRefused:
      return "refused";
  }
  return "refused";
}

Range Range::Prefix(std::string_view prefix) {
  Range range{.first = std::string(prefix), .last = std::string(prefix)};
  // The least key above all that start with the prefix: drop trailing 0xff, then add one to the
  // last byte.
  while (!range.last.empty() && static_cast<unsigned char>(range.last.back()) == 0xff) {
    range.last.pop_back();
  }
  if (!range.last.empty()) {
    range.last.back() = static_cast<char>(static_cast<unsigned char>(range.last.back()) + 1);
  }
  return range;
}

}  // namespace quorate
