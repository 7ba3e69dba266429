// Snapshots on their way between nodes: networks that lose, repeat and reorder, nodes that stop,
// disks that fill up, and bytes that are not what they should be.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/snapshot_transfer_world.h"

namespace quorate::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::ErrorCode;
using storage::Manifest;

constexpr raft::Position kAt{100, 3};

std::string Noise(std::size_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// 2.3 MiB in ten pieces, with an empty file, and one that ends where a piece does.
// As in RocksDB, an sst file of the same name is the same file.
FileContents SomeFiles(std::uint64_t seed = 1) {
  const std::string number = std::to_string(100'000 + 2 * seed);
  const std::string next = std::to_string(100'001 + 2 * seed);
  return {{number + ".sst", Noise(2 * kSnapshotChunkBytes, seed)},
          {next + ".sst", Noise(5 * kSnapshotChunkBytes + 1234, seed + 1)},
          {"CURRENT", "MANIFEST-000005\n"},
          {"MANIFEST-000005", Noise(300'000, seed + 2)},
          {"OPTIONS", ""}};
}

// Names what differs: the contents are too long to print.
void ExpectSame(const FileContents& got, const FileContents& wanted) {
  for (const auto& [name, text] : wanted) {
    const auto found = got.find(name);
    if (found == got.end()) {
      ADD_FAILURE() << name << " is missing";
    } else {
      EXPECT_TRUE(found->second == text) << name << " differs";
    }
  }
  for (const auto& [name, text] : got) EXPECT_TRUE(wanted.contains(name)) << name;
}

SnapshotOptions Fast() {
  SnapshotOptions options;
  options.rate = 1 << 30;
  return options;
}

std::uint64_t BytesAsked(const std::vector<SnapshotRequest>& requests) {
  std::uint64_t sum = 0;
  for (const SnapshotRequest& request : requests) {
    if (request.file != kManifestFile) sum += request.bytes;
  }
  return sum;
}

// Node 1 keeps a snapshot, node 2 fetches it.
struct Pair : Scenario {
  explicit Pair(std::uint64_t seed = 1, const SnapshotOptions& options = Fast())
      : Scenario(seed, options), source(Add(1)), target(Add(2)) {}

  Manifest Keep(const FileContents& contents, std::uint64_t id = 77) {
    const auto taken = Take(source, contents, kAt, id);
    EXPECT_TRUE(taken) << taken.error().message;
    return taken.value_or(Manifest{});
  }
  bool Arrives(raft::Duration limit = seconds(600)) {
    return RunUntil([this] { return target.ready.has_value(); }, limit);
  }
  bool Received(std::uint64_t bytes) {
    return RunUntil([this, bytes] {
      const auto progress = target.receiver().progress();
      return progress && progress->received >= bytes;
    });
  }

  Node& source;
  Node& target;
};

TEST(SnapshotTransfer, ArrivesWholeAndDurable) {
  Pair pair;
  const Manifest manifest = pair.Keep(SomeFiles());
  EXPECT_EQ(pair.source.sender().kept_bytes(), manifest.bytes());
  pair.OfferFrom(1, pair.target, manifest);
  ASSERT_TRUE(pair.Arrives());
  EXPECT_EQ(*pair.target.ready, manifest);
  EXPECT_TRUE(pair.target.receiver().progress()->verifying);
  EXPECT_EQ(pair.target.files().Written(pair.target.directory().incoming_manifest_path()),
            manifest.Encode());
  ASSERT_TRUE(pair.target.directory().SwitchDatabase(kAt));
  pair.target.files().PowerCutLosingAll();
  ExpectSame(pair.target.Database(), SomeFiles());
  EXPECT_TRUE(pair.target.problems.empty()) << pair.target.problems.front();
  EXPECT_EQ(BytesAsked(pair.target.requests[1]), manifest.bytes());
}

TEST(SnapshotTransfer, FinishedForgetsTheFilesAndTakesTheNextOffer) {
  Pair pair;
  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles()));
  ASSERT_TRUE(pair.Arrives());
  pair.StopOffers();
  pair.target.ready.reset();
  pair.target.receiver().Finished(/*useless=*/false);
  EXPECT_TRUE(pair.target.receiver().busy());
  EXPECT_TRUE(pair.RunUntil([&] { return !pair.target.receiver().busy(); }));
  EXPECT_FALSE(pair.target.receiver().progress());
  EXPECT_TRUE(pair.target.Incoming().empty());
  EXPECT_FALSE(*pair.target.files().Exists(pair.target.directory().incoming_manifest_path()));

  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles(9), 78));
  ASSERT_TRUE(pair.Arrives());
  ExpectSame(pair.target.Incoming(), SomeFiles(9));
}

TEST(SnapshotTransfer, AManifestOfSeveralPieces) {
  Pair pair;
  FileContents many;
  for (int i = 0; i < 6000; ++i) {
    many[std::to_string(100'000 + i) + std::string(50, 'x') + ".sst"] = std::to_string(i);
  }
  const Manifest manifest = pair.Keep(many);
  ASSERT_GT(manifest.Encode().size(), kSnapshotChunkBytes);
  pair.world.network.lost_percent = 1;
  pair.OfferFrom(1, pair.target, manifest);
  ASSERT_TRUE(pair.Arrives());
  ExpectSame(pair.target.Incoming(), many);
}

TEST(SnapshotTransfer, KeepsToTheRate) {
  SnapshotOptions options;
  options.rate = 1 << 20;
  Pair pair(1, options);
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  const raft::Time start = pair.world.now();
  ASSERT_TRUE(pair.Arrives());
  const raft::Duration took = pair.world.now() - start;
  const double expected = static_cast<double>(manifest.bytes()) / (1 << 20) * 1e6;
  EXPECT_GT(static_cast<double>(took.count()), expected * 0.8);
  EXPECT_LT(static_cast<double>(took.count()), expected * 1.5);
}

TEST(SnapshotTransfer, AsksForNoMoreThanTheWindow) {
  using Place = std::pair<std::uint64_t, std::uint64_t>;
  Pair pair;
  pair.world.network.slowest = milliseconds(50);
  std::set<Place> arrived;
  std::size_t most = 0;
  pair.world.filter = [&](raft::NodeId, raft::NodeId, SnapshotMessage& message) {
    std::set<Place> asked;
    for (const SnapshotRequest& request : pair.target.requests[1]) {
      if (request.file != kManifestFile) asked.insert({request.file, request.offset});
    }
    most = std::max(most, asked.size() - arrived.size());
    const auto* reply = std::get_if<SnapshotReply>(&message);
    if (reply != nullptr && reply->file != kManifestFile) {
      arrived.insert({reply->file, reply->offset});
    }
    return true;
  };
  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles()));
  ASSERT_TRUE(pair.Arrives());
  EXPECT_EQ(most, Fast().window);
}

TEST(SnapshotTransfer, LossRepetitionAndDisorder) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    pair.world.network = {static_cast<int>(seed % 4) * 10, static_cast<int>(seed % 3) * 20,
                          milliseconds(1 + seed * 40)};
    const Manifest manifest = pair.Keep(SomeFiles(seed));
    pair.OfferFrom(1, pair.target, manifest);
    ASSERT_TRUE(pair.Arrives());
    ExpectSame(pair.target.Incoming(), SomeFiles(seed));
  }
}

