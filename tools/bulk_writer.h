// Many puts, pipelined through one client within a window: what `import` and the benchmark's
// preload share.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>

#include "quorate/client.h"

namespace quorate::tools {

struct Record {
  std::string key;
  std::string value;
};

struct BulkResult {
  std::uint64_t written = 0;
  std::uint64_t bytes = 0;           // of keys and values written
  std::uint64_t resent = 0;          // attempts that were sent again: see BulkWriter
  std::uint64_t refused = 0;         // certainly not written
  std::uint64_t unknown = 0;         // given up without knowing
  std::optional<Error> first_error;  // of the last two
};

// A put that ended without a certain outcome is sent again: the same value twice is the same as
// once. Puts of the same key wait for each other, so that the later one wins. Add() and Finish()
// belong to one thread; Stop() may come from any.
class BulkWriter {
 public:
  explicit BulkWriter(Client& client) : client_(client) {}

  // Waits for room. False: stopped, or nothing can be reached.
  bool Add(Record record);
  // Waits until everything added is settled.
  void Finish();
  void Stop();

  BulkResult result() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct Retry {
    Record record;
    int attempts = 0;
    Clock::time_point due;
  };

  static constexpr std::size_t kWindow = 512;
  static constexpr std::size_t kWindowBytes = std::size_t{8} << 20;
  // Filling up only from here on costs one wake-up for many replies.
  static constexpr std::size_t kRefill = kWindow * 3 / 4;
  static constexpr int kMostAttempts = 20;
  static constexpr std::chrono::milliseconds kRetryPause{500};

  bool HasRoom(const Record& record) const;
  void WaitForChange(std::unique_lock<std::mutex>& lock);
  void Send(Record record, int attempts);
  void Settled(Record record, int attempts, const Result<WriteReply>& reply);
  void GiveUp(const Error& error);
  void Forget(const Record& record);

  Client& client_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_set<std::string> keys_;  // outstanding, waiting to be sent again included
  std::size_t bytes_ = 0;                 // of these
  std::deque<Retry> retries_;             // by due time
  bool stopped_ = false;
  bool waiting_for_key_ = false;
  bool draining_ = false;
  BulkResult result_;
};

}  // namespace quorate::tools
