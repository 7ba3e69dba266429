#include "src/loop.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "src/clock.h"
#include "src/connection.h"

namespace quorate::server {

Loop::Loop() : armed_for_(raft::Time::max()), receive_buffer_(kReceiveBytes) {
  constexpr std::array<const char*, kLanes> kNames = {"log", "apply", "read", "prepare",
                                                      "snapshot"};
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    workers_[lane] = std::make_unique<Worker>(
        kNames[lane], [this](std::function<void()> done) { FinishFromThread(std::move(done)); });
  }
}

Loop::~Loop() = default;

void Loop::Run(Hooks hooks) {
  hooks_ = std::move(hooks);
  const auto keep_alive = boost::asio::make_work_guard(io_);
  while (!stopped_) {
    // Output or a pump may be due from outside a pass: then do not block.
    int handlers = pump_wanted_ || !dirty_.empty() ? 0 : static_cast<int>(io_.run_one());
    // A handler that stops the loop has destroyed what others, cancelled by that, refer to.
    while (!stopped_ && handlers < kMaxHandlersPerPass && io_.poll_one() > 0) ++handlers;
    Pass();
  }
  hooks_ = {};
}

void Loop::JoinWorkers() {
  for (auto& worker : workers_) worker.reset();
  // Reports hold on to what they report of, such as snapshots of a database that the caller is
  // about to close.
  const std::lock_guard lock(finished_mutex_);
  finished_.clear();
}

void Loop::RunOn(Lane lane, std::function<void()> work, std::function<void()> done) {
  workers_[static_cast<std::size_t>(lane)]->Run(std::move(work), std::move(done));
}

void Loop::FlushSoon(std::shared_ptr<Connection> connection) {
  dirty_.push_back(std::move(connection));
}

void Loop::Pass() {
  if (std::exchange(pump_wanted_, false)) hooks_.pump();
  Flush();
  ArmTimer();
}

void Loop::Flush() {
  flushing_.swap(dirty_);
  for (const auto& connection : flushing_) connection->Flush();
  flushing_.clear();
}

// The timer is only ever moved forward in time: a deadline that was put off is found out when the
// timer fires, which is cheaper than a system call for each heartbeat that puts it off.
void Loop::ArmTimer() {
  const raft::Time next = hooks_.next_deadline();
  if (next >= armed_for_) return;
  armed_for_ = next;
  const raft::Duration wait = std::max(next - BootTime(), raft::Duration(0));
  timer_.expires_after(wait);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // moved
    armed_for_ = raft::Time::max();
    const raft::Time now = BootTime();
    if (hooks_.on_deadline && hooks_.next_deadline() <= now) hooks_.on_deadline(now);
  });
}

void Loop::FinishFromThread(std::function<void()> done) {
  bool first = false;
  {
    const std::lock_guard lock(finished_mutex_);
    first = finished_.empty();
    finished_.push_back(std::move(done));
  }
  if (first) boost::asio::post(io_, [this] { RunFinished(); });
}

void Loop::RunFinished() {
  {
    const std::lock_guard lock(finished_mutex_);
    running_.swap(finished_);
  }
  for (auto& done : running_) {
    if (done) done();
  }
  running_.clear();
}

}  // namespace quorate::server
