// Writes the history: one line for each operation that has ended (jepsen/FORMAT.md).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace quorate::workload {

// A line of the history, in the making.
using Operation = nlohmann::ordered_json;

// Of the operations that ended since the last time it was asked.
struct Counts {
  std::uint64_t ok = 0;
  std::uint64_t fail = 0;
  std::uint64_t info = 0;
  std::int64_t slowest_us = 0;
};

// Lines are whole in the file at any time: each write(2) appends whole lines, so others may append
// theirs too, and what a crash leaves can be read. Not thread-safe.
class Recorder {
 public:
  // `origin`: when the test began, on CLOCK_MONOTONIC. Throws std::runtime_error if the file cannot
  // be opened.
  Recorder(const std::string& path, std::chrono::microseconds origin);
  // Throws if what is buffered cannot be written; the destructor does not write.
  ~Recorder();
  Recorder(Recorder&&) = delete;

  std::int64_t Now() const;  // microseconds since the test began
  std::uint64_t NextNumber() { return next_number_++; }

  void Write(const nlohmann::ordered_json& line);
  // Writes an operation that has "type", and counts it.
  void End(const Operation& operation);
  // What is buffered goes to the file. Throws std::runtime_error if that fails.
  void Flush();

  Counts TakeCounts() { return std::exchange(counts_, {}); }

 private:
  std::string path_;
  std::int64_t origin_us_;
  int file_;
  std::string buffer_;
  std::uint64_t next_number_ = 0;
  Counts counts_;
};

}  // namespace quorate::workload
