// Reads, writes, compare-and-set and deletes of single keys, in three mixes.
#include <utility>

#include "jepsen/workload/registers.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

// Of all operations, each with those before it; what is left deletes.
struct Shares {
  double reads = 0;
  double writes = 0;
  double compares = 0;
};

class Register : public Workload {
 public:
  Register(Keys keys, Shares upto) : keys_(std::move(keys)), upto_(upto) {}

  awaitable<void> Next(Worker& worker) override {
    const double choice = worker.chance().Uniform();
    if (choice < upto_.reads) {
      co_await worker.Read(keys_.ForRead(worker.chance()), Form::kText);
    } else if (choice < upto_.writes) {
      co_await Write(worker, keys_.ForWrite(worker.chance()), last_);
    } else if (choice < upto_.compares) {
      co_await CompareAndSet(worker, keys_.ForWrite(worker.chance()), last_);
    } else {
      co_await Delete(worker, keys_.ForWrite(worker.chance()), last_);
    }
  }

  awaitable<void> Conclude(Worker& worker) override {
    co_await ReadAll(worker, keys_.Recent(), Form::kText);
  }

 private:
  Keys keys_;
  const Shares upto_;
  LastWritten last_;
};

}  // namespace

std::unique_ptr<Workload> MakeRegister() {
  return std::make_unique<Register>(Keys{"r", 10, 500},
                                    Shares{.reads = 0.6, .writes = 0.97, .compares = 0.97});
}

// By value and by revision.
std::unique_ptr<Workload> MakeCas() {
  return std::make_unique<Register>(Keys{"c", 10, 300},
                                    Shares{.reads = 0.4, .writes = 0.55, .compares = 1});
}

// Few keys, each for as long as the test lasts.
std::unique_ptr<Workload> MakeMixed() {
  return std::make_unique<Register>(Keys{"m", 5, 1'000'000'000},
                                    Shares{.reads = 0.7, .writes = 0.85, .compares = 0.97});
}

}  // namespace quorate::workload
