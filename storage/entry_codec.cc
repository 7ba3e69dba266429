#include "storage/entry_codec.h"

#include "storage/little_endian.h"
#include "storage/record.h"

namespace quorate::storage {
namespace {

bool IsKnown(std::uint8_t kind) {
  return kind >= static_cast<std::uint8_t>(raft::EntryKind::kNoop) &&
         kind <= static_cast<std::uint8_t>(raft::EntryKind::kCommand);
}

}  // namespace

void AppendEntry(const raft::Entry& entry, std::string& out) {
  char header[kEntryHeaderBytes];
  StoreInt(header, entry.index);
  StoreInt(header + 8, entry.term);
  StoreInt(header + 16, static_cast<std::uint8_t>(entry.kind));
  StoreInt(header + 17, static_cast<std::uint32_t>(entry.data.size()));
  out.append(header, sizeof(header));
  out.append(entry.data.view());
}

std::optional<raft::Entry> TakeEntry(std::string_view& in) {
  if (in.size() < kEntryHeaderBytes) return std::nullopt;
  const auto kind = LoadInt<std::uint8_t>(in, 16);
  const auto length = LoadInt<std::uint32_t>(in, 17);
  if (!IsKnown(kind) || length > in.size() - kEntryHeaderBytes) return std::nullopt;
  // A peer's entry that the log cannot hold would stop this node once it was appended.
  if (length > kMaxPayloadBytes - kEntryHeaderBytes) return std::nullopt;
  raft::Entry entry;
  entry.index = LoadInt<raft::Index>(in);
  entry.term = LoadInt<raft::Term>(in, 8);
  entry.kind = static_cast<raft::EntryKind>(kind);
  entry.data = Bytes::Copy(in.substr(kEntryHeaderBytes, length));
  in.remove_prefix(kEntryHeaderBytes + length);
  return entry;
}

}  // namespace quorate::storage
