// The state machine on RocksDB: atomic with its position, exact in every read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "client/proto/wire.pb.h"
#include "storage/state_machine.h"

namespace quorate::storage {
namespace {

using Cost = StateMachine::Cost;

raft::Entry Command(raft::Index index, const wire::Command& command) {
  return {1, index, raft::EntryKind::kCommand, Bytes::Copy(command.SerializeAsString())};
}

raft::Entry Put(raft::Index index, const std::string& key, const std::string& value) {
  wire::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value(value);
  return Command(index, command);
}

raft::Entry Delete(raft::Index index, const std::string& key) {
  wire::Command command;
  command.mutable_delete_()->set_key(key);
  return Command(index, command);
}

raft::Entry Cas(raft::Index index, const std::string& key, const std::string& value,
                raft::Index expected) {
  wire::Command command;
  command.mutable_compare_and_set()->set_key(key);
  command.mutable_compare_and_set()->set_value(value);
  command.mutable_compare_and_set()->set_mod_index(expected);
  return Command(index, command);
}

raft::Entry CasValue(raft::Index index, const std::string& key, const std::string& value,
                     const std::string& expected) {
  wire::Command command;
  command.mutable_compare_and_set()->set_key(key);
  command.mutable_compare_and_set()->set_value(value);
  command.mutable_compare_and_set()->set_expected_value(expected);
  return Command(index, command);
}

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/quorate_db_" + std::to_string(::getpid());
    Open();
  }
  void TearDown() override {
    db_.reset();
    ASSERT_EQ(std::system(("rm -rf '" + path_ + "'").c_str()), 0);
  }
  void Open() {
    db_.reset();
    auto db = OpenDatabase(path_, {});
    ASSERT_TRUE(db) << db.error().message;
    db_ = std::move(*db);
  }
  std::vector<Applied> Apply(const std::vector<raft::Entry>& entries) {
    auto results = db_->Apply(entries);
    EXPECT_TRUE(results) << results.error().message;
    return *results;
  }
  std::vector<Outcome> Outcomes(const std::vector<raft::Entry>& entries) {
    std::vector<Outcome> outcomes;
    for (const Applied& applied : Apply(entries)) outcomes.push_back(applied.outcome);
    return outcomes;
  }
  std::string Value(const std::string& key) {
    const auto got = db_->Get(key, Cost::kMayReadDisk);
    EXPECT_TRUE(got && *got);
    return (*got)->record ? (*got)->record->value : "(none)";
  }

  std::string path_;
  std::unique_ptr<StateMachine> db_;
};

TEST_F(DatabaseTest, StartsEmpty) {
  EXPECT_EQ(db_->applied(), raft::Position{});
  EXPECT_EQ(db_->flushed(), raft::Position{});
  const auto got = db_->Get("a", Cost::kMemoryOnly);
  ASSERT_TRUE(got && *got);
  EXPECT_FALSE((*got)->record);
  EXPECT_EQ((*got)->at, raft::Position{});
}

TEST_F(DatabaseTest, PutsCarryTheIndexOfTheirEntry) {
  const std::string binary("\0\xff\n", 3);
  const auto results =
      Apply({{1, 1, raft::EntryKind::kNoop, {}}, Put(2, "k", "one"), Put(3, binary, binary)});
  ASSERT_EQ(results.size(), 3);
  EXPECT_EQ(results[2].index, 3);
  EXPECT_EQ(results[2].term, 1);
  const auto got = db_->Get("k", Cost::kMayReadDisk);
  ASSERT_TRUE(got && *got && (*got)->record);
  EXPECT_EQ((*got)->record->mod_index, 2);
  EXPECT_EQ((*got)->record->owner, 0);
  EXPECT_EQ((*got)->record->value, "one");
  EXPECT_EQ((*got)->at, (raft::Position{3, 1}));
  EXPECT_EQ(Value(binary), binary);
}

TEST_F(DatabaseTest, DeleteTellsWhetherThereWasAnything) {
  EXPECT_EQ(Outcomes({Put(1, "a", "1"), Delete(2, "a"), Delete(3, "a"), Delete(4, "b"),
                      Put(5, "b", "2")}),
            (std::vector{Outcome::kDone, Outcome::kDone, Outcome::kNotFound, Outcome::kNotFound,
                         Outcome::kDone}));
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_EQ(Outcomes({Delete(6, "b")}), (std::vector{Outcome::kDone}));
  EXPECT_EQ(Value("b"), "(none)");
}

