// `quorate-inspect snapshot` and `quorate-inspect backup`.
#pragma once

#include <string>

#include "storage/file_system.h"
#include "tools/inspect/report.h"

namespace quorate::inspect {

// True if the directory is one of RocksDB: a database, or a snapshot of one.
bool IsDatabase(storage::FileSystem& files, const std::string& directory);

// A single database. `verify`: all of it is read and checked.
void ReportDatabase(storage::FileSystem& files, const std::string& directory, bool verify,
                    Report& report);
// In a data directory: the current database, the snapshots kept for others, the one on its way in.
void ReportSnapshots(storage::FileSystem& files, const std::string& directory, bool verify,
                     Report& report);

// Fails if the file cannot be read or is no backup.
storage::Status ReportBackup(storage::FileSystem& files, const std::string& path, bool verify,
                             Report& report);

}  // namespace quorate::inspect
