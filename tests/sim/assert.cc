// In the simulator a failed assertion of the code under test is one more violation, with a seed to
// replay it, not the end of the process: replaces raft/assert.cc.
#include "raft/assert.h"

#include <cstring>
#include <string>

#include "tests/sim/invariants.h"

namespace quorate {

void AssertFailed(const char* condition, const char* why, const char* file, int line) {
  const char* name = std::strrchr(file, '/');
  throw sim::Violation{"assertion-holds", std::string(why) + " (" + condition + ", " +
                                              (name == nullptr ? file : name + 1) + ":" +
                                              std::to_string(line) + ")"};
}

}  // namespace quorate
