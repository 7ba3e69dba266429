// The load generator: one thread's share of a benchmark.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "quorate/client.h"
#include "tools/histogram.h"
#include "tools/workload.h"

namespace quorate::tools {

using LoadClock = std::chrono::steady_clock;

// Of one thread.
struct LoadPlan {
  const Workload* workload = nullptr;
  Options client;
  int clients = 1;      // closed loop: that many requests are always outstanding
  int connections = 1;  // that many Clients, each with one connection per node
  double rate = 0;      // open loop: requests a second, whatever the replies; 0: closed loop
  std::size_t max_in_flight =
      10'000;  // open loop: what is due beyond that is not sent, and counts as an error
  ReadOptions read;
  WriteOptions write;
  std::uint64_t seed = 1;
  LoadClock::time_point start;  // the first request leaves then
  LoadClock::time_point begin;  // of the measurement; what starts before only warms up
  LoadClock::time_point end;
};

// How the reads that succeeded were answered.
struct Freshness {
  Histogram ages;                           // microseconds; of those with a proven age
  std::array<std::uint64_t, 5> by_basis{};  // indexed by Basis
  std::uint64_t local = 0;                  // without waiting for the leader

  void Record(const Certificate& certificate);
  void Merge(const Freshness& other);
};

struct LoadResult {
  Histogram reads;  // nanoseconds; of successful requests only
  Histogram writes;
  Freshness freshness;          // of the reads
  std::uint64_t not_found = 0;  // among the reads
  std::map<ErrorCode, std::uint64_t> errors;
  std::uint64_t not_sent = 0;  // open loop: due, with max_in_flight reached
  std::optional<Error> first_error;

  void Merge(const LoadResult& other);
  std::uint64_t ops() const { return reads.count() + writes.count(); }
  std::uint64_t error_count() const;
};

class LoadThread {
 public:
  explicit LoadThread(LoadPlan plan);

  // Returns after plan.end, or Stop(), once every request is settled.
  void Run();
  // From any thread.
  void Stop() { stopped_.store(true, std::memory_order_relaxed); }
  // Latencies of the requests that succeeded since the last call, or since plan.begin; from any
  // thread.
  Histogram TakeRecent();

  // After Run().
  const LoadResult& result() const { return result_; }

 private:
  void IssueNext(Client& client, LoadClock::time_point now);
  // Latency counts from `due`.
  void Issue(Client& client, LoadClock::time_point due);
  void IssueWrite(Client& client, const Workload::Operation& operation, LoadClock::time_point due);
  void Tick();
  void Retire();
  bool Over(LoadClock::time_point now) const;
  // Returns the present time.
  template <typename Reply>
  LoadClock::time_point Settle(const Result<Reply>& reply, LoadClock::time_point due,
                               Histogram& histogram);

  LoadPlan plan_;
  Random random_;
  boost::asio::io_context loop_{1};
  boost::asio::steady_timer timer_;
  std::vector<std::unique_ptr<Client>> clients_;
  LoadClock::time_point next_due_;
  LoadClock::duration interval_{0};
  std::size_t next_client_ = 0;
  std::size_t outstanding_ = 0;
  bool issuing_ = true;
  std::atomic<bool> stopped_{false};
  LoadResult result_;
  std::mutex recent_mutex_;
  Histogram recent_;  // guarded by recent_mutex_
};

}  // namespace quorate::tools
