// What a trace would hide: properties of the cores under schedules that nobody wrote by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cluster.h"

namespace quorate::golden {
namespace {

using raft::Index;
using raft::NodeId;
using raft::Role;
using raft::Time;
using std::chrono::milliseconds;
using std::chrono::seconds;

void MakeCluster(Cluster& cluster, NodeId size) {
  std::vector<raft::Member> members;
  for (NodeId id = 1; id <= size; ++id) members.push_back({id, UuidOf(id, 1), ""});
  raft::Configuration base = raft::Configuration::Bootstrap(std::move(members));
  base.incarnation = 1;
  cluster.verbosity = Verbosity::kNone;
  for (NodeId id = 1; id <= size; ++id) {
    cluster.Add(id, base, {});
    cluster.Start(id, 0);
  }
}

std::optional<NodeId> LeaderThatCommits(Cluster& cluster, raft::Duration patience) {
  for (auto& [id, node] : cluster.nodes()) {
    if (node.core == nullptr || node.core->role() != Role::kLeader) continue;
    const std::vector<Bytes> commands{Bytes::Copy("probe")};
    const auto proposed = node.core->Propose(cluster.now, commands);
    if (!std::holds_alternative<raft::Raft::Proposed>(proposed)) continue;
    cluster.Pump(id);
    cluster.Run(patience);
    if (node.core->commit() >= std::get<raft::Raft::Proposed>(proposed).first) return id;
  }
  return std::nullopt;
}

// Partly connected nodes (Cloudflare 2020): each of the 64 ways to cut directed links among three
// nodes, met by each of them as leader. If two nodes reach each other there must be a leader that
// commits, and peace: no more elections once the cluster has adapted.
TEST(PartitionMatrix, ALeaderEmergesAndStays) {
  for (unsigned cuts = 0; cuts < 64; ++cuts) {
    for (NodeId first = 1; first <= 3; ++first) {
      Cluster cluster;
      cluster.latency = milliseconds(1);
      cluster.sync_time = milliseconds(1);
      MakeCluster(cluster, 3);
      cluster.now += seconds(1);
      cluster.Tick(first);
      cluster.Run(milliseconds(300));
      unsigned bit = 0;
      for (NodeId from = 1; from <= 3; ++from) {
        for (NodeId to = 1; to <= 3; ++to) {
          if (from != to && (cuts >> bit++ & 1) != 0) cluster.cut.insert({from, to});
        }
      }
      cluster.Run(seconds(10));
      cluster.leaders_elected = 0;
      cluster.Run(seconds(20));
      EXPECT_LE(cluster.leaders_elected, 1U) << "cuts " << cuts << " leader " << first;
      const auto joined = [&](NodeId a, NodeId b) {
        return !cluster.cut.contains({a, b}) && !cluster.cut.contains({b, a});
      };
      if (joined(1, 2) || joined(1, 3) || joined(2, 3)) {
        EXPECT_TRUE(LeaderThatCommits(cluster, milliseconds(500)))
            << "cuts " << cuts << " leader " << first;
      }
      cluster.cut.clear();
      cluster.Run(seconds(3));
      cluster.leaders_elected = 0;
      cluster.Run(seconds(5));
      EXPECT_EQ(cluster.leaders_elected, 0U) << "cuts " << cuts << " leader " << first;
      EXPECT_TRUE(LeaderThatCommits(cluster, milliseconds(500)))
          << "cuts " << cuts << " leader " << first;
    }
  }
}

// Random steps: messages of both lanes in any interleaving, lost, copied and late; syncs one by
// one; crashes that lose what was not synced; processes that are stopped, and on waking read first
// (etcd #20418). Time passes a little at each step.
class RandomSchedule {
 public:
  RandomSchedule(std::uint64_t seed, NodeId size) : random_(seed), size_(size) {
    cluster_.options.max_append_bytes = 100;
    cluster_.options.max_inflight_bytes = 400;
    cluster_.options.max_cached_bytes = 200;
    MakeCluster(cluster_, size);
  }

