// Fixed-size integers as every file format here writes them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace quorate::storage {

static_assert(std::endian::native == std::endian::little, "byte swaps are not written yet");

template <typename T>
void StoreInt(char* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

template <typename T>
void AppendInt(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// `data` must hold sizeof(T) bytes from `offset` on.
template <typename T>
T LoadInt(std::string_view data, std::size_t offset = 0) {
  T value;
  std::memcpy(&value, data.data() + offset, sizeof(T));
  return value;
}

}  // namespace quorate::storage
