// A lock, as a key that goes with its holder's session, and a resource behind it.
//
// Some holders stop for longer than their session lives, and then go on as if nothing had happened:
// by then somebody else has the lock. The fenced resource remembers the largest token that it has
// seen and refuses smaller ones. The unfenced one does not, which must show.
#include <cstdio>

#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kLocks = 3;
constexpr std::chrono::milliseconds kTtl = 1s;  // the shortest that there is

// Texts compare as their numbers do.
std::string Padded(std::uint64_t token) {
  char text[24];
  std::snprintf(text, sizeof text, "%020llu", static_cast<unsigned long long>(token));
  return text;
}

// The fencing token, or 0.
awaitable<std::uint64_t> Acquire(Worker& worker, std::string lock) {
  const Session session = co_await worker.OpenSession(kTtl);
  if (!session) {
    co_await worker.Sleep(50ms);
    co_return 0;
  }
  Operation operation = worker.Begin("acquire", lock);
  WriteOptions options;
  options.timeout = worker.run().settings.timeout;
  options.session = session;
  options.attach = true;
  worker.NameCommand(operation, session);
  const Expectation expect = Absent{};
  const auto reply = co_await worker.client().AsyncCompareAndSet("lock/" + lock, expect, "held",
                                                                 options, use_awaitable);
  if (!reply) {
    const bool unknown = reply.error().maybe_applied();
    worker.Fail(std::move(operation), reply.error());
    if (unknown) worker.Forget();  // it may be ours, for as long as the session lives
    co_return 0;
  }
  operation["result"] = reply->revision;
  worker.Succeed(std::move(operation), *reply);
  co_return reply->revision;
}

awaitable<void> Use(Worker& worker, std::string lock, std::uint64_t token, bool fenced) {
  Operation operation = worker.Begin("use", lock);
  operation["value"] = token;
  const std::string resource = "resource/" + lock;
  Transaction transaction;
  if (fenced) {
    transaction.When(Compare::Value(resource, Relation::kGreater, Padded(token)))
        .Then(Change::Get(resource))
        .Otherwise(Change::Put(resource, Padded(token)));
  } else {
    transaction.Then(Change::Put(resource, Padded(token)));
  }
  WriteOptions options;
  options.timeout = worker.run().settings.timeout;
  const auto reply = co_await worker.client().AsyncExecute(transaction, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  if (fenced && reply->succeeded) {
    co_return worker.Refuse(std::move(operation), "FENCED", "a later holder was here");
  }
  worker.Succeed(std::move(operation), reply->write);
}

awaitable<void> Release(Worker& worker, std::string lock, std::uint64_t token) {
  Operation operation = worker.Begin("release", lock);
  const std::string key = "lock/" + lock;
  Transaction transaction;
  transaction.When(Compare::Revision(key, Relation::kEqual, token)).Then(Change::Delete(key));
  WriteOptions options;
  options.timeout = worker.run().settings.timeout;
  const auto reply = co_await worker.client().AsyncExecute(transaction, options, use_awaitable);
  if (!reply) {
    worker.Fail(std::move(operation), reply.error());
    co_return worker.Forget();  // it may be ours still, for as long as the session lives
  }
  if (!reply->succeeded) {
    co_return worker.Refuse(std::move(operation), "NOT_HELD", "it is somebody else's by now");
  }
  worker.Succeed(std::move(operation), reply->write);
}

class Lock : public Workload {
 public:
  explicit Lock(bool fenced) : fenced_(fenced) {}

  awaitable<void> Next(Worker& worker) override {
    const std::string lock = "L" + std::to_string(worker.chance().Below(kLocks));
    const std::uint64_t token = co_await Acquire(worker, lock);
    if (token == 0) co_return co_await worker.Sleep(5ms);
    for (std::uint64_t uses = 1 + worker.chance().Below(3); uses > 0; --uses) {
      co_await Use(worker, lock, token, fenced_);
    }
    if (!worker.chance().Of(0.05)) co_return co_await Release(worker, lock, token);
    worker.Forget();
    co_await worker.Sleep(kTtl + std::chrono::milliseconds(500 + worker.chance().Below(2000)));
    co_await Use(worker, lock, token, fenced_);
  }

 private:
  const bool fenced_;
};

}  // namespace

std::unique_ptr<Workload> MakeLock() {
  return std::make_unique<Lock>(true);
}
std::unique_ptr<Workload> MakeUnfencedLock() {
  return std::make_unique<Lock>(false);
}

}  // namespace quorate::workload
