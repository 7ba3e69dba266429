// Assertions that guard safety. They stay on in release builds: a node that finds its own state
// impossible must stop before it acknowledges anything more (the practice of TigerBeetle and
// FoundationDB).
#pragma once

namespace quorate {

// Prints the condition, the reason and the place to stderr, then aborts. Never returns.
[[noreturn]] void AssertFailed(const char* condition, const char* why, const char* file, int line);

}  // namespace quorate

// `why` states the invariant, for whoever reads the crash report.
#define QUORATE_ASSERT(condition, why)                 \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::quorate::AssertFailed(#condition, why, __FILE__, __LINE__))
