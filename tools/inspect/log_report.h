// `quorate-inspect log`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "raft/types.h"
#include "storage/file_system.h"
#include "tools/inspect/report.h"

namespace quorate::inspect {

// Entries to be listed.
struct EntryRange {
  raft::Index first = 1;
  raft::Index last = ~raft::Index{0};
  std::uint64_t limit = 100;
};

// "5..10", "5..", "..10", "5", or nothing for all; nothing if it is none of these.
std::optional<EntryRange> ParseEntryRange(const std::string& text);

// Describes the log in a directory of segments. Fails if it cannot be read at all; damage goes into
// the report, and what could be read too.
storage::Status ReportLog(storage::FileSystem& files, const std::string& directory,
                          const std::optional<EntryRange>& entries, Report& report);

}  // namespace quorate::inspect
