// The thread on which everything but blocking work runs, in passes:
//
//   1. wait until something is ready, then run all handlers that are ready (network input, finished
//   work, timers)
//   2. pump the replica once, if anyone asked: that is what makes batches
//   3. write each connection's output with one system call
//
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "raft/types.h"
#include "src/replica.h"
#include "src/worker.h"

namespace quorate::server {

class Connection;

// Everything is for the loop's own thread, unless it says otherwise.
class Loop {
 public:
  struct Hooks {
    std::function<void()> pump;                       // step 2
    std::function<raft::Time()> next_deadline;        // asked after each pass
    std::function<void(raft::Time now)> on_deadline;  // at or after it
  };

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  boost::asio::io_context& io() { return io_; }

  // Returns after Stop().
  void Run(Hooks hooks);
  void Stop() { stopped_ = true; }
  // Lets the workers finish; what they still have to report is dropped. After Run().
  void JoinWorkers();

  void PumpSoon() { pump_wanted_ = true; }
  // Runs `work` on the lane's thread, then `done` here.
  void RunOn(Lane lane, std::function<void()> work, std::function<void()> done);
  // The connection has output: it is written at the end of the pass.
  void FlushSoon(std::shared_ptr<Connection> connection);
  // Where connections receive; its contents are meaningless between two handlers.
  std::span<char> receive_buffer() { return receive_buffer_; }

 private:
  static constexpr std::size_t kReceiveBytes = 256 << 10;
  static constexpr int kMaxHandlersPerPass =
      512;  // so that a flood of input cannot postpone the replica
  static constexpr std::size_t kLanes = 5;

  void Pass();
  void Flush();
  void ArmTimer();
  void FinishFromThread(std::function<void()> done);  // any thread
  void RunFinished();

  boost::asio::io_context io_{1};
  boost::asio::steady_timer timer_{io_};
  raft::Time armed_for_;
  Hooks hooks_;
  bool stopped_ = false;
  bool pump_wanted_ = false;
  std::vector<std::shared_ptr<Connection>> dirty_;
  std::vector<std::shared_ptr<Connection>> flushing_;
  std::vector<char> receive_buffer_;

  std::mutex finished_mutex_;
  std::vector<std::function<void()>> finished_;  // guarded by finished_mutex_
  std::vector<std::function<void()>> running_;

  std::array<std::unique_ptr<Worker>, kLanes>
      workers_;  // last: they use the above until they are joined
};

}  // namespace quorate::server
