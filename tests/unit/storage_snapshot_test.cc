// Snapshots on both sides: taken, read in pieces, fetched, gone on with after a stop of any kind.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "storage/crc32c.h"
#include "storage/files.h"
#include "storage/snapshot.h"
#include "tests/unit/fake_state_machine.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::storage {
namespace {

using Contents = std::map<std::string, std::string>;

constexpr char kKept[] = "/node/snapshots";
constexpr char kIncoming[] = "/node/db-00000002";

const raft::Configuration kFounding = raft::Configuration::Bootstrap({{1, {}, "a"}});
const raft::Configuration kLater = raft::Configuration::Bootstrap({{1, {}, "a"}, {2, {}, "b"}});

Contents SomeContents() {
  std::mt19937_64 random(5);
  Contents contents = {{"CURRENT", "MANIFEST-5\n"}, {"EMPTY", ""}};
  for (const char* name : {"000001.sst", "000002.sst", "000009.sst"}) {
    std::string& bytes = contents[name];
    for (std::uint64_t size = 1'000 + random() % 3'000; size > 0; --size) {
      bytes += static_cast<char>(random());
    }
  }
  return contents;
}

Contents ContentsOf(FileSystem& files, const std::string& directory) {
  Contents contents;
  const auto names = files.List(directory);
  EXPECT_TRUE(names);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    contents[name] = *ReadSmallFile(files, directory + "/" + name, 1 << 20);
  }
  return contents;
}

class SnapshotStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory("/node"));
    files_.Settle();
  }

  MemoryFileSystem files_;
  SnapshotStore store_{files_, kKept, 0xabc};
  FakeStateMachine state_{files_, {{42, 3}, kLater}, SomeContents()};
};

TEST_F(SnapshotStoreTest, AManifestSaysWhatThereIs) {
  const auto taken = store_.Take(state_, kFounding, 7);
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->id, 7);
  EXPECT_EQ(taken->cluster_id, 0xabc);
  EXPECT_EQ(taken->mark, (raft::SnapshotMark{{42, 3}, kLater}));
  ASSERT_EQ(taken->files.size(), SomeContents().size());
  for (const SnapshotFile& file : taken->files) {
    const std::string bytes = SomeContents().at(file.name);
    EXPECT_EQ(file.bytes, bytes.size());
    EXPECT_EQ(file.crc32c, Crc32c(bytes));
  }
  EXPECT_TRUE(Manifest::Decode(taken->Encode())) << "its names and order are those allowed";
  EXPECT_EQ(*store_.Find(7), *taken);
  EXPECT_EQ(store_.Find(8), nullptr);
}

TEST_F(SnapshotStoreTest, WithoutAConfigurationAppliedTheFoundingOneCounts) {
  FakeStateMachine state(files_, {{2, 1}, {}}, SomeContents());
  EXPECT_EQ(store_.Take(state, kFounding, 7)->mark.configuration, kFounding);
}

TEST_F(SnapshotStoreTest, FilesAreReadInPieces) {
  const auto taken = store_.Take(state_, kFounding, 7);
  ASSERT_TRUE(taken);
  for (std::size_t number = 0; number < taken->files.size(); ++number) {
    const std::string bytes = SomeContents().at(taken->files[number].name);
    std::string read;
    while (read.size() < bytes.size()) {
      const auto piece = store_.Read(7, number, read.size(), 100);
      ASSERT_TRUE(piece && !piece->empty());
      read += *piece;
    }
    EXPECT_EQ(read, bytes);
    EXPECT_EQ(*store_.Read(7, number, bytes.size(), 100), "");
  }
  EXPECT_EQ(store_.Read(7, taken->files.size(), 0, 100).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(store_.Read(8, 0, 0, 100).error().code, ErrorCode::kNotFound);
}

TEST_F(SnapshotStoreTest, WhatIsDroppedIsGone) {
  ASSERT_TRUE(store_.Take(state_, kFounding, 7));
  ASSERT_TRUE(store_.Take(state_, kFounding, 8));
  ASSERT_TRUE(store_.Drop(7));
  EXPECT_TRUE(store_.Drop(7)) << "already";
  EXPECT_EQ(store_.Read(7, 0, 0, 100).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store_.Read(8, 0, 0, 100));
  EXPECT_EQ(files_.List(kKept)->size(), 1);
}

TEST_F(SnapshotStoreTest, SnapshotsOfAnEarlierLifeAreRemoved) {
  ASSERT_TRUE(store_.Take(state_, kFounding, 7));
  // As a checkpoint that was cut short leaves it.
  ASSERT_TRUE(files_.CreateDirectory(std::string(kKept) + "/0000000000000008.tmp"));
  SnapshotStore next(files_, kKept, 0xabc);
  ASSERT_TRUE(next.Clear());
  EXPECT_TRUE(files_.List(kKept)->empty());
  EXPECT_TRUE(next.Take(state_, kFounding, 7));
  EXPECT_TRUE(SnapshotStore(files_, "/node/none", 0xabc).Clear()) << "fine if there never were any";
}

TEST_F(SnapshotStoreTest, AFullDiskLeavesNothingBehind) {
  ASSERT_TRUE(files_.CreateDirectory(kKept));
  files_.SetFull(true);
  const auto taken = store_.Take(state_, kFounding, 7);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kNoSpace);
  EXPECT_TRUE(files_.List(kKept)->empty());
  EXPECT_EQ(store_.Find(7), nullptr);
  files_.SetFull(false);
  EXPECT_TRUE(store_.Take(state_, kFounding, 7));
}