TEST(SnapshotTransfer, ARestartGoesOnWhereItStopped) {
  Pair pair;
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  const std::uint64_t half = manifest.bytes() / 2;
  ASSERT_TRUE(pair.Received(half));
  pair.target.Stop();
  pair.target.files().Kill();
  pair.target.requests.clear();
  pair.RunFor(seconds(1));
  pair.target.Start();
  ASSERT_TRUE(pair.Arrives());
  ExpectSame(pair.target.Incoming(), SomeFiles());
  EXPECT_LE(BytesAsked(pair.target.requests[1]), manifest.bytes() - half);
}

TEST(SnapshotTransfer, PowerCutsAtAnyTime) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    std::mt19937_64 random(seed);
    const Manifest manifest = pair.Keep(SomeFiles(seed));
    pair.OfferFrom(1, pair.target, manifest);
    for (int cut = 0; cut < 5 && !pair.target.ready; ++cut) {
      const raft::Duration wait(static_cast<std::int64_t>(random() % 20'000));
      pair.RunUntil([&] { return pair.target.ready.has_value(); }, wait);
      if (pair.target.ready) break;
      pair.target.Stop();
      pair.target.files().PowerCut(random);
      pair.target.Start();
    }
    ASSERT_TRUE(pair.Arrives());
    ASSERT_TRUE(pair.target.directory().SwitchDatabase(kAt));
    pair.target.files().PowerCutLosingAll();
    ExpectSame(pair.target.Database(), SomeFiles(seed));
    EXPECT_EQ(pair.target.fatal, "");
  }
}

