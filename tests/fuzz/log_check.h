// Whether a log opens to what its files hold.
//
// What that is, is worked out here from the documented layout, never by asking the code under test.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace quorate::fuzz {

// Segment files by sequence number, which are consecutive from 1.
using Segments = std::map<std::uint32_t, std::string>;

// Opens the log on a disk in memory. If it opens, asserts that it holds what the files do, goes on
// holding it without what was not synced, and can be written; if not, that nothing was changed.
// False: it does not open.
bool CheckLog(const Segments& segments);

}  // namespace quorate::fuzz
