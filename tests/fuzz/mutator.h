// Changes inputs at random: the built-in driver's stand-in for libFuzzer's mutations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace quorate::fuzz {

// The same seed gives the same inputs.
class Mutator {
 public:
  // `seeds` must not be empty.
  Mutator(std::vector<std::string> seeds, std::uint64_t seed);

  // One of the seeds with one to eight changes, fewer of them more often.
  std::string Next();

 private:
  std::size_t Below(std::size_t limit);  // 0 if `limit` is
  void Change(std::string& input);
  void FlipBit(std::string& input);
  void SetByte(std::string& input);
  void SetInteger(std::string& input);
  void Erase(std::string& input);
  void Insert(std::string& input);
  void CopyWithin(std::string& input);
  void Splice(std::string& input);

  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

}  // namespace quorate::fuzz
