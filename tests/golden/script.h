// The text of a golden trace: comments, commands, and the output that they are known to produce.
//
//   # What the scenario shows.
//
//   command arguments...
//   command arguments...
//   ----
//   expected output, up to the next blank line
#pragma once

#include <string>
#include <vector>

namespace quorate::golden {

// Either a run of comments and blank lines, or commands with the output they produce together.
struct Block {
  std::string comment;                // verbatim, with line ends; empty in a block of commands
  std::vector<std::string> commands;  // without line ends
  std::string output;                 // lines, each with its end
};

// Commands that print nothing have no `----`.
std::vector<Block> ParseScript(const std::string& text);
std::string FormatScript(const std::vector<Block>& blocks);

}  // namespace quorate::golden
