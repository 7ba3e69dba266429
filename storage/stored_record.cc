#include "storage/stored_record.h"

namespace quorate::storage {
namespace {

std::optional<std::uint64_t> TakeVarint(std::string_view& in) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace

RecordPrefix::RecordPrefix(raft::Index mod_index, std::uint64_t expiry) {
  for (std::uint64_t value : {mod_index, expiry}) {
    for (; value >= 0x80; value >>= 7) bytes_[size_++] = static_cast<char>(value | 0x80);
    bytes_[size_++] = static_cast<char>(value);
  }
}

std::optional<Record> DecodeRecord(std::string_view stored, bool with_value) {
  const auto mod_index = TakeVarint(stored);
  const auto expiry = TakeVarint(stored);
  if (!mod_index || !expiry) return std::nullopt;
  Record record{*mod_index, *expiry, {}};
  if (with_value) record.value = stored;
  return record;
}

}  // namespace quorate::storage
