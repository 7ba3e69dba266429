// What the commands that write share.
#pragma once

#include <cstddef>
#include <string>

#include "tools/command.h"
#include "tools/output.h"

namespace quorate::tools {

// "-" stands for everything on stdin, as it is, up to one byte more than `most`: enough to know
// that it is too large.
std::string ValueOrStdin(const std::string& argument, std::size_t most = std::size_t{1} << 20);

// Nobody can say whether a write that was under way when Ctrl-C came has been applied.
void ExplainInterruptedWrite(Interrupt& interrupt);

Json KeyJson(const std::string& key);

// Reports how a write went; `json` has what is to be said besides.
ExitCode FinishWrite(const Settings& settings, Json json, const Result<WriteReply>& reply);

}  // namespace quorate::tools
