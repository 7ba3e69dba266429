// Readable forms of what the core says and knows: for golden traces, the simulator's traces and
// debug logs.
#pragma once

#include <string>

#include "raft/raft.h"

namespace quorate::raft {

std::string ToString(const Message& message);
std::string ToString(const Ready& ready);  // several lines, without its messages
std::string ToString(const Configuration& configuration);
const char* ToString(EntryKind kind);
const char* ToString(ReadFailure failure);
const char* ToString(ProposeError error);
const char* ToString(ProgressState state);

}  // namespace quorate::raft
