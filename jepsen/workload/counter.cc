// Increments, each of which answers the sum.
#include "jepsen/workload/keys.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

awaitable<void> AddOne(Worker& worker, std::string key) {
  Operation operation = worker.Begin("add", key);
  const auto by = static_cast<std::int64_t>(worker.chance().Below(9)) - 2;
  operation["value"] = by;
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const auto reply = co_await worker.client().AsyncIncrement(key, by, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  operation["result"] = reply->number;
  worker.Succeed(std::move(operation), *reply);
}

class Counter : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    if (worker.chance().Of(0.5)) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kNumber);
    } else {
      co_await AddOne(worker, keys_.ForWrite(worker.chance()));
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kNumber);
  }

 private:
  Keys keys_{"n", 6, 1000};
};

}  // namespace

std::unique_ptr<Workload> MakeCounter() {
  return std::make_unique<Counter>();
}

}  // namespace quorate::workload
