// Segments, record by record, as the log writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/entry_codec.h"
#include "storage/record.h"
#include "storage/segment.h"

namespace quorate::fuzz {

class SegmentBuilder {
 public:
  SegmentBuilder(std::uint32_t sequence, const storage::SegmentHeader& header,
                 storage::Place previous_end)
      : sequence_(sequence) {
    Add(storage::RecordType::kSegment, previous_end, header.Encode());
    Sync();
  }

  void Add(storage::RecordType type, storage::Place synced_to, std::string_view payload) {
    const std::size_t begin = storage::BeginRecord(bytes_);
    bytes_ += payload;
    storage::FinishRecord(bytes_, begin, type, synced_to, storage::SegmentSeed(sequence_));
  }
  void Add(raft::HardState state) {
    std::string payload;
    storage::AppendHardState(state, payload);
    Add(storage::RecordType::kHardState, synced_to_, payload);
  }
  void Add(const raft::Entry& entry) {
    std::string payload;
    storage::AppendEntry(entry, payload);
    Add(storage::RecordType::kEntry, synced_to_, payload);
  }
  void AddClean() { Add(storage::RecordType::kClean, synced_to_, ""); }
  void Sync() { synced_to_ = {sequence_, static_cast<std::uint32_t>(bytes_.size())}; }
  void Damage(std::size_t offset, std::uint8_t change) {
    if (offset < bytes_.size()) bytes_[offset] ^= static_cast<char>(change);
  }
  void Tear(std::size_t bytes) { bytes_.resize(bytes_.size() - bytes); }

  // Of what is durable.
  storage::Place end() const { return synced_to_; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::uint32_t sequence_;
  std::string bytes_;
  storage::Place synced_to_;
};

}  // namespace quorate::fuzz
