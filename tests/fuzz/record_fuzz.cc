// Single records: of the log, of the database, and the entries in them.
//
// The input's first four bytes are put right, being a log record's checksum; nothing would get past
// it otherwise.
#include "raft/assert.h"
#include "storage/crc32c.h"
#include "storage/entry_codec.h"
#include "storage/little_endian.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "storage/stored_record.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

using storage::LogRecord;
using storage::RecordType;

constexpr std::uint32_t kSegment = 3;

void CorrectChecksum(std::string& record) {
  if (record.size() < storage::kRecordHeaderBytes) return;
  const std::size_t bytes = storage::RecordBytes(storage::LoadInt<std::uint32_t>(record, 4));
  if (bytes > record.size()) return;
  const std::string_view covered = std::string_view(record).substr(4, bytes - 4);
  storage::StoreInt(record.data(), storage::Crc32c(covered, storage::SegmentSeed(kSegment)));
}

std::string Build(RecordType type, storage::Place synced_to, std::string_view payload) {
  std::string out;
  const std::size_t begin = storage::BeginRecord(out);
  out += payload;
  storage::FinishRecord(out, begin, type, synced_to, storage::SegmentSeed(kSegment));
  return out;
}

void CheckEntries(std::string_view in) {
  std::string again;
  std::string_view rest = in;
  while (const auto entry = storage::TakeEntry(rest)) storage::AppendEntry(*entry, again);
  QUORATE_ASSERT(again == in.substr(0, in.size() - rest.size()), "an entry has one form");
  const std::string_view before = rest;
  QUORATE_ASSERT(!storage::TakeEntry(rest) && rest == before,
                 "what is not an entry is left where it is");
}

void CheckPayload(std::string_view payload) {
  CheckEntries(payload);
  if (const auto header = storage::SegmentHeader::Decode(payload)) {
    QUORATE_ASSERT(header->Encode() == payload, "a segment header has one form");
  }
  if (const auto state = storage::ParseHardState(payload)) {
    std::string again;
    storage::AppendHardState(*state, again);
    QUORATE_ASSERT(again == payload, "a term and vote have one form");
  }
}

void CheckLogRecord(std::string_view in) {
  const auto record = storage::ParseRecord(in, storage::SegmentSeed(kSegment));
  if (!record) return;
  QUORATE_ASSERT(record->bytes <= in.size() && record->bytes % storage::kRecordAlignment == 0,
                 "a record lies within the input");
  QUORATE_ASSERT(!storage::ParseRecord(in, storage::SegmentSeed(kSegment + 1)),
                 "a record of one segment is none of another");
  const std::string again = Build(record->type, record->synced_to, record->payload);
  const auto reread = storage::ParseRecord(again, storage::SegmentSeed(kSegment));
  QUORATE_ASSERT(reread && reread->type == record->type && reread->payload == record->payload &&
                     reread->synced_to == record->synced_to && reread->bytes == record->bytes,
                 "a record does not change when it is read");
  CheckPayload(record->payload);
}

void CheckStoredRecord(std::string_view in) {
  const auto record = storage::DecodeRecord(in);
  if (!record) return;
  const storage::RecordPrefix prefix(record->mod_index, record->owner);
  const auto again = storage::DecodeRecord(std::string(prefix.view()) + record->value);
  QUORATE_ASSERT(again && again->mod_index == record->mod_index && again->owner == record->owner &&
                     again->value == record->value,
                 "a stored record does not change when it is read");
}

}  // namespace

void RunOne(std::string_view input) {
  std::string record(input);
  CorrectChecksum(record);
  CheckLogRecord(record);
  CheckPayload(input);
  CheckStoredRecord(input);
}

std::vector<std::string> Seeds() {
  const storage::Place synced_to{kSegment, 24};
  const auto configuration = raft::Configuration::Bootstrap({{1, {}, "127.0.0.1:7101"}});
  std::vector<std::string> seeds;
  std::string entries;
  storage::AppendEntry({1, 1, raft::EntryKind::kNoop, {}}, entries);
  seeds.push_back(Build(RecordType::kEntry, synced_to, entries));
  storage::AppendEntry({1, 2, raft::EntryKind::kCommand, Bytes::Copy("put this there")}, entries);
  storage::AppendEntry({2, 3, raft::EntryKind::kConfiguration, Bytes::Copy(configuration.Encode())},
                       entries);
  seeds.push_back(Build(RecordType::kEntry, synced_to, entries));
  seeds.push_back(entries);
  std::string hard_state;
  storage::AppendHardState({5, 2}, hard_state);
  seeds.push_back(Build(RecordType::kHardState, synced_to, hard_state));
  storage::SegmentHeader header;
  header.capacity = 64 << 10;
  header.hard_state = {5, 2};
  header.last = {12, 5};
  header.configuration = configuration;
  seeds.push_back(Build(RecordType::kSegment, {kSegment - 1, 4096}, header.Encode()));
  seeds.push_back(Build(RecordType::kClean, synced_to, ""));
  seeds.push_back(std::string(storage::RecordPrefix(300, 0).view()) + "value");
  return seeds;
}

}  // namespace quorate::fuzz
