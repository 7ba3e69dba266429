// Reading a log back after a stop of any kind (D4).
//
// A record that does not validate is a torn tail - the batch that was being written when the power
// went, whose pages reach the disk in any order - or damage to bytes that were durable. It is
// damage if and only if something valid says that the log was durable beyond it: the synced_to of a
// later record, the header of a later segment, or the length that a segment was given before it got
// its name. A tail is cut; damage is reported and nothing is changed.
//
// Nothing read is trusted to be on the disk: after kill -9 the page cache holds more than the disk,
// and after a failed sync it does so for ever. So whatever no record proves durable is written
// again in place and synced.
//
// The log begins at the last segment that says so; whatever lies before that one, a crash cut its
// removal short.
#pragma once

#include <string>
#include <vector>

#include "storage/configuration_history.h"
#include "storage/entry_index.h"
#include "storage/log.h"
#include "storage/segment.h"

namespace quorate::storage {

// At most this much is written between two syncs: how far behind the end of the log garbage may
// lie.
inline constexpr std::uint64_t kMaxUnsyncedBytes = 4 << 20;

struct RecoveredLog {
  LogRecovery recovery;
  EntryIndex index;
  ConfigurationHistory configurations;
  raft::Position begun;           // where the log was begun or last emptied: SegmentHeader::start
  std::vector<Segment> segments;  // ascending, without gaps; the last is open for appending
  Place end;                      // where the next record goes; everything before is durable
};

Result<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory,
                                raft::Control control);

}  // namespace quorate::storage
