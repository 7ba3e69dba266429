// What a run of a workload is asked to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "quorate/level.h"

namespace quorate::workload {

// One of the levels that reads are asked for. Session reads get what they include when they begin.
struct ReadLevel {
  std::string name;  // as in the history: strong | bounded | session | eventual
  Level level{};
};

struct Settings {
  std::vector<std::string> endpoints;
  std::uint64_t nodes = 0;  // reads are pinned to nodes 1 to this; 0: to none
  int clients = 20;         // each has one operation at a time
  double rate = 1000;       // operations a second that all begin together
  std::chrono::milliseconds time{10'000};
  std::chrono::milliseconds timeout{
      1000};  // of an operation; of exactly-once writes three times it
  std::uint64_t seed = 1;
  std::vector<ReadLevel> levels;
};

}  // namespace quorate::workload
