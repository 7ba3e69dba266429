// Histories of a small simulated cluster, ways to spoil them, and an independent judge.
//
// The judge follows the definitions alone: it tries every place in the log for writes of unknown
// outcome, and asks for each whether there are moments at which the entries could have been
// committed. It shares no code with the checkers and is far too slow for more than a dozen
// operations.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "jepsen/check/history.h"

namespace quorate::check {

struct WorldOptions {
  Model model = Model::kRegister;
  int operations = 10;
  int clients = 3;
  int keys = 2;
  int nodes = 3;
  double unknown = 0.1;  // of writes: outcome unknown
  double failed = 0.1;
};

// Valid by construction.
History SimulatedHistory(const WorldOptions& options, std::mt19937_64& random);

// Changes one thing; says what. Empty: nothing suitable was found.
std::string Mutate(History& history, std::mt19937_64& random);

// Whether every promise can have been kept.
bool JudgedValid(const History& history);

// As in jepsen/FORMAT.md.
std::string ToJsonLines(const History& history);

}  // namespace quorate::check
