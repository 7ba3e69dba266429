// Everything that can be done to registers, for as long as the test lasts, on few keys.
#include "jepsen/workload/registers.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

class Mixed : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    const double choice = worker.chance().Uniform();
    if (choice < 0.7) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kText);
    } else if (choice < 0.85) {
      co_await Write(worker, keys_.ForWrite(worker.chance()), last_);
    } else if (choice < 0.97) {
      co_await CompareAndSet(worker, keys_.ForWrite(worker.chance()), last_);
    } else {
      co_await Delete(worker, keys_.ForWrite(worker.chance()), last_);
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kText);
  }

 private:
  Keys keys_{"m", 5, 1'000'000'000};
  LastWritten last_;
};

}  // namespace

std::unique_ptr<Workload> MakeMixed() {
  return std::make_unique<Mixed>();
}

}  // namespace quorate::workload
