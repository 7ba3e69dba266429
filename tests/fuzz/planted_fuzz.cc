// A bug that must be found: a driver that never fails is no evidence.
#include "raft/assert.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {

void RunOne(std::string_view input) {
  QUORATE_ASSERT(!input.starts_with("seed") || input.size() < 40, "the planted bug");
}

std::vector<std::string> Seeds() {
  return {"seed of 27 bytes, fine as is"};
}

}  // namespace quorate::fuzz
