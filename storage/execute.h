// What one command does to the keys.
#pragma once

#include "client/proto/wire.pb.h"
#include "raft/entry.h"
#include "storage/change_set.h"
#include "storage/state_machine.h"

namespace quorate::storage {

// Decides by the entry and the keys alone, so that every node decides alike: no clock, no limit
// that a version might change. `scratch` is parsed into; keeping it between calls saves its
// allocations.
Result<Applied> Execute(const raft::Entry& entry, wire::Command& scratch, ChangeSet& changes);

}  // namespace quorate::storage
