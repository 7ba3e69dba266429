// Sets: each element is a key of its own, a read scans them all at one index.
#include "jepsen/workload/keys.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

awaitable<void> Add(Worker& worker, std::string set) {
  Operation operation = worker.Begin("add", set);
  const auto element = operation.at("op").get<std::uint64_t>();
  operation["value"] = element;
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const std::string key = set + '/' + std::to_string(element);
  const auto reply = co_await worker.client().AsyncPut(key, "", options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  worker.Succeed(std::move(operation), *reply);
}

awaitable<void> ReadSet(Worker& worker, std::string set, bool strong) {
  Operation operation = worker.Begin("read", set);
  ScanOptions options;
  if (strong) {
    operation["level"] = "strong";
  } else {
    const ReadOptions chosen = worker.ChooseRead(operation);
    options.level = chosen.level;
    options.node = chosen.node;
    options.session_guarantees = chosen.session_guarantees;
  }
  options.timeout = worker.run().settings.timeout;
  const Range range = Range::Prefix(set + '/');
  Operation elements = Operation::array();
  auto page = co_await worker.client().AsyncScan(range, options, use_awaitable);
  const Certificate certificate = page ? page->certificate : Certificate{};
  for (;;) {
    if (!page) co_return worker.Fail(std::move(operation), page.error());
    for (const Item& item : page->items) {
      elements.push_back(std::stoull(item.key.substr(set.size() + 1)));
    }
    if (!page->next) break;
    page = co_await worker.client().AsyncScanNext(page->next, options, use_awaitable);
  }
  operation["result"] = std::move(elements);
  worker.Succeed(std::move(operation), certificate);
}

class Set : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    if (worker.chance().Of(0.4)) {
      co_await ReadSet(worker, keys_.ForRead(worker.chance()), false);
    } else {
      co_await Add(worker, keys_.ForWrite(worker.chance()));
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    for (const std::string& set : keys_.Recent()) co_await ReadSet(worker, set, true);
  }

 private:
  Keys keys_{"s", 6, 50};
};

}  // namespace

std::unique_ptr<Workload> MakeSet() {
  return std::make_unique<Set>();
}

}  // namespace quorate::workload
