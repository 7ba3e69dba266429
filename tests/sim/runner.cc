#include "tests/sim/runner.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace quorate::sim {
namespace {

static_assert(std::is_trivially_copyable_v<SeedReport> && sizeof(SeedReport) < 4096,
              "a report is one atomic write to a pipe");

// One forked process that runs every jobs-th seed.
struct Worker {
  pid_t pid = -1;
  int pipe = -1;
  std::uint64_t next = 0;  // the seed it is at work on
};

void Work(int out, std::uint64_t seed, std::uint64_t last, unsigned step,
          const std::function<SeedReport(std::uint64_t)>& run) {
  for (; seed <= last; seed += step) {
    const SeedReport report = run(seed);
    if (write(out, &report, sizeof(report)) != static_cast<ssize_t>(sizeof(report))) return;
  }
}

Worker Spawn(std::uint64_t seed, std::uint64_t last, unsigned step,
             const std::function<SeedReport(std::uint64_t)>& run) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe for a worker process");
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("no worker process: fork failed");
  if (pid == 0) {
    close(ends[0]);
    Work(ends[1], seed, last, step, run);
    _exit(0);
  }
  close(ends[1]);
  return {pid, ends[0], seed};
}

void Reap(Worker& worker) {
  close(worker.pipe);
  kill(worker.pid, SIGKILL);
  waitpid(worker.pid, nullptr, 0);
  worker.pipe = -1;
}

bool Receive(const Worker& worker, SeedReport& report) {
  return read(worker.pipe, &report, sizeof(report)) == static_cast<ssize_t>(sizeof(report));
}

SeedReport Crashed(std::uint64_t seed) {
  SeedReport report;
  report.seed = seed;
  report.failed = report.crashed = true;
  std::snprintf(report.invariant, sizeof(report.invariant), "no-crash");
  std::snprintf(report.detail, sizeof(report.detail), "the process died while it ran this seed");
  return report;
}

}  // namespace

void RunSeeds(SeedRange seeds, unsigned jobs, const std::function<SeedReport(std::uint64_t)>& run,
              const std::function<bool(const SeedReport&)>& report) {
  std::vector<Worker> workers;
  for (unsigned i = 0; i < jobs && seeds.first + i <= seeds.last; ++i) {
    workers.push_back(Spawn(seeds.first + i, seeds.last, jobs, run));
  }
  bool go_on = true;
  while (go_on && !workers.empty()) {
    std::vector<pollfd> polled;
    for (const Worker& worker : workers) polled.push_back({worker.pipe, POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < workers.size() && go_on; ++i) {
      Worker& worker = workers[i];
      if (polled[i].revents == 0) continue;
      SeedReport received;
      if (Receive(worker, received)) {
        worker.next = received.seed + jobs;
        go_on = report(received);
        continue;
      }
      Reap(worker);
      if (worker.next > seeds.last) continue;
      go_on = report(Crashed(worker.next));
      const std::uint64_t rest = worker.next + jobs;
      if (go_on && rest <= seeds.last) worker = Spawn(rest, seeds.last, jobs, run);
    }
    std::erase_if(workers, [](const Worker& worker) { return worker.pipe < 0; });
  }
  for (Worker& worker : workers) Reap(worker);
}

}  // namespace quorate::sim
