#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "raft/bytes.h"

namespace quorate {
namespace {

TEST(Bytes, EmptyHoldsNothing) {
  const Bytes none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.view(), "");
  EXPECT_EQ(Bytes::Copy(""), none);
}

TEST(Bytes, CopiesShareTheData) {
  const std::string text("a\0b", 3);
  Bytes first = Bytes::Copy(text);
  const Bytes second = first;
  EXPECT_EQ(first.view().data(), second.view().data());
  EXPECT_EQ(second.view(), text);
  first = Bytes::Copy("other");
  EXPECT_EQ(second.view(), text);  // outlives the one it was copied from
  EXPECT_FALSE(first == second);
}

TEST(Bytes, MoveLeavesNothingBehind) {
  Bytes from = Bytes::Copy("data");
  const char* data = from.view().data();
  Bytes to = std::move(from);
  EXPECT_EQ(to.view().data(), data);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): what this test is about
  to = to;                    // NOLINT(clang-diagnostic-self-assign-overloaded)
  EXPECT_EQ(to.view(), "data");
}

TEST(Bytes, EqualByContent) {
  EXPECT_EQ(Bytes::Copy("abc"), Bytes::Copy("abc"));
  EXPECT_FALSE(Bytes::Copy("abc") == Bytes::Copy("abd"));
}

// Run it under the thread and address sanitizers for its worth.
TEST(Bytes, CountsAcrossThreads) {
  const Bytes shared = Bytes::Copy(std::string(1000, 'x'));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([copy = shared] {
      for (int round = 0; round < 10'000; ++round) {
        const Bytes mine = copy;
        ASSERT_EQ(mine.size(), 1000U);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared.view(), std::string(1000, 'x'));
}

}  // namespace
}  // namespace quorate
