// What a check found: results.json of jepsen/FORMAT.md, and a summary for people.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "jepsen/check/history.h"
#include "jepsen/check/linearizability.h"

namespace quorate::check {

struct Violation {
  std::string checker;
  std::string sentence;
  std::vector<std::uint64_t> operations;  // their numbers; the first is the one to look at
  Time at = 0;
  std::string key;  // empty: of no single key
};

struct CheckerResult {
  std::string name;
  Verdict verdict = Verdict::kValid;
  std::uint64_t checked = 0;  // operations, faults or whatever it looks at
  std::uint64_t found = 0;    // violations, of which only the first few are listed
  double took_ms = 0;
  std::string detail;
};

// Of one level. Buckets count reads; the last one has no bound.
struct Staleness {
  std::vector<std::uint64_t>
      promised;  // by what was promised (the certificate's age, else the request's)
  std::vector<std::uint64_t> measured;
  std::uint64_t reads = 0;
  std::uint64_t unpromised = 0;            // reads without any bound
  std::vector<std::uint64_t> promised_us;  // a sample of reads, side by side, ordered by time
  std::vector<std::uint64_t> measured_us;
  double tightness = 0;  // mean of measured / promised, where both are above 0
};

// Upper bounds of the buckets.
const std::vector<std::uint64_t>& StalenessBounds();

struct Availability {
  std::string fault;
  std::uint64_t id = 0;
  Time at = 0;
  std::int64_t served_after_us = -1;  // -1: not within the history
  std::string judgement;              // "in time", "too late", or why it was not judged
};

struct Report {
  std::string file;
  Model model = Model::kUnknown;
  std::uint64_t operations = 0;
  double read_ms = 0;
  double check_ms = 0;
  std::vector<CheckerResult> checkers;
  std::vector<Violation> violations;
  std::map<std::string, Staleness> staleness;
  std::vector<Availability> availability;
  std::vector<std::string> notes;

  // Invalid if a checker is, else unknown if one is.
  Verdict verdict() const;
};

// One JSON object, as in jepsen/FORMAT.md.
std::string ToJson(const Report& report);
// A table of checkers and the first violations, for a terminal.
std::string Summary(const Report& report);

std::string_view Name(Verdict verdict);

}  // namespace quorate::check
