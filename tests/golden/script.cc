#include "script.h"

#include <sstream>

namespace quorate::golden {
namespace {

bool IsComment(const std::string& line) {
  return line.empty() || line.front() == '#';
}

}  // namespace

std::vector<Block> ParseScript(const std::string& text) {
  std::vector<Block> blocks;
  std::istringstream in(text);
  std::string line;
  enum { kBetween, kCommands, kOutput } part = kBetween;
  while (std::getline(in, line)) {
    if (part != kBetween && line.empty()) {
      part = kBetween;  // the blank line that ends a block is written again by FormatScript
    } else if (part == kOutput) {
      blocks.back().output += line + "\n";
    } else if (part == kCommands && line == "----") {
      part = kOutput;
    } else if (part == kCommands) {
      blocks.back().commands.push_back(line);
    } else if (IsComment(line)) {
      if (blocks.empty() || !blocks.back().commands.empty()) blocks.emplace_back();
      blocks.back().comment += line + "\n";
    } else {
      blocks.push_back({"", {line}, ""});
      part = kCommands;
    }
  }
  return blocks;
}

std::string FormatScript(const std::vector<Block>& blocks) {
  std::string text;
  for (const Block& block : blocks) {
    text += block.comment;
    if (block.commands.empty()) continue;
    for (const std::string& command : block.commands) text += command + "\n";
    if (!block.output.empty()) text += "----\n" + block.output;
    if (&block != &blocks.back()) text += "\n";
  }
  return text;
}

}  // namespace quorate::golden
