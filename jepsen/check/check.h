// The checker of histories. Where to look:
//
//   history.h, value_table.h     a history in memory
//   readers.h                    from files: read_quorate.cc (JSON lines, with json_scanner.h),
//                                read_edn.cc (with edn.h), read_etcd_log.cc; byte_stream.h below
//                                them
//   black_box.h                  is there any order of the operations that explains the answers?
//                                stepper.h (what operations mean), linearizability.h (the search),
//                                shrink.h (the smallest part that shows a violation)
//   white_box.h                  the applied index of each answer as the order: all other checkers,
//                                one file each
//   report.h                     results.json and the summary
//   corpus.h                     many histories with known verdicts
//   main.cc                      quorate-check
//
// What each checker proves, and what not: README.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

#include "jepsen/check/history.h"
#include "jepsen/check/readers.h"
#include "jepsen/check/report.h"

namespace quorate::check {

struct CheckOptions {
  ReadOptions read;
  // Of the black-box search, per history.
  std::chrono::milliseconds time_limit{60'000};
  std::size_t memory_limit = std::size_t{2} << 30;
  // Searches histories with indices too.
  bool always_black_box = false;
  // Within which the majority side must serve strong reads after a fault began.
  Time availability_limit_us = 5'000'000;
  // Of all operations while no fault is active; what is above is a violation.
  double healthy_error_rate = 0.01;
  // Violations listed per checker; all are counted.
  std::size_t max_listed = 20;
};

// The history's value table grows, nothing else changes.
Report Check(History& history, const CheckOptions& options);

std::variant<Report, ReadError> CheckFile(const std::string& path, const CheckOptions& options);

}  // namespace quorate::check
