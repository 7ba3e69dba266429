// The encoded configuration: round trips, and no damage to it is ever taken for another length or
// makes the decoder fail in any way but by refusing.
#include <gtest/gtest.h>

#include <string>

#include "raft/configuration.h"

namespace quorate::raft {
namespace {

Configuration Joint() {
  Configuration configuration = Configuration::Bootstrap(
      {{3, {7, 8}, "host3:7103"}, {1, {5, 6}, "127.0.0.1:7101"}, {2, {}, ""}});
  configuration.incarnation = 0x1122334455667788;
  configuration.voters.outgoing = {1, 2};
  configuration.learners = {9};
  return configuration;
}

TEST(RaftConfiguration, BootstrapOrdersMembersAndAllVote) {
  const Configuration configuration = Configuration::Bootstrap({{2, {}, "b"}, {1, {}, "a"}});
  EXPECT_EQ(configuration.voters.incoming, (std::vector<NodeId>{1, 2}));
  EXPECT_EQ(configuration.members.front().id, 1U);
  EXPECT_EQ(configuration.incarnation, 0U);
  EXPECT_FALSE(configuration.AllMembersMet());
  EXPECT_EQ(configuration.Find(2)->address, "b");
  EXPECT_EQ(configuration.Find(3), nullptr);
}

TEST(RaftConfiguration, RoundTrip) {
  for (const Configuration& configuration : {Configuration{}, Joint()}) {
    const auto decoded = Configuration::Decode(configuration.Encode());
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(*decoded, configuration);
  }
}

TEST(RaftConfiguration, EveryTruncationIsRefused) {
  const std::string encoded = Joint().Encode();
  for (std::size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_FALSE(Configuration::Decode(encoded.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(Configuration::Decode(encoded + '\0').has_value());
}

// A checksum is the log's business; here a flipped bit either changes the value or is refused.
TEST(RaftConfiguration, EveryFlippedBitIsNoticed) {
  const Configuration original = Joint();
  const std::string encoded = original.Encode();
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    std::string damaged = encoded;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const auto decoded = Configuration::Decode(damaged);
    if (!decoded) {
      ++refused;
    } else {
      EXPECT_NE(*decoded, original) << "bit " << bit;
      EXPECT_EQ(decoded->Encode(), damaged) << "bit " << bit;
    }
  }
  EXPECT_GT(refused, 0U);
}

TEST(RaftConfiguration, HugeCountsAreRefusedWithoutAllocating) {
  std::string encoded = Configuration{}.Encode();
  const std::size_t count_at = 1 + 8 + 4;
  for (std::size_t i = 0; i < 4; ++i) encoded[count_at + i] = '\xff';
  EXPECT_FALSE(Configuration::Decode(encoded).has_value());
}

}  // namespace
}  // namespace quorate::raft