  void Step() {
    cluster_.now += raft::Duration(Below(8'000));
    const NodeId id = 1 + Below(size_);
    if (id == paused_) {
      if (Below(100) != 0) return Check();
      paused_ = raft::kNoNode;
      Read(id);
    }
    const std::uint64_t choice = Below(1000);
    if (choice < 600) {
      Deliver();
    } else if (choice < 800) {
      if (!cluster_.CompleteWrite(id, 1 + Below(3))) cluster_.AnswerFetch(id, Below(10) == 0);
    } else if (choice < 920) {
      if (Up(id)) cluster_.Tick(id);
    } else if (choice < 950) {
      Propose(id);
    } else if (choice < 980) {
      Read(id);
    } else if (choice < 985) {
      cluster_.Crash(id);
      if (Below(2) == 0) Restart(id);
    } else if (choice < 988) {
      if (!Up(id)) Restart(id);
    } else if (choice < 996) {
      StorageStep(id);
    } else if (choice < 998) {
      Cut();
    } else if (paused_ == raft::kNoNode) {
      paused_ = id;
    }
    Check();
  }

  // Everything is healed: the cluster must agree and serve again.
  void Converge() {
    cluster_.cut.clear();
    cluster_.latency = milliseconds(1);
    cluster_.sync_time = milliseconds(1);
    for (NodeId id = 1; id <= size_; ++id) {
      if (!Up(id)) Restart(id);
      cluster_.Core(id).OnDiskFull(false);
      cluster_.Core(id).PreferSnapshotBelow(0);
    }
    for (int second = 0; second < 6; ++second) {
      cluster_.Run(seconds(1));
      for (NodeId id = 1; id <= size_; ++id) {
        cluster_.KeepSnapshot(id, ++snapshots_);
        Install(id);
      }
    }
    cluster_.Run(seconds(1));
    ASSERT_TRUE(LeaderThatCommits(cluster_, milliseconds(500)));
    for (NodeId id = 1; id <= size_; ++id) {
      EXPECT_EQ(cluster_.Core(id).commit(), cluster_.Core(1).log().last()) << "node " << id;
    }
  }

  std::size_t reads_confirmed() const { return cluster_.answered.size(); }
  Index committed() const { return committed_; }
  std::size_t elections() const { return cluster_.leaders_elected; }
  std::size_t installs() const { return installs_; }

 private:
  std::uint64_t Below(std::uint64_t limit) { return random_() % limit; }
  bool Up(NodeId id) { return cluster_.At(id).core != nullptr; }

  void Restart(NodeId id) {
    const Node& node = cluster_.At(id);
    // The state machine fell back to an earlier flush; what a snapshot or a cut log rests on is
    // flushed.
    const Index flushed = std::max(node.disk.start.index, node.installed.position.index);
    const Index known = std::min(node.apply_to, node.disk.start.index + node.disk.entries.size());
    cluster_.Start(id, known <= flushed ? flushed : flushed + Below(known - flushed + 1));
  }

  void Deliver() {
    std::vector<Link> links;
    for (const auto& [link, queue] : cluster_.network) {
      if (!queue.empty()) links.push_back(link);
    }
    std::erase_if(links, [this](const Link& link) { return link.to == paused_; });
    if (links.empty()) return;
    const Link link = links[Below(links.size())];
    const std::uint64_t fate = Below(100);
    if (fate < 5) {
      cluster_.network[link].pop_front();
      return;
    }
    if (fate < 10)
      cluster_.saved[std::to_string(Below(20))] = cluster_.network[link].front().message;
    cluster_.DeliverOne(link);
    if (fate >= 97 && !cluster_.saved.empty()) {
      auto late = std::next(cluster_.saved.begin(),
                            static_cast<std::ptrdiff_t>(Below(cluster_.saved.size())));
      if (late->second.to != paused_) cluster_.Receive(late->second);
    }
  }

  void Propose(NodeId id) {
    if (!Up(id)) return;
    const std::vector<Bytes> commands(1 + Below(3), Bytes::Copy(std::string(Below(60), 'x')));
    cluster_.Core(id).Propose(cluster_.now, commands);
    cluster_.Pump(id);
  }

  void Read(NodeId id) {
    if (!Up(id)) return;
    asked_[next_read_] = committed_;
    cluster_.Core(id).RequestRead(cluster_.now, next_read_++);
    cluster_.Pump(id);
  }

  // Snapshots taken, forgotten, fetched; logs cut below what is applied; disks that fill up.
  void StorageStep(NodeId id) {
    if (!Up(id)) return;
    Node& node = cluster_.At(id);
    const Index start = node.disk.start.index;
    const Index durable = std::min(node.core->applied(), start + node.disk.entries.size());
    switch (Below(10)) {
      case 0:
      case 1:
        if (durable > start) cluster_.CutLog(id, start + 1 + Below(durable - start));
        return;
      case 2:
      case 5:
        return cluster_.KeepSnapshot(id, ++snapshots_);
      case 6:
        return node.core->PreferSnapshotBelow(Below(node.core->applied() + 1));
      case 3:
        return node.core->OnDiskFull(Below(2) == 0);
      case 4:
        return node.core->OnSnapshotDropped(snapshots_);
      default:
        return Install(id);
    }
  }

  // Also long after it was offered, when it may be of no use any more.
  void Install(NodeId id) {
    const Node& node = cluster_.At(id);
    if (!node.offered || !node.core->WantsInstalled(node.offered->position)) return;
    ++installs_;
    cluster_.Install(id);
  }

  void Cut() {
    if (Below(2) == 0) return cluster_.cut.clear();
    const NodeId from = 1 + Below(size_);
    const NodeId to = 1 + Below(size_);
    cluster_.cut.insert({from, to});
  }

  void Check() {
    cluster_.CheckInvariants();
    for (const auto& [id, node] : cluster_.nodes()) {
      if (node.core != nullptr) committed_ = std::max(committed_, node.core->commit());
    }
    commits_[cluster_.now] = committed_;
    for (const auto& [id, index] : cluster_.answers) {
      const auto asked = asked_.find(id);
      ASSERT_NE(asked, asked_.end()) << "read " << id << " is answered twice";
      EXPECT_GE(index, asked->second) << "read " << id << " misses a commit before it";
      asked_.erase(asked);
    }
    cluster_.answers.clear();
    for (const auto& [id, node] : cluster_.nodes()) CheckAnchor(node);
  }

  // Everything committed anywhere by the anchor's time has an index <= its index. All clocks are
  // one here, so that the claim can be compared with what was.
  void CheckAnchor(const Node& node) {
    if (node.core == nullptr || !node.core->freshness()) return;
    const raft::Freshness fresh = *node.core->freshness();
    auto then = commits_.lower_bound(fresh.at);  // strictly before: the same instant may be later
    if (then == commits_.begin()) return;
    EXPECT_GE(fresh.index, std::prev(then)->second) << "the anchor of node " << node.id << " lies";
  }

  std::mt19937_64 random_;
  NodeId size_;
  NodeId paused_ = raft::kNoNode;
  Cluster cluster_;
  std::uint64_t next_read_ = 1;
  std::uint64_t snapshots_ = 0;
  std::size_t installs_ = 0;
  std::map<std::uint64_t, Index> asked_;  // committed anywhere when the read was asked
  std::map<Time, Index> commits_;
  Index committed_ = 0;
};

TEST(RandomSchedule, KeepsEveryPromise) {
  std::size_t reads = 0;
  std::size_t elections = 0;
  std::size_t installs = 0;
  Index committed = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomSchedule schedule(seed, /*size=*/seed % 3 == 0 ? 5 : 3);
    try {
      for (int step = 0; step < 3000 && !testing::Test::HasFailure(); ++step) schedule.Step();
      if (!testing::Test::HasFailure()) schedule.Converge();
    } catch (const BrokenInvariant& broken) {
      ADD_FAILURE() << broken.what;
    }
    if (testing::Test::HasFailure()) return;
    reads += schedule.reads_confirmed();
    elections += schedule.elections();
    committed += schedule.committed();
    installs += schedule.installs();
  }
  // The schedules do something.
  EXPECT_GT(reads, 1000U);
  EXPECT_GT(elections, 400U);
  EXPECT_GT(committed, 2000U);
  EXPECT_GT(installs, 50U);
}

}  // namespace
}  // namespace quorate::golden
