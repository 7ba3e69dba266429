// CRC-32C (Castagnoli), the checksum of iSCSI, ext4 and most logs: processors compute it in one
// instruction.
#pragma once

#include <cstdint>
#include <string_view>

namespace quorate::storage {

// The checksum of `data`, or, with the checksum of what came before as `seed`, of both together.
// Two equal runs of bytes under different seeds never have the same checksum.
std::uint32_t Crc32c(std::string_view data, std::uint32_t seed = 0);

// The portable way, for processors without the instruction and for the test that compares the two.
std::uint32_t Crc32cPortable(std::string_view data, std::uint32_t seed = 0);

}  // namespace quorate::storage
