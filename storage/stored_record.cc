#include "storage/stored_record.h"

#include "storage/varint.h"

namespace quorate::storage {

RecordPrefix::RecordPrefix(raft::Index mod_index, std::uint64_t owner) {
  for (std::uint64_t value : {mod_index, owner}) {
    for (; value >= 0x80; value >>= 7) bytes_[size_++] = static_cast<char>(value | 0x80);
    bytes_[size_++] = static_cast<char>(value);
  }
}

std::optional<Record> DecodeRecord(std::string_view stored, bool with_value) {
  const auto mod_index = TakeVarint(stored);
  const auto owner = TakeVarint(stored);
  if (!mod_index || !owner) return std::nullopt;
  Record record{*mod_index, *owner, {}};
  if (with_value) record.value = stored;
  return record;
}

}  // namespace quorate::storage
