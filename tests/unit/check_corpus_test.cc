// Recorded histories of other systems, with known verdicts. They lie beside the project, not in it.
#include <gtest/gtest.h>

#include <filesystem>

#include "jepsen/check/check.h"
#include "jepsen/check/corpus.h"

namespace quorate::check {
namespace {

TEST(Corpus, VerdictsAreAsExpected) {
  const std::string directory = QUORATE_HISTORIES;
  if (!std::filesystem::exists(directory + "/verdicts.txt")) {
    GTEST_SKIP() << "no recorded histories in " << directory;
  }
  std::string error;
  const std::vector<CorpusEntry> entries = ReadCorpus(directory, error);
  ASSERT_EQ(error, "");
  ASSERT_GT(entries.size(), 100U);
  for (const CorpusEntry& entry : entries) {
    const CorpusOutcome outcome = CheckEntry(directory, entry, {});
    EXPECT_TRUE(outcome.agrees()) << entry.file << ' ' << outcome.error;
  }
}

}  // namespace
}  // namespace quorate::check
