// Ctrl-C (and SIGTERM) as something a command can look at, instead of a death in the middle.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

namespace quorate::tools {

// While it lives, the first signal calls the handler, on a thread of its own; a second one (not
// within 300 ms: that is the same one, sent twice), or the first without a handler, ends the
// process with status 130.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();

  // From now on; null: the process just ends.
  void SetHandler(std::function<void()> handler);
  bool raised() const { return raised_; }

 private:
  void Wait();
  void OnSignal();

  std::mutex mutex_;
  std::function<void()> handler_;
  std::atomic<bool> raised_{false};
  std::chrono::steady_clock::time_point first_at_;  // the loop's thread alone
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_;
  std::thread thread_;
};

}  // namespace quorate::tools
