#include "tools/load.h"

#include <thread>
#include <utility>

namespace quorate::tools {

void LoadResult::Merge(const LoadResult& other) {
  reads.Merge(other.reads);
  writes.Merge(other.writes);
  not_found += other.not_found;
  not_sent += other.not_sent;
  for (const auto& [code, count] : other.errors) errors[code] += count;
  if (!first_error) first_error = other.first_error;
}

std::uint64_t LoadResult::error_count() const {
  std::uint64_t count = not_sent;
  for (const auto& [code, times] : errors) count += times;
  return count;
}

LoadThread::LoadThread(LoadPlan plan) : plan_(std::move(plan)), random_(plan_.seed), timer_(loop_) {
  for (int i = 0; i < plan_.connections; ++i) {
    clients_.push_back(std::make_unique<Client>(loop_, plan_.client));
  }
}

void LoadThread::Run() {
  std::this_thread::sleep_until(plan_.start);
  if (plan_.rate > 0) {
    interval_ = std::chrono::duration_cast<LoadClock::duration>(
        std::chrono::duration<double>(1 / plan_.rate));
    next_due_ = plan_.start;
    Tick();
  } else {
    const auto now = LoadClock::now();
    for (int i = 0; i < plan_.clients; ++i) {
      IssueNext(*clients_[static_cast<std::size_t>(i) % clients_.size()], now);
    }
    Retire();
  }
  loop_.run();
}

Histogram LoadThread::TakeRecent() {
  const std::lock_guard lock(recent_mutex_);
  return std::exchange(recent_, Histogram());
}

bool LoadThread::Over(LoadClock::time_point now) const {
  return now >= plan_.end || stopped_.load(std::memory_order_relaxed);
}

// Without work the loop ends by itself.
void LoadThread::Retire() {
  if (outstanding_ == 0 && !issuing_) clients_.clear();
}

void LoadThread::IssueNext(Client& client, LoadClock::time_point now) {
  if (Over(now)) {
    issuing_ = false;
    return;
  }
  Issue(client, now);
}

// Open loop: everything that is due by now, on time or not.
void LoadThread::Tick() {
  const auto now = LoadClock::now();
  while (next_due_ <= now && !Over(next_due_)) {
    if (outstanding_ < plan_.max_in_flight) {
      Issue(*clients_[next_client_++ % clients_.size()], next_due_);
    } else if (next_due_ >= plan_.begin) {
      ++result_.not_sent;
    }
    next_due_ += interval_;
  }
  if (Over(next_due_)) {
    issuing_ = false;
    return Retire();
  }
  timer_.expires_at(next_due_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) Tick();
  });
}

void LoadThread::Issue(Client& client, LoadClock::time_point due) {
  ++outstanding_;
  const Workload::Operation operation = plan_.workload->Next(random_);
  const KeyName key(operation.key);
  if (operation.read) {
    client.AsyncGet(key.view(), plan_.read, [this, &client, due](const Result<GetReply>& reply) {
      const auto now = Settle(reply, due, result_.reads);
      if (reply && !reply->found && due >= plan_.begin) ++result_.not_found;
      if (plan_.rate <= 0) IssueNext(client, now);
      Retire();
    });
  } else {
    client.AsyncPut(key.view(), plan_.workload->Value(random_), plan_.write,
                    [this, &client, due](const Result<WriteReply>& reply) {
                      const auto now = Settle(reply, due, result_.writes);
                      if (plan_.rate <= 0) IssueNext(client, now);
                      Retire();
                    });
  }
}

template <typename Reply>
LoadClock::time_point LoadThread::Settle(const Result<Reply>& reply, LoadClock::time_point due,
                                         Histogram& histogram) {
  const auto now = LoadClock::now();
  --outstanding_;
  if (due < plan_.begin) return now;
  if (reply) {
    const auto latency = static_cast<std::uint64_t>((now - due).count());
    histogram.Record(latency);
    const std::lock_guard lock(recent_mutex_);
    recent_.Record(latency);
  } else {
    ++result_.errors[reply.error().code];
    if (!result_.first_error) result_.first_error = reply.error();
  }
  return now;
}

}  // namespace quorate::tools
