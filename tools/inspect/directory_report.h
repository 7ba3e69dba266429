// What a data directory says about itself: `quorate-inspect identity`, and the head of what others
// print.
#pragma once

#include <string>

#include "storage/file_system.h"
#include "tools/inspect/report.h"

namespace quorate::inspect {

// True if it holds, or once held, a node's data.
bool IsDataDirectory(storage::FileSystem& files, const std::string& directory);

void ReportDirectory(storage::FileSystem& files, const std::string& directory, Report& report);

}  // namespace quorate::inspect
