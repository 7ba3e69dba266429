#include "tests/sim/virtual_disk.h"

#include <gtest/gtest.h>

namespace quorate::sim {
namespace {

using storage::OpenMode;

constexpr char kFile[] = "/d/x";

DiskPlan Plan() {
  DiskPlan plan;
  plan.page_bytes = 512;
  plan.sync_min = plan.sync_max = SimTime{1'000};
  return plan;
}

// A disk that holds one durable file.
struct Machine {
  VirtualDisk disk;
  std::unique_ptr<storage::File> file;

  explicit Machine(std::uint64_t seed, const std::string& content, DiskPlan plan = Plan())
      : disk(plan, Random(seed)) {
    disk.Begin(SimTime{0});
    file = std::move(*disk.Open(kFile, OpenMode::kCreate));
    Write(0, content);
    Sync();
    EXPECT_TRUE(disk.SyncDirectory("/d"));
    EXPECT_LT(disk.End(), Millis(10));
    disk.Begin(Millis(10));
  }

  void Write(std::uint64_t offset, const std::string& data) {
    EXPECT_TRUE(file->Write(offset, data));
  }
  void Sync() { EXPECT_TRUE(file->Sync()); }
  // What the next process finds; "none" if the name is gone.
  std::string Find(const std::string& path = kFile) {
    disk.Begin(Seconds(10));
    auto found = disk.Open(path, OpenMode::kReadOnly);
    return found ? *(*found)->Read(0, 1 << 20) : std::string("none");
  }
};

TEST(VirtualDisk, KeepsWhatWasSynced) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine machine(seed, "old");
    machine.Write(0, "new");
    machine.Sync();
    machine.disk.CutPower(machine.disk.End());
    EXPECT_EQ(machine.Find(), "new");
  }
}

TEST(VirtualDisk, ASyncCountsOnlyAtItsEnd) {
  int kept = 0, lost = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed, "old");
    machine.Write(0, "new");
    machine.Sync();
    machine.disk.CutPower(machine.disk.End() - SimTime{1});
    const std::string found = machine.Find();
    kept += found == "new";
    lost += found == "old";
  }
  EXPECT_EQ(kept + lost, 50);
  EXPECT_GT(kept, 0);
  EXPECT_GT(lost, 0);
}

TEST(VirtualDisk, TearsBetweenPagesInAnyOrderButNotWithinOne) {
  int torn = 0, out_of_order = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed, std::string(1'024, 'a'));
    machine.Write(0, std::string(1'024, 'b'));
    machine.disk.CutPower(Millis(11));
    const std::string found = machine.Find();
    ASSERT_EQ(found.size(), 1'024U);
    for (std::size_t page = 0; page < 2; ++page) {
      EXPECT_EQ(found.substr(page * 512, 512), std::string(512, found[page * 512]));
    }
    torn += found[0] != found[512];
    out_of_order += found[0] == 'a' && found[512] == 'b';
  }
  EXPECT_GT(torn, 0);
  EXPECT_GT(out_of_order, 0);
}

TEST(VirtualDisk, ACrashUndoesWhatWorkDidAheadOfTheClock) {
  Machine machine(1, "old");
  machine.Write(0, "new");
  machine.Sync();             // takes a millisecond
  machine.Write(0, "newer");  // after it
  machine.disk.KillProcess(Millis(10) + SimTime{500});
  EXPECT_EQ(machine.Find(), "new");  // the sync was under way; the second write had not begun
}

TEST(VirtualDisk, AKilledProcessLosesNothingThatItWrote) {
  Machine machine(1, "old");
  machine.Write(0, "new");
  machine.disk.KillProcess(Millis(11));
  EXPECT_EQ(machine.Find(), "new");
}

TEST(VirtualDisk, ForgottenPagesAreReadableButNotSyncedAgain) {
  DiskPlan plan = Plan();
  plan.forgets_unsynced = true;
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed, "old", plan);
    machine.Write(0, "new");
    machine.disk.KillProcess(Millis(11));
    EXPECT_EQ(machine.Find(), "new");
    machine.Sync();
    machine.disk.CutPower(machine.disk.End());
    lost += machine.Find() == "old";
  }
  EXPECT_GT(lost, 0);
}

TEST(VirtualDisk, NamesAreDurableOnlyAfterADirectorySync) {
  int kept = 0, lost = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Machine machine(seed, "content");
    ASSERT_TRUE(machine.disk.Rename(kFile, "/d/y"));
    machine.disk.CutPower(Millis(11));
    const bool renamed = machine.Find("/d/y") == "content";
    EXPECT_NE(renamed, machine.Find() == "content") << "a rename happens as a whole or not at all";
    kept += renamed;
    lost += !renamed;
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(lost, 0);
}

TEST(VirtualDisk, ADirectorySyncKeepsTheName) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine machine(seed, "content");
    ASSERT_TRUE(machine.disk.Rename(kFile, "/d/y"));
    ASSERT_TRUE(machine.disk.SyncDirectory("/d"));
    machine.disk.CutPower(machine.disk.End());
    EXPECT_EQ(machine.Find("/d/y"), "content");
    EXPECT_EQ(machine.Find(), "none");
  }
}