TEST(SnapshotTransfer, AnotherClustersSnapshotIsRefusedOnce) {
  Scenario scenario(1, Fast());
  Node& stranger = scenario.Add(1, 0xdef);
  Node& target = scenario.Add(2);
  scenario.OfferFrom(1, target, *scenario.Take(stranger, SomeFiles(), kAt, 77));
  scenario.RunFor(seconds(30));
  EXPECT_FALSE(target.ready);
  ASSERT_EQ(target.problems.size(), 1U);
  EXPECT_NE(target.problems[0].find("another cluster"), std::string::npos) << target.problems[0];
  EXPECT_EQ(target.requests[1].size(), 1U);
  EXPECT_TRUE(target.Incoming().empty());
}

TEST(SnapshotTransfer, ManifestsThatCannotBeAreRefused) {
  const Manifest good = [] {
    Pair pair;
    return pair.Keep(SomeFiles());
  }();
  Manifest elsewhere = good;
  elsewhere.mark.position.index += 1;
  const std::string damaged = [&] {
    std::string text = good.Encode();
    text[text.size() / 2] ^= 1;
    return text;
  }();
  for (const std::string& text : {damaged, elsewhere.Encode(), std::string("short")}) {
    Pair pair;
    pair.world.filter = [&](raft::NodeId, raft::NodeId, SnapshotMessage& message) {
      if (auto* reply = std::get_if<SnapshotReply>(&message)) {
        reply->total = text.size();
        reply->data = Bytes::Copy(text);
      }
      return true;
    };
    pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles()));
    pair.RunFor(seconds(30));
    EXPECT_FALSE(pair.target.ready);
    ASSERT_EQ(pair.target.problems.size(), 1U);
    EXPECT_NE(pair.target.problems[0].find("refused"), std::string::npos);
    EXPECT_TRUE(pair.target.Incoming().empty());
  }
}

TEST(SnapshotTransfer, AManifestWithoutEndIsRefused) {
  Pair pair;
  pair.world.filter = [](raft::NodeId, raft::NodeId, SnapshotMessage& message) {
    if (auto* reply = std::get_if<SnapshotReply>(&message)) reply->total = UINT64_MAX;
    return true;
  };
  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles()));
  pair.RunFor(seconds(5));
  ASSERT_EQ(pair.target.problems.size(), 1U);
  EXPECT_NE(pair.target.problems[0].find("limit"), std::string::npos) << pair.target.problems[0];
}

TEST(SnapshotTransfer, DamageOnTheWayIsFetchedAgain) {
  Pair pair;
  bool damaged = false;
  pair.world.filter = [&](raft::NodeId, raft::NodeId, SnapshotMessage& message) {
    auto* reply = std::get_if<SnapshotReply>(&message);
    if (reply == nullptr || reply->file != 1 || reply->offset == 0 || damaged) return true;
    damaged = true;
    std::string text(reply->data.view());
    text[17] ^= 4;
    reply->data = Bytes::Copy(text);
    return true;
  };
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  ASSERT_TRUE(pair.Arrives());
  EXPECT_TRUE(damaged);
  ExpectSame(pair.target.Incoming(), SomeFiles());
  EXPECT_EQ(BytesAsked(pair.target.requests[1]), manifest.bytes() + manifest.files[1].bytes);
}

TEST(SnapshotTransfer, ADamagedSourceIsRefusedAndAnotherTaken) {
  Pair pair;
  const Manifest manifest = pair.Keep(SomeFiles());
  std::string& file = pair.source.files().Written(pair.source.directory().snapshots_path() +
                                                  "/000000000000004d/100002.sst");
  file[100] ^= 1;
  pair.OfferFrom(1, pair.target, manifest);
  pair.RunFor(seconds(60));
  EXPECT_FALSE(pair.target.ready);
  EXPECT_EQ(BytesAsked(pair.target.requests[1]), manifest.bytes() + 2 * manifest.files[0].bytes);
  EXPECT_NE(pair.target.problems.back().find("checksum"), std::string::npos);
  EXPECT_LE(pair.target.problems.size(), 3U);

  pair.StopOffers();
  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles(5), 78));
  ASSERT_TRUE(pair.Arrives());
  ExpectSame(pair.target.Incoming(), SomeFiles(5));
}

