// Runs many seeds on all cores.
#pragma once

#include <cstdint>
#include <functional>

#include "tests/sim/crash_points.h"

namespace quorate::sim {

struct SeedRange {
  std::uint64_t first = 1;
  std::uint64_t last = 1;
};

// What one seed came to, as it crosses between processes.
struct SeedReport {
  std::uint64_t seed = 0;
  bool failed = false;
  bool crashed = false;  // the process died: no more is known
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  std::uint64_t operations = 0;
  std::uint64_t writes = 0;
  std::uint64_t strong_reads = 0;
  std::uint64_t certificates = 0;
  std::uint64_t refusals = 0;
  CrashCounts crash_counts{};
  char invariant[64] = {};
  char detail[512] = {};
};

// Runs `run` for each seed in `jobs` forked processes and hands each report to `report`, in any
// order, until that returns false. A process that dies fails its seed only.
void RunSeeds(SeedRange seeds, unsigned jobs, const std::function<SeedReport(std::uint64_t)>& run,
              const std::function<bool(const SeedReport&)>& report);

}  // namespace quorate::sim
