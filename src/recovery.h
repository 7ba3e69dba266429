// From a data directory to something that can run: checks whose it is, recovers the log, opens the
// database.
#pragma once

#include <memory>

#include "src/logger.h"
#include "src/options.h"
#include "storage/data_dir.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/recover.h"
#include "storage/state_machine.h"

namespace quorate::server {

struct Recovered {
  std::unique_ptr<storage::FileSystem> files;
  std::unique_ptr<storage::DataDir> directory;
  storage::Log::Opened log;
  std::unique_ptr<storage::StateMachine> state;
  storage::OpenStateMachine open;
};

// Blocks. Makes the directory first if it is empty and options.bootstrap says so. Logs what was
// found and how long it took.
storage::Result<Recovered> Recover(const ServerOptions& options, std::uint64_t cluster_id,
                                   Logger& log);

}  // namespace quorate::server
