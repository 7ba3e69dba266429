// What a benchmark does: which keys, which operations, which values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace quorate::tools {

using Random = std::mt19937_64;

// Zipf's law over 0..n-1 with exponent theta < 1, by the approximation of Gray et al. (SIGMOD 1994)
// that YCSB uses.
class Zipf {
 public:
  Zipf(std::uint64_t n, double theta);
  std::uint64_t operator()(Random& random) const;

 private:
  std::uint64_t n_;
  double alpha_;
  double zeta_n_;
  double eta_;
  double second_;
};

struct WorkloadSettings {
  std::string name = "put";  // put | get | ycsb-a | ycsb-b | ycsb-c | incr | append | txn
  std::uint64_t keys = 100'000;
  std::size_t value_bytes = 128;
  std::uint64_t seed = 1;
};

// Immutable: threads share one, each with a Random of its own.
class Workload {
 public:
  explicit Workload(const WorkloadSettings& settings);

  enum class Kind { kGet, kPut, kIncrement, kAppend, kTransaction };
  struct Operation {
    Kind kind = Kind::kPut;
    std::uint64_t key = 0;

    bool read() const { return kind == Kind::kGet; }
  };
  Operation Next(Random& random) const;

  // Random bytes, different from one call to the next; valid as long as the workload.
  std::string_view Value(Random& random) const;
  std::uint64_t keys() const { return settings_.keys; }
  const std::string& name() const { return settings_.name; }
  bool reads() const { return read_share_ > 0; }

 private:
  WorkloadSettings settings_;
  double read_share_ = 0;
  Kind write_ = Kind::kPut;
  std::optional<Zipf> zipf_;  // absent: uniform
  std::string bytes_;
};

// "user", or what is given of four characters, and a number of 12 digits.
class KeyName {
 public:
  explicit KeyName(std::uint64_t number, const char (&prefix)[5] = "user");
  std::string_view view() const { return {text_, sizeof(text_)}; }

 private:
  char text_[16];
};

}  // namespace quorate::tools