TEST_F(DatabaseTest, CompareAndSetByIndex) {
  EXPECT_EQ(Outcomes({Cas(1, "k", "new", 0)}), (std::vector{Outcome::kDone}));
  const auto results = Apply(
      {Cas(2, "k", "x", 0), Cas(3, "k", "x", 7), Cas(4, "k", "y", 1), Cas(5, "none", "z", 3)});
  EXPECT_EQ(results[0].outcome, Outcome::kCompareFailed);
  EXPECT_EQ(results[0].have, 1);
  EXPECT_EQ(results[1].outcome, Outcome::kCompareFailed);
  EXPECT_EQ(results[2].outcome, Outcome::kDone);
  EXPECT_EQ(results[3].outcome, Outcome::kCompareFailed);
  EXPECT_EQ(results[3].have, 0);
  EXPECT_EQ(Value("k"), "y");
  EXPECT_EQ(Value("none"), "(none)");
}

TEST_F(DatabaseTest, CompareAndSetByValue) {
  Apply({Put(1, "k", "a"), Put(2, "empty", "")});
  EXPECT_EQ(
      Outcomes({CasValue(3, "k", "b", "x"), CasValue(4, "k", "b", "a"), CasValue(5, "k", "c", "b"),
                CasValue(6, "none", "v", ""), CasValue(7, "empty", "v", "")}),
      (std::vector{Outcome::kCompareFailed, Outcome::kDone, Outcome::kDone, Outcome::kCompareFailed,
                   Outcome::kDone}));
  EXPECT_EQ(Value("k"), "c");
}

// Whether effects meet within one batch or across batches must not matter: every node batches
// differently.
TEST_F(DatabaseTest, HowEntriesAreBatchedChangesNothing) {
  std::mt19937_64 random(11);
  std::vector<raft::Entry> entries;
  for (raft::Index i = 1; i <= 600; ++i) {
    const std::string key(1, static_cast<char>('a' + random() % 5));
    switch (random() % 4) {
      case 0:
        entries.push_back(Put(i, key, std::to_string(random() % 3)));
        break;
      case 1:
        entries.push_back(Delete(i, key));
        break;
      case 2:
        entries.push_back(Cas(i, key, "by index", random() % 2 == 0 ? 0 : i - 1));
        break;
      default:
        entries.push_back(CasValue(i, key, "by value", std::to_string(random() % 3)));
    }
  }
  // The reference: a map, one entry after the other.
  struct Held {
    raft::Index mod_index;
    std::string value;
  };
  std::map<std::string, Held> model;
  std::vector<Outcome> expected;
  for (const raft::Entry& entry : entries) {
    wire::Command command;
    ASSERT_TRUE(command.ParseFromString(std::string(entry.data.view())));
    Outcome outcome = Outcome::kDone;
    if (command.has_put()) {
      model[command.put().key()] = {entry.index, command.put().value()};
    } else if (command.has_delete_()) {
      if (model.erase(command.delete_().key()) == 0) outcome = Outcome::kNotFound;
    } else {
      const auto& cas = command.compare_and_set();
      const auto it = model.find(cas.key());
      const bool holds = cas.has_mod_index()
                             ? (it == model.end() ? 0 : it->second.mod_index) == cas.mod_index()
                             : it != model.end() && it->second.value == cas.expected_value();
      if (holds) {
        model[cas.key()] = {entry.index, cas.value()};
      } else {
        outcome = Outcome::kCompareFailed;
      }
    }
    expected.push_back(outcome);
  }
  std::vector<Outcome> outcomes;
  for (std::size_t at = 0; at < entries.size();) {
    const std::size_t size = std::min<std::size_t>(random() % 40 + 1, entries.size() - at);
    const auto batch = Outcomes({entries.begin() + static_cast<std::ptrdiff_t>(at),
                                 entries.begin() + static_cast<std::ptrdiff_t>(at + size)});
    outcomes.insert(outcomes.end(), batch.begin(), batch.end());
    at += size;
  }
  EXPECT_EQ(outcomes, expected);
  const auto page = db_->View()->Scan("", "", 100, 1 << 20, false);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->items.size(), model.size());
  for (const StateView::Item& item : page->items) {
    EXPECT_EQ(item.record.value, model.at(item.key).value);
    EXPECT_EQ(item.record.mod_index, model.at(item.key).mod_index);
  }
}

TEST_F(DatabaseTest, WhatIsNotACommandIsRejectedAndCounted) {
  wire::Command nothing;
  wire::Command no_expectation;
  no_expectation.mutable_compare_and_set()->set_key("k");
  raft::Entry garbage{1, 1, raft::EntryKind::kCommand, Bytes::Copy("\xff\xff\xff\xff garbage")};
  EXPECT_EQ(
      Outcomes({garbage, Command(2, nothing), Command(3, no_expectation), Put(4, "k", "v")}),
      (std::vector{Outcome::kRejected, Outcome::kRejected, Outcome::kRejected, Outcome::kDone}));
  EXPECT_EQ(db_->applied().index, 4);
}

