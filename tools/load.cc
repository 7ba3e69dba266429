#include "tools/load.h"

#include <thread>
#include <utility>

namespace quorate::tools {

void Freshness::Record(const Certificate& certificate) {
  ++by_basis.at(static_cast<std::size_t>(certificate.basis));
  if (certificate.basis != Basis::kReadIndex) ++local;
  if (certificate.age) ages.Record(static_cast<std::uint64_t>(certificate.age->count()));
}

void Freshness::Merge(const Freshness& other) {
  ages.Merge(other.ages);
  local += other.local;
  for (std::size_t i = 0; i < by_basis.size(); ++i) by_basis[i] += other.by_basis[i];
}

void LoadResult::Merge(const LoadResult& other) {
  reads.Merge(other.reads);
  writes.Merge(other.writes);
  freshness.Merge(other.freshness);
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
  if (!operation.read()) return IssueWrite(client, operation, due);
  const KeyName key(operation.key);
  client.AsyncGet(key.view(), plan_.read, [this, &client, due](const Result<GetReply>& reply) {
    const auto now = Settle(reply, due, result_.reads);
    if (reply && due >= plan_.begin) {
      if (!reply->found) ++result_.not_found;
      result_.freshness.Record(reply->certificate);
    }
    if (plan_.rate <= 0) IssueNext(client, now);
    Retire();
  });
}

void LoadThread::IssueWrite(Client& client, const Workload::Operation& operation,
                            LoadClock::time_point due) {
  // Sums are kept apart from values: a key of a benchmark before this one may hold no number.
  const bool number = operation.kind == Workload::Kind::kIncrement ||
                      operation.kind == Workload::Kind::kTransaction;
  const KeyName key = number ? KeyName(operation.key, "numb") : KeyName(operation.key);
  const auto settled = [this, &client, due](const auto& reply) {
    const auto now = Settle(reply, due, result_.writes);
    if (plan_.rate <= 0) IssueNext(client, now);
    Retire();
  };
  switch (operation.kind) {
    case Workload::Kind::kIncrement:
      return client.AsyncIncrement(key.view(), 1, plan_.write, settled);
    case Workload::Kind::kAppend:
      return client.AsyncAppend(key.view(), plan_.workload->Value(random_), plan_.write, settled);
    case Workload::Kind::kTransaction: {
      // Two keys change together, as accounts do.
      const KeyName other((operation.key + 1) % plan_.workload->keys(), "numb");
      Transaction transaction;
      transaction.Then(Change::Increment(std::string(key.view()), -1))
          .Then(Change::Increment(std::string(other.view()), 1));
      return client.AsyncExecute(transaction, plan_.write, settled);
    }
    default:
      return client.AsyncPut(key.view(), plan_.workload->Value(random_), plan_.write, settled);
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
