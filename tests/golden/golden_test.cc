// Golden traces: each *.txt beside this file is a scenario for the consensus core, with every
// message, write and role change that it must produce. A reviewer reads them as documentation;
// a change of behaviour shows up as a diff. `golden_test --update` writes the new output.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "interpreter.h"
#include "script.h"

namespace quorate::golden {
namespace {

bool update = false;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What one line does; trouble becomes part of the output, and of the failure.
std::string RunLine(Interpreter& interpreter, const std::string& line) {
  try {
    return interpreter.Run(line);
  } catch (const FailedAssertion& failure) {
    ADD_FAILURE() << line << ": " << failure.what;
  } catch (const BrokenInvariant& broken) {
    ADD_FAILURE() << line << ": " << broken.what;
  } catch (const std::invalid_argument& error) {
    ADD_FAILURE() << line << ": " << error.what();
  }
  return "FAILED\n";
}

class GoldenTrace : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenTrace, IsUnchanged) {
  const std::string before = ReadAll(GetParam());
  ASSERT_FALSE(before.empty()) << "cannot read " << GetParam();
  ASSERT_EQ(before.front(), '#') << "a scenario begins with a comment that says what it shows";
  std::vector<Block> blocks = ParseScript(before);
  Interpreter interpreter;
  for (Block& block : blocks) {
    block.output.clear();
    for (const std::string& line : block.commands) block.output += RunLine(interpreter, line);
  }
  const std::string after = FormatScript(blocks);
  if (update) {
    if (after != before) std::ofstream(GetParam(), std::ios::binary) << after;
  } else {
    EXPECT_EQ(before, after) << "if the new trace is right, run golden_test --update";
  }
}

std::vector<std::filesystem::path> Scenarios() {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(GOLDEN_DIR)) {
    const bool scenario = file.path().extension() == ".txt";
    if (scenario && file.path().filename() != "CMakeLists.txt") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(Scenario, GoldenTrace, testing::ValuesIn(Scenarios()),
                         [](const auto& scenario) { return scenario.param.stem().string(); });

}  // namespace
}  // namespace quorate::golden

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--update") quorate::golden::update = true;
  }
  return RUN_ALL_TESTS();
}