TEST_F(DatabaseTest, AKeyOfTheUsersIsNeverMistakenForThePosition) {
  Apply({Put(1, "applied", "mine"), Put(2, "", "empty key")});
  EXPECT_EQ(Value("applied"), "mine");
  EXPECT_EQ(Value(""), "empty key");
  Open();
  EXPECT_EQ(db_->applied().index, 2);
}

TEST_F(DatabaseTest, FlushedFollowsTheDisk) {
  Apply({Put(1, "a", "1")});
  EXPECT_EQ(db_->flushed().index, 0);
  ASSERT_TRUE(db_->Flush());
  EXPECT_EQ(db_->flushed(), (raft::Position{1, 1}));
  Apply({Put(2, "a", "2")});
  EXPECT_EQ(db_->flushed().index, 1);
  EXPECT_EQ(db_->applied().index, 2);
}

TEST_F(DatabaseTest, AFullMemtableIsFlushedByItself) {
  db_.reset();
  auto db = OpenDatabase(path_, {1 << 20, 1 << 20});
  ASSERT_TRUE(db);
  db_ = std::move(*db);
  for (raft::Index i = 1; i <= 400; ++i)
    Apply({Put(i, std::to_string(i), std::string(10000, 'x'))});
  for (int wait = 0; wait < 500 && db_->flushed().index == 0; ++wait) ::usleep(10000);
  EXPECT_GT(db_->flushed().index, 0);
  EXPECT_LE(db_->flushed().index, 400);
}

// False if some table's bytes stay in the operating system's memory nevertheless.
bool DropFromMemory(const std::string& directory) {
  bool dropped = true;
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    if (file.path().extension() != ".sst") continue;
    const int descriptor = ::open(file.path().c_str(), O_RDONLY);
    ::fsync(descriptor);
    ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    void* const mapped = ::mmap(nullptr, 1, PROT_READ, MAP_SHARED, descriptor, 0);
    unsigned char resident = 1;
    dropped = mapped != MAP_FAILED && ::mincore(mapped, 1, &resident) == 0 && resident % 2 == 0 &&
              dropped;
    ::munmap(mapped, 1);
    ::close(descriptor);
  }
  return dropped;
}

TEST_F(DatabaseTest, MemoryOnlySaysSoWhenItDoesNotKnow) {
  Apply({Put(1, "a", std::string(100, 'x'))});
  ASSERT_TRUE(db_->Get("a", Cost::kMemoryOnly)->has_value()) << "in the memtable";
  ASSERT_TRUE(db_->Flush());
  // The operating system is free to keep, or to read again, what it was asked to drop.
  bool unknown = false;
  for (int attempt = 0; attempt < 10 && !unknown; ++attempt) {
    Open();  // nothing in RocksDB's cache
    if (!DropFromMemory(path_)) GTEST_SKIP() << "this file system keeps its files in memory";
    const auto cold = db_->Get("a", Cost::kMemoryOnly);
    ASSERT_TRUE(cold);
    unknown = !cold->has_value();
  }
  EXPECT_TRUE(unknown);
  EXPECT_EQ(Value("a"), std::string(100, 'x'));
  const auto warm = db_->Get("a", Cost::kMemoryOnly);
  ASSERT_TRUE(warm && *warm);
  EXPECT_EQ((*warm)->record->value, std::string(100, 'x'));
}

