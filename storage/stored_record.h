// How a key's record lies in the database: mod_index varint | owner varint | the value, up to the
// end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "storage/state_machine.h"

namespace quorate::storage {

// What stands before the value; the value itself is never copied to be encoded.
class RecordPrefix {
 public:
  RecordPrefix(raft::Index mod_index, std::uint64_t owner);
  std::string_view view() const { return {bytes_, size_}; }

 private:
  char bytes_[20];
  std::size_t size_ = 0;
};

// Nothing if `stored` is not a whole record. With `with_value` false the value stays empty.
std::optional<Record> DecodeRecord(std::string_view stored, bool with_value = true);

}  // namespace quorate::storage
