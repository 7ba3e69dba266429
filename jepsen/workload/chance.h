// Random choices by a seed, the same with every standard library.
#pragma once

#include <cstdint>
#include <random>

namespace quorate::workload {

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : bits_(seed) {}

  std::uint64_t Below(std::uint64_t end) { return bits_() % end; }  // the bias is negligible here
  double Uniform() { return static_cast<double>(bits_() >> 11) * 0x1p-53; }
  bool Of(double probability) { return Uniform() < probability; }

 private:
  std::mt19937_64 bits_;
};

}  // namespace quorate::workload
