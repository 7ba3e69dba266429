// The list of a snapshot's files: it arrives over the network and lies on disks, so nothing in it
// is believed.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "storage/crc32c.h"
#include "storage/little_endian.h"
#include "storage/manifest.h"

namespace quorate::storage {
namespace {

Manifest Sample() {
  Manifest manifest;
  manifest.id = 0x1122334455667788;
  manifest.cluster_id = 0xabc;
  manifest.mark.position = {1234, 5};
  manifest.mark.configuration =
      raft::Configuration::Bootstrap({{1, {7, 8}, "one:1"}, {2, {}, "two:2"}});
  manifest.files = {
      {"000007.sst", 4096, 0x01020304}, {"CURRENT", 16, 5}, {"MANIFEST-000004", 0, 0}};
  return manifest;
}

// With the checksum that it should have.
std::string Sealed(std::string data) {
  data.resize(data.size() - 4);
  AppendInt(data, Crc32c(data));
  return data;
}

void ExpectRefused(const std::string& data, ErrorCode code) {
  const Result<Manifest> decoded = Manifest::Decode(data);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, code) << decoded.error().message;
}

TEST(ManifestTest, SurvivesTheTrip) {
  const Result<Manifest> decoded = Manifest::Decode(Sample().Encode());
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, Sample());
  EXPECT_EQ(decoded->bytes(), 4112);
  EXPECT_EQ(*Manifest::Decode(Manifest().Encode()), Manifest()) << "no files";
}

TEST(ManifestTest, EveryTruncationAndExtensionIsRefused) {
  const std::string whole = Sample().Encode();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ExpectRefused(whole.substr(0, size), ErrorCode::kCorrupt);
  }
  ExpectRefused(whole + '\0', ErrorCode::kCorrupt);
}

TEST(ManifestTest, EveryFlippedBitIsRefused) {
  const std::string whole = Sample().Encode();
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ExpectRefused(damaged, ErrorCode::kCorrupt);
  }
}

TEST(ManifestTest, ANewerFormatIsNamed) {
  std::string data = Sample().Encode();
  data[8] = 2;
  ExpectRefused(Sealed(data), ErrorCode::kMismatch);
}

TEST(ManifestTest, NamesThatLeadElsewhereAreRefused) {
  const std::string longest(64, 'x');
  for (const std::string& name :
       {std::string(), std::string("../x"), std::string(".hidden"), std::string("a/b"),
        std::string("a\0b", 3), std::string("a b"), std::string("\xc3\xa4"), longest + "x"}) {
    SCOPED_TRACE(name);
    Manifest manifest = Sample();
    manifest.files = {{name, 1, 1}};
    ExpectRefused(manifest.Encode(), ErrorCode::kCorrupt);
  }
  Manifest manifest = Sample();
  manifest.files = {{longest, 1, 1}};
  EXPECT_TRUE(Manifest::Decode(manifest.Encode()));
}

TEST(ManifestTest, FilesAreAscendingAndEachIsThereOnce) {
  Manifest manifest = Sample();
  std::swap(manifest.files[0], manifest.files[1]);
  ExpectRefused(manifest.Encode(), ErrorCode::kCorrupt);
  manifest.files = {{"a", 1, 1}, {"a", 1, 1}};
  ExpectRefused(manifest.Encode(), ErrorCode::kCorrupt);
}

// Sums of sizes must not wrap: they decide how much room is asked for.
TEST(ManifestTest, SizesThatCannotBeAreRefused) {
  Manifest manifest = Sample();
  manifest.files = {{"a", UINT64_MAX / 2, 1}, {"b", UINT64_MAX / 2, 1}, {"c", UINT64_MAX / 2, 1}};
  ExpectRefused(manifest.Encode(), ErrorCode::kCorrupt);
}

// A count of 4 billion in a few bytes must cost neither memory nor time.
TEST(ManifestTest, AForgedCountIsRefused) {
  Manifest manifest = Sample();
  manifest.files.clear();
  for (const std::uint32_t count : {1U, 100'000U, 100'001U, UINT32_MAX}) {
    std::string data = manifest.Encode();
    StoreInt(data.data() + data.size() - 8, count);
    ExpectRefused(Sealed(data), ErrorCode::kCorrupt);
  }
}

TEST(ManifestTest, AnyBytesWithAGoodChecksumAreDecodedOrRefused) {
  std::mt19937_64 random(3);
  const std::string whole = Sample().Encode();
  for (int round = 0; round < 20'000; ++round) {
    std::string data = whole;
    for (std::uint64_t changes = random() % 4 + 1; changes > 0; --changes) {
      data[12 + random() % (data.size() - 12)] = static_cast<char>(random());
    }
    const Result<Manifest> decoded = Manifest::Decode(Sealed(data));
    if (!decoded) continue;
    EXPECT_EQ(decoded->Encode(), Sealed(data)) << "one form for each manifest";
  }
}

}  // namespace
}  // namespace quorate::storage