class IncomingSnapshotTest : public SnapshotStoreTest {
 protected:
  void SetUp() override {
    SnapshotStoreTest::SetUp();
    manifest_ = *store_.Take(state_, kFounding, 7);
    files_.Settle();
  }
  Result<IncomingSnapshot> Open() { return IncomingSnapshot::Open(files_, kIncoming, manifest_); }

  std::string BytesOf(const Chunk& chunk) const {
    return source_.at(manifest_.files.at(chunk.file).name).substr(chunk.offset, chunk.bytes);
  }
  // Fetches what is still missing, or until something fails.
  Status Fetch(IncomingSnapshot& incoming, std::size_t piece_bytes = 300) {
    while (const std::optional<Chunk> chunk = incoming.Next(piece_bytes)) {
      fetched_ += chunk->bytes;
      QUORATE_RETURN_IF_ERROR(incoming.Write(*chunk, BytesOf(*chunk)));
    }
    return incoming.Finish();
  }
  std::string PathOf(const std::string& name) const { return std::string(kIncoming) + "/" + name; }

  Manifest manifest_;
  Contents source_ = SomeContents();  // where pieces come from
  std::uint64_t fetched_ = 0;
};

TEST_F(IncomingSnapshotTest, BecomesACopyThatIsDurable) {
  auto incoming = Open();
  ASSERT_TRUE(incoming) << incoming.error().message;
  EXPECT_EQ(incoming->received(), 0);
  EXPECT_FALSE(incoming->complete());
  const Status fetched = Fetch(*incoming);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_TRUE(incoming->complete());
  ASSERT_TRUE(files_.SyncDirectory("/node")) << "the directory's own name is the caller's";
  files_.PowerCutLosingAll();
  EXPECT_EQ(ContentsOf(files_, kIncoming), SomeContents());
  EXPECT_EQ(fetched_, manifest_.bytes());
}

TEST_F(IncomingSnapshotTest, PiecesAreHandedOutOnceInOrder) {
  auto incoming = Open();
  std::uint64_t handed_out = 0;
  std::optional<Chunk> last;
  while (const std::optional<Chunk> chunk = incoming->Next(256)) {
    ASSERT_GT(chunk->bytes, 0);
    ASSERT_LE(chunk->bytes, 256);
    if (last) {
      ASSERT_TRUE(chunk->file > last->file ||
                  (chunk->file == last->file && chunk->offset == last->offset + last->bytes));
    }
    handed_out += chunk->bytes;
    last = chunk;
  }
  EXPECT_EQ(handed_out, manifest_.bytes());
  incoming->Rewind();
  EXPECT_TRUE(Fetch(*incoming)) << "and again what was never written";
}

TEST_F(IncomingSnapshotTest, RewindKeepsWhatIsWritten) {
  auto incoming = Open();
  for (int i = 0; i < 5; ++i) {
    const Chunk chunk = *incoming->Next(500);
    ASSERT_TRUE(incoming->Write(chunk, BytesOf(chunk)));
  }
  const std::uint64_t received = incoming->received();
  incoming->Next(500);
  incoming->Next(500);
  incoming->Rewind();
  ASSERT_TRUE(Fetch(*incoming));
  EXPECT_EQ(fetched_, manifest_.bytes() - received);
}

TEST_F(IncomingSnapshotTest, WhatIsNotNextIsRefused) {
  auto incoming = Open();
  const Chunk first = *incoming->Next(100);
  const Chunk second = *incoming->Next(100);
  const std::string bytes(100, 'x');
  const auto refused = [&](const Chunk& chunk, const std::string& piece) {
    const Status written = incoming->Write(chunk, piece);
    return !written && written.error().code == ErrorCode::kInvalid;
  };
  EXPECT_TRUE(refused(second, bytes));
  EXPECT_TRUE(refused({manifest_.files.size(), 0, 100}, bytes));
  EXPECT_TRUE(refused(first, bytes.substr(1)));
  EXPECT_TRUE(refused({first.file, 0, 10'000}, std::string(10'000, 'x'))) << "beyond its end";
  EXPECT_EQ(incoming->received(), 0);
  EXPECT_TRUE(incoming->Write(first, bytes));
  EXPECT_TRUE(refused(first, bytes)) << "twice";
}

