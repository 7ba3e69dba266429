#include "src/worker.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace quorate::server {

Worker::Worker(const char* name, Finished finished) : finished_(std::move(finished)) {
  // Signals belong to the loop's thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { Main(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), name);
}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Worker::Run(std::function<void()> work, std::function<void()> done) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(work), std::move(done)});
    wake = std::exchange(waiting_, false);
  }
  if (wake) wake_.notify_one();
}

void Worker::Main() {
  std::vector<Job> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      while (queue_.empty() && !stopping_) {
        waiting_ = true;
        wake_.wait(lock);
      }
      waiting_ = false;
      if (queue_.empty()) return;
      batch.swap(queue_);
    }
    for (Job& job : batch) {
      job.work();
      finished_(std::move(job.done));
    }
    batch.clear();
  }
}

}  // namespace quorate::server
