#include "tests/fuzz/mutator.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace quorate::fuzz {
namespace {

constexpr int kMaxChanges = 8;
constexpr std::size_t kMaxPiece = 64;
constexpr std::size_t kMaxInputBytes = 64 << 10;

// Where limits, signs and sums go wrong.
constexpr std::uint64_t kEdges[] = {0,          1,          7,          8,           0x7f,
                                    0x80,       0xff,       0x100,      0x7fff,      0xffff,
                                    0x10000,    0x7fffffff, 0x80000000, 0xffffffff,  0x100000000,
                                    ~0ULL >> 1, ~0ULL - 1,  ~0ULL,      ~0ULL << 63, 0xfffffff8};

}  // namespace

Mutator::Mutator(std::vector<std::string> seeds, std::uint64_t seed)
    : seeds_(std::move(seeds)), random_(seed) {}

std::string Mutator::Next() {
  std::string input = seeds_[Below(seeds_.size())];
  const int changes = 1 + std::min(std::countr_zero(random_()), kMaxChanges - 1);
  for (int i = 0; i < changes; ++i) Change(input);
  if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
  return input;
}

std::size_t Mutator::Below(std::size_t limit) {
  return limit == 0 ? 0 : random_() % limit;
}

void Mutator::Change(std::string& input) {
  static constexpr void (Mutator::*kChanges[])(std::string&) = {
      &Mutator::FlipBit, &Mutator::SetByte,    &Mutator::SetInteger, &Mutator::Erase,
      &Mutator::Insert,  &Mutator::CopyWithin, &Mutator::Splice};
  (this->*kChanges[Below(std::size(kChanges))])(input);
}

void Mutator::FlipBit(std::string& input) {
  if (!input.empty()) input[Below(input.size())] ^= static_cast<char>(1U << Below(8));
}

void Mutator::SetByte(std::string& input) {
  if (!input.empty()) input[Below(input.size())] = static_cast<char>(random_());
}

// One to eight bytes: an edge, or the integer that is there plus or minus a little.
void Mutator::SetInteger(std::string& input) {
  const std::size_t width = std::min<std::size_t>(std::size_t{1} << Below(4), input.size());
  const std::size_t at = Below(input.size() - width + 1);
  std::uint64_t value = 0;
  std::memcpy(&value, input.data() + at, width);
  value = Below(2) == 0 ? kEdges[Below(std::size(kEdges))] : value + Below(17) - 8;
  std::memcpy(input.data() + at, &value, width);
}

void Mutator::Erase(std::string& input) {
  input.erase(Below(input.size()), Below(kMaxPiece));
}

void Mutator::Insert(std::string& input) {
  std::string piece(Below(kMaxPiece), '\0');
  if (Below(2) == 0) std::generate(piece.begin(), piece.end(), [this] { return random_(); });
  input.insert(Below(input.size() + 1), piece);
}

void Mutator::CopyWithin(std::string& input) {
  const std::string piece = input.substr(Below(input.size()), Below(kMaxPiece));
  const std::size_t at = Below(input.size());
  if (Below(2) == 0) {
    input.insert(at, piece);
  } else {
    input.replace(at, piece.size(), piece);
  }
}

// The front of this one and the back of another.
void Mutator::Splice(std::string& input) {
  const std::string& other = seeds_[Below(seeds_.size())];
  input = input.substr(0, Below(input.size() + 1)) + other.substr(Below(other.size() + 1));
}

}  // namespace quorate::fuzz
