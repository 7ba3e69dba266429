// Notices that RocksDB waits for ever for a flush that it has lost (DatabaseOptions::Hang).
#pragma once

#include <thread>

namespace quorate::storage {

struct Engine;

// While it lives, somebody waits for a flush of `engine`. If nothing of RocksDB moves for
// Hang::after, and the disk is not to blame, it says so.
class FlushWatch {
 public:
  explicit FlushWatch(const Engine& engine);

 private:
  std::jthread thread_;
};

}  // namespace quorate::storage
