// The memtable behind RocksDB's own interface, against a model.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "storage/memtable.h"

namespace quorate::storage {
namespace {

using Model = std::map<std::string, std::string>;

class MemtableTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/quorate_memtable_" + std::to_string(::getpid());
    rocksdb::Options options;
    options.create_if_missing = true;
    options.allow_concurrent_memtable_write = false;
    options.memtable_factory = NewMemtableFactory();
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, path_, &db).ok());
    db_.reset(db);
    write_.disableWAL = true;
  }
  void TearDown() override {
    db_.reset();
    std::filesystem::remove_all(path_);
  }

  void Put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(db_->Put(write_, key, value).ok());
    model_[key] = value;
  }
  void Delete(const std::string& key) {
    ASSERT_TRUE(db_->Delete(write_, key).ok());
    model_.erase(key);
  }

  std::optional<std::string> Get(const std::string& key) const {
    std::string value;
    const auto status = db_->Get(rocksdb::ReadOptions(), key, &value);
    return status.ok() ? std::optional(value) : std::nullopt;
  }

  // Every way through it that an iterator offers.
  void ExpectSame(const Model& model, const rocksdb::ReadOptions& read) const {
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(read));
    it->SeekToFirst();
    for (const auto& [key, value] : model) {
      ASSERT_TRUE(it->Valid());
      ASSERT_EQ(it->key().ToString(), key);
      ASSERT_EQ(it->value().ToString(), value);
      it->Next();
    }
    ASSERT_FALSE(it->Valid());
    it->SeekToLast();
    for (auto at = model.rbegin(); at != model.rend(); ++at) {
      ASSERT_TRUE(it->Valid());
      ASSERT_EQ(it->key().ToString(), at->first);
      it->Prev();
    }
    ASSERT_FALSE(it->Valid());
  }

  void ExpectSeeks(const Model& model, const std::string& key) const {
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(rocksdb::ReadOptions()));
    it->Seek(key);
    auto at = model.lower_bound(key);
    ASSERT_EQ(it->Valid(), at != model.end());
    ASSERT_EQ(it->Valid() ? it->key().ToString() : "", at != model.end() ? at->first : "");
    it->SeekForPrev(key);
    at = model.upper_bound(key);
    ASSERT_EQ(it->Valid(), at != model.begin());
    ASSERT_EQ(it->Valid() ? it->key().ToString() : "",
              at != model.begin() ? std::prev(at)->first : "");
  }

  std::string path_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteOptions write_;
  Model model_;
};

using Keys = std::string (*)(std::mt19937_64& random, unsigned i);

std::string Number(std::uint64_t number) {
  std::string digits = std::to_string(number);
  return "user" + std::string(12 - std::min<std::size_t>(12, digits.size()), '0') + digits;
}
std::string Scattered(std::mt19937_64& random, unsigned /*i*/) {
  return Number(random() % 5000);
}
std::string Ascending(std::mt19937_64& /*random*/, unsigned i) {
  return Number(i);
}
std::string Descending(std::mt19937_64& /*random*/, unsigned i) {
  return Number(100'000 - i);
}
std::string Popular(std::mt19937_64& random, unsigned /*i*/) {
  return Number(random() % 5);
}
// Of all lengths, with zeros, and prefixes of each other: where heads alone cannot decide.
std::string Awkward(std::mt19937_64& random, unsigned /*i*/) {
  std::string key(random() % 20, '\0');
  for (char& byte : key) byte = random() % 3 == 0 ? '\xff' : '\0';
  return key;
}

class MemtableKeysTest : public MemtableTest, public testing::WithParamInterface<Keys> {};

TEST_P(MemtableKeysTest, HoldsWhatTheModelHolds) {
  std::mt19937_64 random(7);
  std::vector<std::pair<const rocksdb::Snapshot*, Model>> snapshots;
  for (unsigned i = 0; i < 12'000; ++i) {
    const std::string key = GetParam()(random, i);
    if (random() % 8 == 0) {
      Delete(key);
    } else {
      Put(key, std::to_string(i));
    }
    if (i % 3000 == 1000) snapshots.emplace_back(db_->GetSnapshot(), model_);
    const std::string other = GetParam()(random, static_cast<unsigned>(random() % (i + 1)));
    const auto expected = model_.find(other);
    ASSERT_EQ(Get(other),
              expected == model_.end() ? std::nullopt : std::optional(expected->second));
    if (i % 50 == 0) ExpectSeeks(model_, other);
  }
  ExpectSame(model_, rocksdb::ReadOptions());
  for (const auto& [snapshot, model] : snapshots) {
    rocksdb::ReadOptions read;
    read.snapshot = snapshot;
    ExpectSame(model, read);
    db_->ReleaseSnapshot(snapshot);
  }
  ASSERT_TRUE(db_->Flush(rocksdb::FlushOptions()).ok());
  ExpectSame(model_, rocksdb::ReadOptions());
}

INSTANTIATE_TEST_SUITE_P(Keys, MemtableKeysTest,
                         testing::Values(Scattered, Ascending, Descending, Popular, Awkward));

// The writer adds keys in rounds, each to all of them, so a reader that sees a round's number on
// one key must see at least that on every key it looks at afterwards.
TEST_F(MemtableTest, ReadersSeeAllThatWasWrittenBefore) {
  constexpr unsigned kKeys = 400;
  constexpr unsigned kRounds = 60;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937_64 random(reader);
      while (!done) {
        const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(rocksdb::ReadOptions()));
        std::string last;
        unsigned seen = 0;
        for (it->SeekToFirst(); it->Valid(); it->Next(), ++seen) {
          ASSERT_LT(last, it->key().ToString());
          last = it->key().ToString();
        }
        ASSERT_TRUE(it->status().ok());
        const auto from = static_cast<unsigned>(random() % kKeys);
        const auto first = Get(Number(from * 7919 % kKeys));
        if (!first) continue;
        // Keys are written in this order within a round.
        for (unsigned i = 0; i < from; ++i) {
          const auto value = Get(Number(i * 7919 % kKeys));
          ASSERT_TRUE(value);
          ASSERT_GE(std::stoul(*value), std::stoul(*first));
        }
      }
    });
  }
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned i = 0; i < kKeys; ++i) Put(Number(i * 7919 % kKeys), std::to_string(round));
  }
  done = true;
  for (auto& reader : readers) reader.join();
  ExpectSame(model_, rocksdb::ReadOptions());
}

}  // namespace
}  // namespace quorate::storage