TEST(SnapshotTransfer, ASourceThatVanishesIsReplacedByAnother) {
  Pair pair;
  Node& other = pair.Add(3);
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  const std::uint64_t half = manifest.bytes() / 2;
  ASSERT_TRUE(pair.Received(half));
  pair.source.Stop();
  pair.RunFor(seconds(30));
  EXPECT_FALSE(pair.target.receiver().progress());
  EXPECT_EQ(pair.target.receiver().NextDeadline(), raft::Time::max());
  EXPECT_EQ(pair.target.problems.size(), 1U);

  const auto again = pair.Take(other, SomeFiles(), kAt, 99);
  ASSERT_TRUE(again);
  pair.OfferFrom(3, pair.target, *again);
  ASSERT_TRUE(pair.Arrives());
  EXPECT_EQ(pair.target.ready->id, 99U);
  ExpectSame(pair.target.Incoming(), SomeFiles());
  EXPECT_LE(BytesAsked(pair.target.requests[3]), manifest.bytes() - half);
}

TEST(SnapshotTransfer, AnotherOfferIsTakenAsSoonAsNothingMoves) {
  Pair pair;
  Node& other = pair.Add(3);
  const Manifest manifest = pair.Keep(SomeFiles());
  const auto second = pair.Take(other, SomeFiles(4), {120, 4}, 99);
  ASSERT_TRUE(second);
  pair.OfferFrom(1, pair.target, manifest);
  ASSERT_TRUE(pair.Received(1));
  pair.OfferFrom(3, pair.target, *second);
  pair.RunFor(milliseconds(1));
  EXPECT_EQ(pair.target.receiver().progress()->from, 1U) << "that one moves on";
  pair.source.Stop();
  ASSERT_TRUE(pair.Arrives(seconds(5)));
  EXPECT_EQ(pair.target.ready->id, 99U);
  ExpectSame(pair.target.Incoming(), SomeFiles(4));
}

TEST(SnapshotTransfer, WhatIsNoLongerKeptIsGivenUpAtOnce) {
  Pair pair;
  Manifest forgotten = pair.Keep(SomeFiles());
  forgotten.id = 1;
  pair.OfferFrom(1, pair.target, forgotten);
  pair.RunFor(milliseconds(50));
  EXPECT_FALSE(pair.target.receiver().progress());
  EXPECT_EQ(pair.target.problems.size(), 1U);
  pair.RunFor(seconds(5));
  EXPECT_EQ(pair.target.problems.size(), 1U) << "the same problem is reported once";
}

