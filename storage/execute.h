// What one command does.
//
//   execute.cc              which kind it is; exactly once; ranges
//   execute_value.h         puts, deletes, compare-and-set, increments, appends
//   execute_transaction.h   several of them as one
//   sessions.h              sessions, their answers, and the cluster clock
#pragma once

#include "client/proto/wire.pb.h"
#include "raft/entry.h"
#include "storage/key_space.h"
#include "storage/sessions.h"

namespace quorate::storage {

// Decides by the entry and the state alone, so that every node decides alike: no clock, no limit
// that a version might change. `scratch` is parsed into; keeping it between calls saves its
// allocations. After the last entry of a batch: sessions.WriteRows(keys). After an error of one the
// batch must not be written, and the sessions be loaded again.
Result<Applied> Execute(const raft::Entry& entry, wire::Command& scratch, KeySpace& keys,
                        Sessions& sessions);

// Opens, keeps, closes or ends sessions: a command about them, where others may be of one.
bool IsSessionOperation(const wire::Command& command);

}  // namespace quorate::storage
