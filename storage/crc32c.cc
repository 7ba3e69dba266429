#include "storage/crc32c.h"

#include <array>
#include <cstddef>

#include "storage/little_endian.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace quorate::storage {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected

// tables[k][b]: the effect of byte b followed by k zero bytes, so that eight bytes are folded at a
// time.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t previous = tables[k - 1][byte];
      tables[k][byte] = (previous >> 8) ^ tables[0][previous & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t Crc32cSse42(std::string_view data,
                                                            std::uint32_t seed) {
  std::uint64_t crc = ~seed;
  while (data.size() >= 8) {
    crc = _mm_crc32_u64(crc, LoadInt<std::uint64_t>(data));
    data.remove_prefix(8);
  }
  auto narrow = static_cast<std::uint32_t>(crc);
  for (char c : data) narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(c));
  return ~narrow;
}
#endif

}  // namespace

std::uint32_t Crc32cPortable(std::string_view data, std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  while (data.size() >= 8) {
    const std::uint64_t word = LoadInt<std::uint64_t>(data) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
    data.remove_prefix(8);
  }
  for (char c : data) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint8_t>(c)) & 0xff];
  return ~crc;
}

std::uint32_t Crc32c(std::string_view data, std::uint32_t seed) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return Crc32cSse42(data, seed);
#endif
  return Crc32cPortable(data, seed);
}

}  // namespace quorate::storage