TEST_F(IncomingSnapshotTest, OnlyWhatDoesNotMatchIsFetchedAgain) {
  {
    auto incoming = Open();
    ASSERT_TRUE(Fetch(*incoming));
  }
  for (const SnapshotFile& file : manifest_.files) {
    if (file.bytes == 0) continue;
    files_.Written(PathOf(file.name)).back() ^= 1;
    auto incoming = Open();
    ASSERT_TRUE(incoming);
    EXPECT_TRUE(incoming->complete()) << "its length is right";
    EXPECT_EQ(incoming->Next(300), std::nullopt);
    const Status finished = incoming->Finish();
    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(incoming->received(), manifest_.bytes() - file.bytes);
    fetched_ = 0;
    ASSERT_TRUE(Fetch(*incoming));
    EXPECT_EQ(fetched_, file.bytes);
    EXPECT_EQ(ContentsOf(files_, kIncoming), SomeContents());
  }
}

TEST_F(IncomingSnapshotTest, WhatDoesNotBelongIsRemoved) {
  ASSERT_TRUE(files_.CreateDirectory(kIncoming));
  for (const char* name : {"LOG", "000003.sst", "CURRENT"}) {
    auto file = files_.Open(PathOf(name), OpenMode::kCreate);
    ASSERT_TRUE((*file)->Write(0, "much longer than what the snapshot has there"));
  }
  auto incoming = Open();
  ASSERT_TRUE(incoming);
  EXPECT_EQ(incoming->received(), 0);
  ASSERT_TRUE(Fetch(*incoming));
  EXPECT_EQ(ContentsOf(files_, kIncoming), SomeContents());
}

// Another node's snapshot of nearly the same state: equal files are not fetched again, and of one
// that only begins alike nothing wrong stays.
TEST_F(IncomingSnapshotTest, GoesOnWithAnotherSnapshot) {
  {
    auto incoming = Open();
    ASSERT_TRUE(Fetch(*incoming));
  }
  Contents other = SomeContents();
  other["000009.sst"] = std::string(5'000, 'o');  // longer than the one that is here
  FakeStateMachine state(files_, {{43, 3}, kLater}, other);
  manifest_ = *store_.Take(state, kFounding, 8);
  source_ = other;
  fetched_ = 0;
  auto incoming = Open();
  ASSERT_TRUE(incoming);
  const Status first = Fetch(*incoming);
  ASSERT_FALSE(first) << "what was here of that file is not how it begins";
  EXPECT_EQ(first.error().code, ErrorCode::kCorrupt);
  ASSERT_TRUE(Fetch(*incoming));
  EXPECT_EQ(ContentsOf(files_, kIncoming), other);
  EXPECT_LT(fetched_, 2 * 5'000);
}

TEST_F(IncomingSnapshotTest, AFullDiskIsWaitedFor) {
  auto incoming = Open();
  ASSERT_TRUE(incoming);
  files_.SetFull(true);
  const Status refused = Fetch(*incoming);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(incoming->received(), 0);
  files_.SetFull(false);
  incoming->Rewind();
  ASSERT_TRUE(Fetch(*incoming));
  EXPECT_EQ(ContentsOf(files_, kIncoming), SomeContents());
}

// Whenever the process or the machine dies, fetching goes on and ends with the right bytes.
TEST_F(IncomingSnapshotTest, MayDieAtAnyOperation) {
  std::uint64_t operations = 0;
  for (bool finished = false; !finished; ++operations) {
    finished = true;
    for (std::uint64_t variant = 0; variant < 12; ++variant) {
      files_ = MemoryFileSystem();
      ASSERT_TRUE(files_.CreateDirectory("/node"));
      files_.Settle();
      std::mt19937_64 random(variant);
      files_.FailAfter(operations);
      bool done = false;
      if (auto incoming = Open()) done = Fetch(*incoming, 1'000).has_value();
      finished = finished && done;
      if (variant == 0) {
        files_.Kill();
      } else {
        files_.PowerCut(random);
      }
      auto incoming = Open();
      ASSERT_TRUE(incoming) << operations << ": " << incoming.error().message;
      Status fetched = Fetch(*incoming, 1'000);
      // Bytes of which only the length was durable are found out, once.
      if (!fetched) {
        ASSERT_EQ(fetched.error().code, ErrorCode::kCorrupt) << fetched.error().message;
        fetched = Fetch(*incoming, 1'000);
      }
      ASSERT_TRUE(fetched) << operations << ": " << fetched.error().message;
      // Durable too, what the life before had written and not synced included.
      ASSERT_TRUE(files_.SyncDirectory("/node"));
      files_.PowerCutLosingAll();
      ASSERT_EQ(ContentsOf(files_, kIncoming), SomeContents()) << operations << " " << variant;
    }
  }
  EXPECT_GT(operations, 20);
}

}  // namespace
}  // namespace quorate::storage
