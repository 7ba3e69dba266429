// One thread that runs blocking work in order.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace quorate::server {

class Worker {
 public:
  using Finished = std::function<void(std::function<void()> done)>;

  // `finished` is called on the worker's thread with each job's `done`. `name`: at most 15 bytes,
  // for top(1).
  Worker(const char* name, Finished finished);
  // Finishes what is queued, then joins.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Any thread. The queue has no limit of its own: every caller has one (one log write, one apply,
  // the service's limit on read jobs).
  void Run(std::function<void()> work, std::function<void()> done);

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };

  void Main();

  const Finished finished_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job> queue_;
  bool waiting_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace quorate::server