// With a piece on its way to the disk, whose end is of no interest to the next attempt.
TEST(SnapshotTransfer, GivenUpAtAnyMoment) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    const Manifest manifest = pair.Keep(SomeFiles(seed));
    pair.OfferFrom(1, pair.target, manifest);
    for (int i = 0; i < 10 && !pair.target.ready; ++i) {
      const raft::Duration wait(static_cast<std::int64_t>(pair.world.Random(5'000)));
      pair.RunUntil([&] { return pair.target.ready.has_value(); }, wait);
      if (pair.target.ready) break;
      pair.target.receiver().OnReply(1, {manifest.id, 0, 0, /*gone=*/true, 0, {}});
      pair.target.receiver().OnOffer(1, manifest.id, kAt);
    }
    ASSERT_TRUE(pair.Arrives());
    ExpectSame(pair.target.Incoming(), SomeFiles(seed));
  }
}

TEST(SnapshotTransfer, AFullDiskWaitsForRoomAndLosesNothing) {
  Pair pair;
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  const std::uint64_t half = manifest.bytes() / 2;
  ASSERT_TRUE(pair.Received(half));
  pair.target.files().SetFull(true);
  pair.RunFor(seconds(10));
  EXPECT_FALSE(pair.target.ready);
  EXPECT_EQ(pair.target.fatal, "");
  ASSERT_EQ(pair.target.problems.size(), 1U);
  EXPECT_NE(pair.target.problems[0].find("no room"), std::string::npos);
  const std::size_t attempts =
      std::count_if(pair.target.requests[1].begin(), pair.target.requests[1].end(),
                    [](const SnapshotRequest& request) { return request.file == kManifestFile; });
  EXPECT_LE(attempts, 12U);

  pair.target.requests.clear();
  pair.target.files().SetFull(false);
  ASSERT_TRUE(pair.Arrives());
  ExpectSame(pair.target.Incoming(), SomeFiles());
  EXPECT_LE(BytesAsked(pair.target.requests[1]), manifest.bytes() - half);
}

TEST(SnapshotTransfer, ADiskThatFailsEndsTheNode) {
  Pair pair;
  pair.OfferFrom(1, pair.target, pair.Keep(SomeFiles()));
  ASSERT_TRUE(pair.Received(1));
  pair.target.files().FailNextSync();
  EXPECT_TRUE(pair.RunUntil([&] { return !pair.target.fatal.empty(); }));
  EXPECT_FALSE(pair.target.ready);
}

TEST(SnapshotTransfer, RepliesThatNobodyAskedForAreIgnored) {
  Pair pair;
  const Manifest manifest = pair.Keep(SomeFiles());
  pair.OfferFrom(1, pair.target, manifest);
  const auto forge = [&] {
    const Bytes junk = Bytes::Copy(std::string(kSnapshotChunkBytes, 'j'));
    SnapshotReceiver& receiver = pair.target.receiver();
    for (std::uint64_t file : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{99}}) {
      for (std::uint64_t piece = 0; piece < 7; ++piece) {
        const std::uint64_t offset = piece * kSnapshotChunkBytes;
        const std::uint64_t total = file < 2 ? manifest.files[file].bytes : 0;
        receiver.OnReply(3, {77, file, offset, false, total, junk});
        receiver.OnReply(1, {78, file, offset, false, total, junk});
        receiver.OnReply(1, {77, file, offset + 1, false, total, junk});
        receiver.OnReply(1, {77, file, offset, false, total + 1, junk});
        receiver.OnReply(1, {77, file, offset, false, total, Bytes::Copy("too short")});
        receiver.OnReply(3, {77, file, offset, true, total, {}});
      }
    }
  };
  while (!pair.target.ready) {
    forge();
    pair.RunFor(milliseconds(1));
    ASSERT_LT(pair.world.now(), raft::Time(seconds(60)));
  }
  ExpectSame(pair.target.Incoming(), SomeFiles());
  EXPECT_EQ(BytesAsked(pair.target.requests[1]), manifest.bytes());
}

TEST(SnapshotSender, OneAtATime) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  const auto state = std::make_shared<FilesOnly>(node.files(), SomeFiles(), kAt);
  node.sender().Take(state, {}, 1, [](const auto&) {});
  EXPECT_TRUE(node.sender().taking());
  std::optional<ErrorCode> second;
  node.sender().Take(state, {}, 2, [&](const storage::Result<Manifest>& taken) {
    ASSERT_FALSE(taken);
    second = taken.error().code;
  });
  EXPECT_EQ(second, ErrorCode::kExists);
  EXPECT_TRUE(scenario.RunUntil([&] { return !node.sender().busy(); }));
  EXPECT_FALSE(node.sender().taking());
  EXPECT_TRUE(scenario.Take(node, SomeFiles(), kAt, 3));
}

TEST(SnapshotSender, AFullDiskKeepsNothing) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  node.files().SetFull(true);
  const auto taken = scenario.Take(node, SomeFiles(), kAt, 1);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(node.sender().kept_bytes(), 0U);
  EXPECT_TRUE(node.files().List(node.directory().snapshots_path())->empty());
  node.files().SetFull(false);
  EXPECT_TRUE(scenario.Take(node, SomeFiles(), kAt, 2));
}

