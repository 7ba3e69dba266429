// A workload: what clients do, and the registry of all. The next one is one file like register.cc,
// and a line in workload.cc. Where to look:
//
//   worker.h       one client: its operations, written down
//   recorder.h     the history
//   keys.h         which keys are in use
//   registers.h    what the workloads on registers share
//   run.h          all clients together, at a rate, for a time
//   main.cc        quorate-workload
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "jepsen/workload/worker.h"

namespace quorate::workload {

// Of one run: all workers share it, on one thread.
class Workload {
 public:
  virtual ~Workload() = default;

  // Before the test begins; empty: done, else why it could not be done.
  virtual awaitable<std::string> Prepare(Worker&) { co_return std::string(); }
  // The next operation of a client, or the next few that belong together.
  virtual awaitable<void> Next(Worker& worker) = 0;
  // After the last one of all: strong reads of what must be there.
  virtual awaitable<void> Conclude(Worker&) { co_return; }
  // More of the history's header.
  virtual void Describe(Operation&) const {}
};

struct Kind {
  std::string_view name;
  std::string_view model;  // as jepsen/FORMAT.md has it
  std::string_view help;
  std::unique_ptr<Workload> (*make)();
};

std::span<const Kind> Kinds();
// Null if there is none.
const Kind* KindNamed(std::string_view name);

// Strong reads of these keys by one worker.
awaitable<void> ReadAll(Worker& worker, std::vector<std::string> keys, Form form);

// One for each file.
std::unique_ptr<Workload> MakeRegister();
std::unique_ptr<Workload> MakeCas();
std::unique_ptr<Workload> MakeMixed();
std::unique_ptr<Workload> MakeAppend();
std::unique_ptr<Workload> MakeCounter();
std::unique_ptr<Workload> MakeSet();
std::unique_ptr<Workload> MakeBank();
std::unique_ptr<Workload> MakeLock();
std::unique_ptr<Workload> MakeUnfencedLock();

}  // namespace quorate::workload
