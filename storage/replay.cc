#include "storage/replay.h"

#include <algorithm>

#include "storage/entry_codec.h"

namespace quorate::storage {

Replay::Replay(const SegmentHeader& first)
    : index_(first.last.index),
      begun_(first.start),
      hard_state_(first.hard_state),
      configurations_(first.configuration) {
  contents_.start = first.last;
  contents_.last = first.last.index;
}

bool Replay::Understands(const LogRecord& record) {
  return record.group == 0 && record.type >= RecordType::kSegment &&
         record.type <= RecordType::kClean;
}

std::optional<std::string> Replay::Apply(const LogRecord& record, Place place) {
  clean_ = record.type == RecordType::kClean;
  synced_to_ = std::max(synced_to_, record.synced_to);
  switch (record.type) {
    case RecordType::kSegment:
      return ApplyHeader(record);
    case RecordType::kEntry:
      return ApplyEntry(record, place);
    case RecordType::kHardState:
      return ApplyHardState(record);
    case RecordType::kClean:
      return std::nullopt;
  }
  return "the record has an unknown type";
}

bool Replay::ReplacesStart(const LogRecord& record) const {
  std::string_view payload = record.payload;
  const std::optional<raft::Entry> entry =
      record.type == RecordType::kEntry ? TakeEntry(payload) : std::nullopt;
  return entry && entry->index <= contents_.start.index;
}

raft::Position Replay::Last() const {
  const auto& terms = contents_.terms;
  return {contents_.last, terms.empty() ? contents_.start.term : terms.back().term};
}

std::optional<std::string> Replay::ApplyHeader(const LogRecord& record) {
  const auto header = SegmentHeader::Decode(record.payload);
  if (!header) return "the segment header has an unknown form";
  if (header->start != begun_ || header->last != Last() || header->hard_state != hard_state_ ||
      header->configuration != configurations_.InForce()) {
    return "the segment does not continue the one before it";
  }
  return std::nullopt;
}

std::optional<std::string> Replay::ApplyHardState(const LogRecord& record) {
  const auto state = ParseHardState(record.payload);
  if (!state) return "the term and vote have an unknown form";
  hard_state_ = *state;
  return std::nullopt;
}

std::optional<std::string> Replay::ApplyEntry(const LogRecord& record, Place place) {
  std::string_view payload = record.payload;
  const std::optional<raft::Entry> entry = TakeEntry(payload);
  if (!entry || !payload.empty()) return "the entry has an unknown form";
  const std::string name = "entry " + std::to_string(entry->index);
  if (entry->index <= contents_.start.index || entry->index > contents_.last + 1) {
    return name + " does not follow entry " + std::to_string(contents_.last);
  }
  Truncate(entry->index);
  if (entry->term < Last().term) return name + " has an older term than the one before it";
  if (entry->term > Last().term || contents_.terms.empty()) {
    contents_.terms.push_back({entry->index, entry->term});
  }
  contents_.last = entry->index;
  index_.Add(entry->index, place);
  if (entry->kind != raft::EntryKind::kConfiguration) return std::nullopt;
  auto configuration = raft::Configuration::Decode(entry->data.view());
  if (!configuration) return name + " holds a configuration of unknown form";
  configurations_.Add(entry->index, std::move(*configuration));
  return std::nullopt;
}

// An entry replaces everything from its index on.
void Replay::Truncate(raft::Index from) {
  contents_.last = from - 1;
  while (!contents_.terms.empty() && contents_.terms.back().first >= from)
    contents_.terms.pop_back();
  configurations_.Truncate(from);
}

}  // namespace quorate::storage
