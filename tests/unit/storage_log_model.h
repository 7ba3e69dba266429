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
  return {{}, hard_state, std::move(entries)};
}

inline raft::Configuration ThreeNodes() {
  return raft::Configuration::Bootstrap(
      {{1, {}, "127.0.0.1:7101"}, {2, {}, "127.0.0.1:7102"}, {3, {}, "127.0.0.1:7103"}});
}

struct LogModel {
  raft::HardState hard_state;
  std::vector<raft::Entry> entries;  // the first has index 1

  void Apply(const raft::HardState& state) { hard_state = state; }
  void Apply(const raft::Entry& entry) {
    entries.resize(entry.index - 1);
    entries.push_back(entry);
  }
  void Apply(const raft::AppendBatch& batch) {
    if (batch.hard_state) Apply(*batch.hard_state);
    for (const raft::Entry& entry : batch.entries) Apply(entry);
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
  const raft::Index last = opened.recovery.contents.last;
  while (model.entries.size() < last) {
    auto read = opened.log->Read(model.entries.size() + 1, last, 1 << 20);
    if (!read || read->empty()) break;
    for (raft::Entry& entry : *read) model.entries.push_back(std::move(entry));
  }
  return model;
}

}  // namespace quorate::storage