TEST(SnapshotSender, DropsWhatNobodyAsksFor) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  scenario.Add(2);
  ASSERT_TRUE(scenario.Take(node, SomeFiles(), kAt, 1));
  scenario.RunFor(seconds(59));
  node.sender().OnRequest(2, {1, 0, 0, 100});
  scenario.RunFor(seconds(59));
  EXPECT_TRUE(node.dropped.empty());
  scenario.RunFor(seconds(2));
  EXPECT_EQ(node.dropped, std::vector<std::uint64_t>{1});
  EXPECT_EQ(node.sender().kept_bytes(), 0U);
  EXPECT_EQ(node.sender().NextDeadline(), raft::Time::max());
  EXPECT_TRUE(node.files().List(node.directory().snapshots_path())->empty());
}

TEST(SnapshotSender, KeepsTheNewestAndOneThatIsBeingFetched) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  scenario.Add(2);
  std::size_t most = 0;
  const auto look = [&] {
    const auto names = node.files().List(node.directory().snapshots_path());
    if (names) most = std::max(most, names->size());
    return false;
  };
  for (std::uint64_t id = 1; id <= 5; ++id) {
    ASSERT_TRUE(scenario.Take(node, SomeFiles(), kAt, id));
    // The first one is being fetched all the time.
    for (int i = 0; i < 10; ++i) {
      node.sender().OnRequest(2, {1, 0, 0, 100});
      scenario.RunUntil(look, milliseconds(500));
    }
  }
  EXPECT_EQ(most, 2U);
  EXPECT_EQ(node.dropped, (std::vector<std::uint64_t>{2, 3, 4}));
  // Then nobody wants it any more: the newest one replaces it.
  scenario.RunFor(seconds(11));
  EXPECT_EQ(node.dropped, (std::vector<std::uint64_t>{2, 3, 4, 1}));
}

TEST(SnapshotSender, BoundsWhatAPeerMayAskFor) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  scenario.Add(2);
  ASSERT_TRUE(scenario.Take(node, SomeFiles(), kAt, 1));
  int replies = 0;
  scenario.world.filter = [&](raft::NodeId, raft::NodeId, SnapshotMessage&) {
    ++replies;
    return false;
  };
  for (int i = 0; i < 1000; ++i) node.sender().OnRequest(2, {1, 0, 0, UINT64_MAX});
  EXPECT_TRUE(scenario.RunUntil([&] { return !node.sender().busy(); }));
  scenario.RunFor(seconds(1));
  EXPECT_EQ(replies, 8);
}

TEST(SnapshotSender, AnswersOddRequests) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  ASSERT_TRUE(scenario.Take(node, SomeFiles(), kAt, 1));
  const auto read = [&](const SnapshotRequest& request) {
    std::optional<SnapshotReply> reply;
    node.sender().Read(request, [&](const SnapshotReply& answer) {
      EXPECT_FALSE(reply);
      reply = answer;
    });
    EXPECT_TRUE(scenario.RunUntil([&] { return reply.has_value(); }));
    return *reply;
  };
  EXPECT_TRUE(read({2, 0, 0, 10}).gone);
  EXPECT_TRUE(read({1, 5, 0, 10}).gone);
  EXPECT_TRUE(read({2, kManifestFile, 0, 10}).gone);
  EXPECT_EQ(read({1, 0, 0, UINT64_MAX}).data.size(), kSnapshotChunkBytes);
  EXPECT_EQ(read({1, 2, 10, 100}).data.view(), "00005\n");
  EXPECT_EQ(read({1, 2, 10, 100}).total, 16U);
  EXPECT_EQ(read({1, 2, UINT64_MAX, UINT64_MAX}).data.size(), 0U);
  EXPECT_EQ(read({1, kManifestFile, UINT64_MAX, 1}).data.size(), 0U);
  EXPECT_FALSE(read({1, kManifestFile, 0, 10}).gone);
}

TEST(SnapshotSender, WhatCannotBeReadIsDropped) {
  Scenario scenario;
  Node& node = scenario.Add(1);
  ASSERT_TRUE(scenario.Take(node, SomeFiles(), kAt, 1));
  node.files().Written(node.directory().snapshots_path() + "/0000000000000001/CURRENT").clear();
  bool gone = false;
  node.sender().Read({1, 2, 0, 16}, [&](const SnapshotReply& reply) { gone = reply.gone; });
  EXPECT_TRUE(scenario.RunUntil([&] { return gone; }));
  EXPECT_EQ(node.dropped, std::vector<std::uint64_t>{1});
}

}  // namespace
}  // namespace quorate::server
