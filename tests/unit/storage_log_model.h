// What a log should hold, worked out from the batches alone.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"
#include "storage/log.h"

namespace quorate::storage {

inline raft::Entry MakeEntry(raft::Index index, raft::Term term, const std::string& data,
                             raft::EntryKind kind = raft::EntryKind::kCommand) {
  return {term, index, kind, Bytes::Copy(data)};
}

inline raft::AppendBatch MakeBatch(std::optional<raft::HardState> hard_state,
                                   std::vector<raft::Entry> entries) {
  return {{}, {}, hard_state, std::move(entries)};
}

inline raft::Configuration ThreeNodes() {
  return raft::Configuration::Bootstrap(
      {{1, {}, "127.0.0.1:7101"}, {2, {}, "127.0.0.1:7102"}, {3, {}, "127.0.0.1:7103"}});
}

// Where the log of a new cluster starts.
inline raft::SnapshotMark Founding() {
  return {{}, ThreeNodes()};
}

// Some other configuration for each number.
inline raft::Configuration Numbered(std::uint64_t number) {
  raft::Configuration configuration = ThreeNodes();
  configuration.incarnation = number;
  return configuration;
}

inline raft::AppendBatch MakeReset(raft::Position position, std::uint64_t configuration,
                                   std::optional<raft::HardState> hard_state = {},
                                   std::vector<raft::Entry> entries = {}) {
  return {
      {}, raft::SnapshotMark{position, Numbered(configuration)}, hard_state, std::move(entries)};
}

struct LogModel {
  raft::HardState hard_state;
  raft::Position start;
  raft::Configuration base = ThreeNodes();  // in force at `start`
  std::vector<raft::Entry> entries;         // the first has index start.index + 1

  raft::Index last() const { return start.index + entries.size(); }
  raft::Position PositionAt(raft::Index index) const {
    return index == start.index ? start
                                : raft::Position{index, entries[index - start.index - 1].term};
  }

  void Apply(const raft::SnapshotMark& reset) {
    start = reset.position;
    base = reset.configuration;
    entries.clear();
  }
  void Apply(const raft::HardState& state) { hard_state = state; }
  void Apply(const raft::Entry& entry) {
    entries.resize(entry.index - start.index - 1);
    entries.push_back(entry);
  }
  void Apply(const raft::AppendBatch& batch) {
    if (batch.reset) Apply(*batch.reset);
    if (batch.hard_state) Apply(*batch.hard_state);
    for (const raft::Entry& entry : batch.entries) Apply(entry);
  }
  // Forgets the entries up to `index`.
  void CutTo(raft::Index index) {
    const auto kept = entries.begin() + static_cast<std::ptrdiff_t>(index - start.index);
    for (auto entry = entries.begin(); entry != kept; ++entry) {
      if (entry->kind != raft::EntryKind::kConfiguration) continue;
      base = *raft::Configuration::Decode(entry->data.view());
    }
    start = PositionAt(index);
    entries.erase(entries.begin(), kept);
  }
  std::vector<raft::TermRun> Terms() const {
    std::vector<raft::TermRun> runs;
    for (const raft::Entry& entry : entries) {
      if (runs.empty() || runs.back().term != entry.term) runs.push_back({entry.index, entry.term});
    }
    return runs;
  }
  friend bool operator==(const LogModel&, const LogModel&) = default;
};

// What the opened log says it holds, every entry read back.
inline LogModel ModelOf(Log::Opened& opened) {
  LogModel model;
  model.hard_state = opened.recovery.hard_state;
  model.start = opened.recovery.contents.start;
  model.base = opened.recovery.base_configuration;
  const raft::Index last = opened.recovery.contents.last;
  while (model.last() < last) {
    auto read = opened.log->Read(model.last() + 1, last, 1 << 20);
    if (!read || read->empty()) break;
    for (raft::Entry& entry : *read) model.entries.push_back(std::move(entry));
  }
  return model;
}

}  // namespace quorate::storage
