// The exit codes, which scripts rely on.
#pragma once

#include "quorate/result.h"

namespace quorate::tools {

enum ExitCode : int {
  kExitOk = 0,
  kExitOther = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitCompareFailed = 4,
  kExitRefused = 5,  // too stale, behind, no quorum, no leader
  kExitCannotConnect = 6,
  kExitDeadline = 7,  // it passed, and nothing was applied
  kExitUnknown = 8,   // a write may have been applied, or not
  kExitInterrupted = 130,
};

ExitCode ToExitCode(const Error& error);

}  // namespace quorate::tools
