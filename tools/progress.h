// How far a long command has come: one line that changes on a terminal; lines now and then
// elsewhere, with -v only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace quorate::tools {

class Progress {
 public:
  // `total_bytes` is 0 where nobody knows how much is to come. `unit` is what is counted, with a
  // space in front; nothing: items.
  Progress(std::string what, std::uint64_t total_bytes, bool verbose, std::string unit = {});
  ~Progress();

  // Cheap to call often. `done` counts items, `bytes` how much of total_bytes has been dealt with.
  void Update(std::uint64_t done, std::uint64_t bytes);
  // Removes the line from the terminal.
  void Clear();

  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Print(std::uint64_t done, std::uint64_t bytes) const;

  std::string what_;
  std::uint64_t total_bytes_;
  std::string unit_;
  bool terminal_;
  bool verbose_;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_;
};

}  // namespace quorate::tools
