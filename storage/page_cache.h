// Lets a thread that must not wait read what the operating system already holds in memory.
#pragma once

#include <rocksdb/env.h>

namespace quorate::storage {

// While it lives, a read of a database's file on this thread fails with Busy where it would
// have to wait for the disk; where the operating system cannot tell, every read does. Takes effect
// on databases that use PageCacheEnv().
class NoWaiting {
 public:
  NoWaiting();
  ~NoWaiting();
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;

 private:
  bool before_;
};

// The default environment, but that its reads honour NoWaiting. Lives for ever.
rocksdb::Env* PageCacheEnv();

}  // namespace quorate::storage