TEST(VirtualDisk, KnowsWhatNoSyncCovers) {
  Machine machine(1, "old");
  EXPECT_FALSE(machine.disk.HasUnsyncedWrites("/x"));
  machine.Write(0, "new");
  EXPECT_TRUE(machine.disk.HasUnsyncedWrites("/x"));
  machine.Sync();
  EXPECT_FALSE(machine.disk.HasUnsyncedWrites("/x"));
}

TEST(VirtualDisk, AFailedSyncLeavesPagesThatReadWellAndAreLostWithThePower) {
  Machine machine(1, "old");
  machine.Write(0, "new");
  machine.disk.FailNextSync();
  EXPECT_EQ(machine.file->Sync().error().code, storage::ErrorCode::kIo);
  machine.Sync();  // succeeds, and covers nothing
  machine.disk.KillProcess(machine.disk.End());
  EXPECT_EQ(machine.Find(), "new");
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine other(seed, "old");
    other.Write(0, "new");
    other.disk.FailNextSync();
    EXPECT_FALSE(other.file->Sync());
    other.Sync();
    other.disk.CutPower(other.disk.End());
    lost += other.Find() == "old";
  }
  EXPECT_GT(lost, 0);
  EXPECT_EQ(machine.disk.failures(), 1U);
}

TEST(VirtualDisk, AfterAFailedSyncWhatIsWrittenAgainIsCovered) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine machine(seed, "old");
    machine.Write(0, "new");
    machine.disk.FailNextSync();
    EXPECT_FALSE(machine.file->Sync());
    machine.Write(0, "new");
    machine.Sync();
    machine.disk.CutPower(machine.disk.End());
    EXPECT_EQ(machine.Find(), "new");
  }
}

TEST(VirtualDisk, AFailedWriteLeavesAPrefix) {
  Machine machine(1, "old");
  machine.disk.FailNextWrite();
  EXPECT_EQ(machine.file->Write(3, "abc").error().code, storage::ErrorCode::kIo);
  EXPECT_EQ(std::string("oldabc").rfind(machine.Find(), 0), 0U);
  machine.Write(3, "abc");
}

TEST(VirtualDisk, AFullDiskTakesNeitherBytesNorNames) {
  Machine machine(1, "old");
  machine.disk.FillUp(2);
  machine.Write(0, "new!!");  // grows by what there is
  EXPECT_EQ(machine.file->Write(5, "x").error().code, storage::ErrorCode::kNoSpace);
  EXPECT_EQ(machine.disk.Open("/d/y", OpenMode::kCreate).error().code,
            storage::ErrorCode::kNoSpace);
  machine.Write(0, "again");  // in place
  EXPECT_EQ(machine.disk.refusals(), 2U);
  machine.disk.FreeUp();
  EXPECT_TRUE(machine.disk.Open("/d/y", OpenMode::kCreate));
}

TEST(VirtualDisk, RotFlipsOneDurableBit) {
  Machine machine(1, "old");
  machine.disk.CutPower(machine.disk.End());
  ASSERT_TRUE(machine.disk.Rot());
  const std::string found = machine.Find();
  int bits = 0;
  for (std::size_t i = 0; i < 3; ++i) bits += __builtin_popcount((found[i] ^ "old"[i]) & 0xff);
  EXPECT_EQ(bits, 1);
}

TEST(VirtualDisk, ALockHasOneHolder) {
  Machine machine(1, "old");
  auto held = machine.disk.Lock("/d/LOCK");
  ASSERT_TRUE(held);
  EXPECT_EQ(machine.disk.Lock("/d/LOCK").error().code, storage::ErrorCode::kLocked);
  held->reset();
  EXPECT_TRUE(machine.disk.Lock("/d/LOCK"));
}

}  // namespace
}  // namespace quorate::sim
