// Writes, deletes and reads of single keys.
#include "jepsen/workload/registers.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

class Register : public Workload {
 public:
  awaitable<void> Next(Worker& worker) override {
    const double choice = worker.chance().Uniform();
    if (choice < 0.6) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kText);
    } else if (choice < 0.97) {
      co_await Write(worker, keys_.ForWrite(worker.chance()), last_);
    } else {
      co_await Delete(worker, keys_.ForWrite(worker.chance()), last_);
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kText);
  }

 private:
  Keys keys_{"r", 10, 500};
  LastWritten last_;
};

}  // namespace

std::unique_ptr<Workload> MakeRegister() {
  return std::make_unique<Register>();
}

}  // namespace quorate::workload
