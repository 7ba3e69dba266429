#include "tools/exit_code.h"

namespace quorate::tools {

ExitCode ToExitCode(const Error& error) {
  if (error.maybe_applied()) return kExitUnknown;
  switch (error.code) {
    case ErrorCode::kNotLeader:
    case ErrorCode::kNoLeader:
    case ErrorCode::kOverloaded:
    case ErrorCode::kShuttingDown:
    case ErrorCode::kSuperseded:
    case ErrorCode::kDiskFull:
    case ErrorCode::kNoQuorum:
    case ErrorCode::kNotCaughtUp:
    case ErrorCode::kStale:
    case ErrorCode::kLeaderChanged:
    case ErrorCode::kFutureToken:
    case ErrorCode::kDiverged:
    case ErrorCode::kClockJump:
    case ErrorCode::kTooMany:
    case ErrorCode::kSessionExpired:
    case ErrorCode::kSessionSeqGone:
    case ErrorCode::kOutOfOrder:
      return kExitRefused;
    case ErrorCode::kDeadline:
      return kExitDeadline;
    case ErrorCode::kCompareFailed:
      return kExitCompareFailed;
    case ErrorCode::kInvalid:
    case ErrorCode::kTooLarge:
    case ErrorCode::kOutOfRange:
    case ErrorCode::kValueTooLarge:
      return kExitUsage;
    case ErrorCode::kCannotConnect:
    case ErrorCode::kConnectionLost:
    case ErrorCode::kUnknownNode:
    case ErrorCode::kWrongCluster:
      return kExitCannotConnect;
    default:
      return kExitOther;
  }
}

}  // namespace quorate::tools
