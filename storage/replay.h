// What the records of a log, read in order, add up to.
#pragma once

#include <optional>
#include <string>

#include "raft/configuration.h"
#include "raft/log.h"
#include "raft/types.h"
#include "storage/configuration_history.h"
#include "storage/entry_index.h"
#include "storage/segment.h"

namespace quorate::storage {

// Holds terms, configurations and the sparse index, never the entries: memory does not grow with
// the log.
class Replay {
 public:
  // `first` is the header of the first segment that counts: the log starts behind its `last`.
  explicit Replay(const SegmentHeader& first);

  // False: written by a newer version, for which guessing would be wrong.
  static bool Understands(const LogRecord& record);
  // What is wrong with the record, if anything. Its checksum is right, so that it was written this
  // way.
  std::optional<std::string> Apply(const LogRecord& record, Place place);
  // An entry that replaced one before the log's start.
  bool ReplacesStart(const LogRecord& record) const;

  const raft::HardState& hard_state() const { return hard_state_; }
  const raft::LogContents& contents() const { return contents_; }
  const ConfigurationHistory& configurations() const { return configurations_; }
  const EntryIndex& index() const { return index_; }
  bool clean() const { return clean_; }           // the last record is the clean-shutdown mark
  Place synced_to() const { return synced_to_; }  // the furthest that any record claims

 private:
  raft::Position Last() const;
  std::optional<std::string> ApplyHeader(const LogRecord& record);
  std::optional<std::string> ApplyHardState(const LogRecord& record);
  std::optional<std::string> ApplyEntry(const LogRecord& record, Place place);
  void Truncate(raft::Index from);

  EntryIndex index_;
  raft::Position begun_;  // SegmentHeader::start, the same in every segment
  raft::HardState hard_state_;
  raft::LogContents contents_;
  ConfigurationHistory configurations_;
  bool clean_ = false;
  Place synced_to_;
};

}  // namespace quorate::storage
