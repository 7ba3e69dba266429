// Texts that grow: each append answers what was there before, so that a lost or doubled one shows.
#include "jepsen/workload/keys.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

awaitable<void> AppendOne(Worker& worker, std::string key) {
  Operation operation = worker.Begin("append", key);
  std::string piece = std::to_string(operation.at("op").get<std::uint64_t>()) + ' ';
  operation["value"] = piece;
  Transaction transaction;
  transaction.Then(Change::Get(key)).Then(Change::Append(key, piece));
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const auto reply = co_await worker.client().AsyncExecute(transaction, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  const ChangeResult& before = reply->results.at(0);
  operation["result"] = before.found ? Operation(before.value) : Operation(nullptr);
  worker.Succeed(std::move(operation), reply->write);
}

class Append : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    if (worker.chance().Of(0.5)) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kText);
    } else {
      co_await AppendOne(worker, keys_.ForWrite(worker.chance()));
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kText);
  }

 private:
  // Short texts: each answer has all of one.
  Keys keys_{"t", 8, 60};
};

}  // namespace

std::unique_ptr<Workload> MakeAppend() {
  return std::make_unique<Append>();
}

}  // namespace quorate::workload
