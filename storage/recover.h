// From a data directory to a log and a state machine that fit together, after a stop of any kind.
#pragma once

#include <memory>
#include <string>

#include "storage/data_dir.h"
#include "storage/log.h"
#include "storage/result.h"
#include "storage/state_machine.h"

namespace quorate::storage {

struct RecoveredNode {
  Log::Opened log;
  std::unique_ptr<StateMachine> state;
  // A crash had cut the installation of a snapshot short behind its commit point; it is finished.
  bool finished_install = false;
};

// Opens both. The database is never ahead of the log (entries are applied only once they are
// durable), with one exception: it is at exactly the snapshot that CURRENT says was installed, and
// a crash came before the log was emptied for it. Then the log is emptied now, its term and vote
// kept. Anything else is kCorrupt: one of the two was replaced or damaged. Removes databases that
// do not count, and kept snapshots; a snapshot on its way in stays, to be gone on with.
Result<RecoveredNode> RecoverNode(FileSystem& files, DataDir& directory, const LogOptions& options,
                                  const OpenStateMachine& open);

}  // namespace quorate::storage
