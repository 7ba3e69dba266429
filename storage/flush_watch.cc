#include "storage/flush_watch.h"

#include <rocksdb/env.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "raft/assert.h"
#include "storage/engine.h"

namespace quorate::storage {
namespace {

// Looked at this often within Hang::after. So a process that was stopped meanwhile, and finds all
// that time gone at once, has seen one quiet look and not a quiet time.
constexpr int kLooks = 20;

// What moves while RocksDB does anything: flushes that end or fail, and the bytes of its files.
struct Signs {
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Signs&) const = default;
};

Signs LookAt(const Engine& engine) {
  Signs signs{.events = engine.listener->events()};
  std::vector<rocksdb::Env::FileAttributes> files;
  engine.db->GetEnv()->GetChildrenFileAttributes(engine.db->GetName(), &files);
  for (const rocksdb::Env::FileAttributes& file : files) signs.bytes += file.size_bytes;
  return signs;
}

// Returns once the disk has taken a few bytes, or refused them: while it is stuck, RocksDB is not
// to blame. The name is one that RocksDB clears away if this process does not.
void AskDisk(const Engine& engine) {
  const std::string name = engine.db->GetName() + "/000000.dbtmp";
  std::unique_ptr<rocksdb::WritableFile> file;
  rocksdb::Env& env = *engine.db->GetEnv();
  if (!env.NewWritableFile(name, &file, rocksdb::EnvOptions()).ok()) return;
  if (file->Append("anybody there?").ok()) static_cast<void>(file->Sync());
  file.reset();
  static_cast<void>(env.DeleteFile(name));
}

void WatchFlush(const Engine& engine, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any stopped;
  const auto over = [&stop] { return stop.stop_requested(); };
  Signs seen = LookAt(engine);
  for (int quiet = 0; quiet < kLooks; ++quiet) {
    if (stopped.wait_for(lock, stop, engine.hang.after / kLooks, over)) return;
    if (quiet + 1 == kLooks) AskDisk(engine);
    const Signs now = LookAt(engine);
    if (now != seen) quiet = -1;
    seen = now;
  }
  if (over()) return;
  const std::string what = "RocksDB has done nothing for " +
                           std::to_string(engine.hang.after.count() / 1000) +
                           " s, and does not return from waiting for a flush";
  QUORATE_ASSERT(engine.hang.react != nullptr, what.c_str());
  engine.hang.react(what);
}

}  // namespace

FlushWatch::FlushWatch(const Engine& engine)
    : thread_([&engine](const std::stop_token& stop) { WatchFlush(engine, stop); }) {}

}  // namespace quorate::storage
