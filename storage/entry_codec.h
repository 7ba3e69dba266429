// The one binary form of an entry: in the log and in append messages between nodes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "raft/entry.h"

namespace quorate::storage {

// Little-endian: index u64 | term u64 | kind u8 | length u32 | data.
inline constexpr std::size_t kEntryHeaderBytes = 21;

void AppendEntry(const raft::Entry& entry, std::string& out);
// Takes one entry off the front of `in`. Nothing, and `in` untouched, if the bytes are not a whole
// entry of a known kind, or are one too large for the log.
std::optional<raft::Entry> TakeEntry(std::string_view& in);

}  // namespace quorate::storage
