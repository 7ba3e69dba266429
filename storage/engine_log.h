// RocksDB's own log of its troubles, the file LOG in the database's directory.
#pragma once

#include <rocksdb/env.h>

#include <memory>
#include <string>

namespace quorate::storage {

// Warnings and errors only. Lines for which there is no room are lost: RocksDB's own logger takes
// the process with it when it is used again after a failed write (RocksDB 7.8,
// WritableFileWriter::AssertFalseAndGetStatusForPrevError). The file appears with the first line,
// and starts anew at 1 MiB.
std::shared_ptr<rocksdb::Logger> MakeEngineLog(const std::string& directory);

}  // namespace quorate::storage
