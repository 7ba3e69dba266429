// Comparisons and operations on several keys, as one.
#pragma once

#include "client/proto/wire.pb.h"
#include "storage/execute_value.h"

namespace quorate::storage {

// All of a branch, or, if a part of it fails, nothing and that part's outcome. Fills `result`.
Result<Part> Execute(const wire::Transaction& command, const Change& change,
                     wire::WriteResult& result);

}  // namespace quorate::storage