// Entry i sets every key to i. So a value read at position i must be i, whatever is applied
// meanwhile.
TEST_F(DatabaseTest, EveryReadIsExactBesideTheApplier) {
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (int thread = 0; thread < 3; ++thread) {
    readers.emplace_back([&, thread] {
      raft::Index seen = 0;
      while (!done) {
        const auto got = db_->Get("k", thread == 0 ? Cost::kMemoryOnly : Cost::kMayReadDisk);
        ASSERT_TRUE(got) << got.error().message;
        if (!*got) continue;
        const raft::Index at = (*got)->at.index;
        ASSERT_EQ((*got)->record ? (*got)->record->mod_index : 0, at);
        ASSERT_EQ((*got)->at.term, at == 0 ? 0 : 1);
        ASSERT_GE(at, seen) << "time went back";
        seen = at;
        if (thread == 2) {
          const auto view = db_->View();
          const auto page = view->Scan("", "", 10, 1 << 20, false);
          ASSERT_TRUE(page);
          for (const StateView::Item& item : page->items)
            ASSERT_EQ(item.record.mod_index, view->at().index);
          ASSERT_GE(view->at().index, seen);
        }
        ++reads;
      }
    });
  }
  for (raft::Index i = 1; i <= 20000 || reads < 2000; ++i) {
    Apply({Put(i, "k", std::to_string(i))});
    if (i % 5000 == 0) {
      ASSERT_TRUE(db_->Flush());
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_F(DatabaseTest, ScansGoPageByPageAtOnePosition) {
  std::vector<raft::Entry> entries;
  for (raft::Index i = 1; i <= 100; ++i) {
    char key[8];
    std::snprintf(key, sizeof(key), "k%03d", static_cast<int>(i));
    entries.push_back(Put(i, key, std::string(100, 'v')));
  }
  Apply(entries);
  const auto view = db_->View();
  Apply({Delete(101, "k050"), Put(102, "k0505", "late"), Put(103, "k001", "late")});
  EXPECT_EQ(view->at(), (raft::Position{100, 1}));
  std::vector<std::string> keys;
  std::string first = "k010";
  for (int pages = 0; pages < 100; ++pages) {
    const auto page = view->Scan(first, "k091", 7, 1 << 20, false);
    ASSERT_TRUE(page);
    ASSERT_LE(page->items.size(), 7);
    EXPECT_EQ(page->count, page->items.size());
    for (const StateView::Item& item : page->items) {
      keys.push_back(item.key);
      EXPECT_EQ(item.record.value, std::string(100, 'v'));
    }
    if (!page->next) break;
    first = *page->next;
  }
  ASSERT_EQ(keys.size(), 81);
  EXPECT_EQ(keys.front(), "k010");
  EXPECT_EQ(keys.back(), "k090");
  EXPECT_EQ(view->Scan("", "", 1000, 250, false)->items.size(), 3)
      << "about as many bytes as asked for";
  EXPECT_EQ(view->Scan("", "", 1000, 1, false)->items.size(), 1) << "but at least one item";
  const auto counted = view->Scan("", "", 60, 1 << 20, true);
  EXPECT_EQ(counted->count, 60);
  EXPECT_TRUE(counted->items.empty());
  EXPECT_EQ(counted->next, "k061");
  EXPECT_EQ(view->Scan("x", "", 60, 1 << 20, true)->count, 0);
  EXPECT_EQ(view->Scan("k9", "k1", 60, 1 << 20, true)->count, 0) << "an empty range";
}

TEST_F(DatabaseTest, OpenReportsAPathThatCannotBeUsed) {
  const auto db = OpenDatabase("/proc/quorate/db", {});
  ASSERT_FALSE(db);
  EXPECT_NE(db.error().message.find("/proc/quorate/db"), std::string::npos);
}

// A process of its own that dies without warning: RocksDB must come back with data and position of
// one and the same flush.
class DatabaseCrashTest : public testing::TestWithParam<raft::Index> {
 protected:
  std::string path() const {
    return testing::TempDir() + "/quorate_db_crash_" + std::to_string(GetParam());
  }
  void RemoveAll() const { ASSERT_EQ(std::system(("rm -rf '" + path() + "'").c_str()), 0); }

  void DieAfterTenEntries() const {
    RemoveAll();
    auto db = OpenDatabase(path(), {});
    for (raft::Index i = 1; db && i <= 10; ++i) {
      const std::vector<raft::Entry> entries = {Put(i, "k" + std::to_string(i), "v")};
      if (!(*db)->Apply(entries)) ::_exit(1);
      if (i == GetParam() && (!(*db)->Flush() || (*db)->flushed().index != i)) ::_exit(2);
    }
    ::kill(::getpid(), SIGKILL);
  }
};

TEST_P(DatabaseCrashTest, FallsBackToTheLastFlushAsAWhole) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  ASSERT_EXIT(DieAfterTenEntries(), testing::KilledBySignal(SIGKILL), "");
  auto db = OpenDatabase(path(), {});
  ASSERT_TRUE(db) << db.error().message;
  const raft::Term term = GetParam() == 0 ? 0 : 1;
  EXPECT_EQ((*db)->applied(), (raft::Position{GetParam(), term}));
  EXPECT_EQ((*db)->flushed(), (*db)->applied());
  EXPECT_EQ((*db)->View()->Scan("", "", 100, 1 << 20, true)->count, GetParam());
  EXPECT_TRUE((*db)->Apply(std::vector<raft::Entry>{Put(GetParam() + 1, "more", "v")}));
  db->reset();
  RemoveAll();
}

INSTANTIATE_TEST_SUITE_P(FlushedAt, DatabaseCrashTest, testing::Values(0, 1, 5, 10));

TEST(PrefixEndTest, IsTheFirstKeyBehindThePrefix) {
  EXPECT_EQ(PrefixEnd("abc"), "abd");
  EXPECT_EQ(PrefixEnd("ab\xff"), "ac");
  EXPECT_EQ(PrefixEnd("a\x7f"), "a\x80");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
  EXPECT_EQ(PrefixEnd(""), "");
}

}  // namespace
}  // namespace quorate::storage
