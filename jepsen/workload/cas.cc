// Compare-and-set, by value and by revision.
#include "jepsen/workload/registers.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

class Cas : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    const double choice = worker.chance().Uniform();
    if (choice < 0.4) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kText);
    } else if (choice < 0.55) {
      co_await Write(worker, keys_.ForWrite(worker.chance()), last_);
    } else {
      co_await CompareAndSet(worker, keys_.ForWrite(worker.chance()), last_);
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kText);
  }

 private:
  Keys keys_{"c", 10, 300};
  LastWritten last_;
};

}  // namespace

std::unique_ptr<Workload> MakeCas() {
  return std::make_unique<Cas>();
}

}  // namespace quorate::workload
