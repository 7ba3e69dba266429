#include "tests/unit/snapshot_transfer_world.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace quorate::server {
namespace {

constexpr char kPath[] = "/node";
// Ticks that do not bring time forward: a deadline that Tick() does not move is a loop without end.
constexpr int kMaxStepsWithoutTime = 1000;

}  // namespace

storage::Result<raft::SnapshotMark> FilesOnly::Checkpoint(const std::string& directory) {
  QUORATE_RETURN_IF_ERROR(files_.CreateDirectory(directory));
  for (const auto& [name, text] : contents_) {
    const auto file = files_.Open(directory + "/" + name, storage::OpenMode::kCreate);
    if (!file) return storage::Forward(file);
    QUORATE_RETURN_IF_ERROR((*file)->Write(0, text));
    QUORATE_RETURN_IF_ERROR((*file)->Sync());
  }
  QUORATE_RETURN_IF_ERROR(files_.SyncDirectory(directory));
  return raft::SnapshotMark{at_, {}};
}

void World::After(raft::Duration wait, std::function<void()> event) {
  events_.emplace(now_ + wait, std::move(event));
}

Node::Node(World& world, raft::NodeId id, std::uint64_t cluster_id, const SnapshotOptions& options)
    : world_(world), id_(id), cluster_id_(cluster_id), options_(options) {
  {
    const auto made = storage::DataDir::Bootstrap(
        files_, kPath, {cluster_id_, id_}, {1, id_},
        [this](const std::string& path) { return files_.CreateDirectory(path); });
    EXPECT_TRUE(made) << made.error().message;
  }
  Start();
}

void Node::Stop() {
  ++life_;
  sender_.reset();
  receiver_.reset();
  directory_.reset();
}

void Node::Start() {
  auto opened = storage::DataDir::Open(files_, kPath, {cluster_id_, id_});
  ASSERT_TRUE(opened) << opened.error().message;
  directory_ = std::move(*opened);
  sender_ =
      std::make_unique<SnapshotSender>(options_, static_cast<Host&>(*this), files_, *directory_);
  sender_->OnDropped([this](std::uint64_t id) { dropped.push_back(id); });
  receiver_ = std::make_unique<SnapshotReceiver>(
      options_, static_cast<Host&>(*this), files_, *directory_,
      [this](const storage::Manifest& manifest) {
        EXPECT_FALSE(ready) << "nothing more is fetched until Finished()";
        ready = manifest;
      },
      [this](const std::string& problem) { problems.push_back(problem); });
  lane_free_ = world_.now();
}

FileContents Node::Read(const std::string& path) {
  FileContents contents;
  if (!files_.Exists(path).value_or(false)) return contents;
  const auto names = files_.List(path);
  for (const std::string& name : *names) {
    contents[name] = files_.Written(path + "/" + name);
  }
  return contents;
}

void Node::InThisLife(raft::Time when, std::function<void()> event) {
  world_.events_.emplace(when, [this, life = life_, event = std::move(event)] {
    if (life == life_) event();
  });
}

void Node::SendSnapshot(raft::NodeId to, SnapshotMessage message) {
  if (const auto* request = std::get_if<SnapshotRequest>(&message)) {
    requests[to].push_back(*request);
  }
  const auto deliver = [this, to, message] {
    const auto peer = peers_->find(to);
    if (peer == peers_->end() || !peer->second->running()) return;
    SnapshotMessage changed = message;
    if (world_.filter && !world_.filter(id_, to, changed)) return;
    if (const auto* request = std::get_if<SnapshotRequest>(&changed)) {
      peer->second->sender().OnRequest(id_, *request);
    } else {
      peer->second->receiver().OnReply(id_, std::get<SnapshotReply>(changed));
    }
  };
  const World::Network& network = world_.network;
  const auto percent = [this] { return static_cast<int>(world_.Random(100)); };
  const int copies = percent() < network.lost_percent       ? 0
                     : percent() < network.repeated_percent ? 2
                                                            : 1;
  for (int i = 0; i < copies; ++i) {
    const auto slowest = static_cast<std::uint64_t>(network.slowest.count());
    world_.After(raft::Duration(static_cast<std::int64_t>(1 + world_.Random(slowest))), deliver);
  }
}

void Node::Run(Lane lane, std::function<void()> work, std::function<void()> done) {
  EXPECT_EQ(lane, Lane::kSnapshot);
  lane_free_ = std::max(lane_free_, world_.now()) + raft::Duration(1 + world_.Random(2'000));
  InThisLife(lane_free_, [this, work = std::move(work), done = std::move(done)] {
    work();
    InThisLife(world_.now() + raft::Duration(1), done);
  });
}

Node& Scenario::Add(raft::NodeId id, std::uint64_t cluster_id) {
  auto& node = nodes_[id];
  node = std::make_unique<Node>(world, id, cluster_id, options_);
  node->peers_ = &peers_;
  peers_[id] = node.get();
  return *node;
}

void Scenario::OfferFrom(raft::NodeId from, Node& to, const storage::Manifest& manifest) {
  Repeat({from, &to, manifest.id, manifest.mark.position, round_});
}

void Scenario::Repeat(const Offer& offer) {
  if (offer.round != round_) return;
  if (peers_.at(offer.from)->running() && offer.to->running()) {
    offer.to->receiver().OnOffer(offer.from, offer.snapshot, offer.position);
  }
  world.After(raft::Duration(100'000), [this, offer] { Repeat(offer); });
}

void Scenario::Step(raft::Time limit) {
  raft::Time next = limit;
  if (!world.events_.empty()) next = std::min(next, world.events_.begin()->first);
  for (const auto& [id, node] : nodes_) {
    if (!node->running()) continue;
    next = std::min({next, node->sender().NextDeadline(), node->receiver().NextDeadline()});
  }
  steps_without_time_ = next <= world.now_ ? steps_without_time_ + 1 : 0;
  ASSERT_LT(steps_without_time_, kMaxStepsWithoutTime) << "Tick() does not move a deadline";
  world.now_ = std::max(world.now_, next);
  for (const auto& [id, node] : nodes_) {
    if (!node->running()) continue;
    if (node->sender().NextDeadline() <= world.now_) node->sender().Tick(world.now_);
    if (node->receiver().NextDeadline() <= world.now_) node->receiver().Tick(world.now_);
  }
  if (!world.events_.empty() && world.events_.begin()->first <= world.now_) {
    const auto event = world.events_.extract(world.events_.begin());
    event.mapped()();
  }
}

bool Scenario::RunUntil(const std::function<bool()>& condition, raft::Duration limit) {
  const raft::Time end = world.now_ + limit;
  while (!condition()) {
    if (world.now_ >= end || testing::Test::HasFatalFailure()) return false;
    Step(end);
  }
  return true;
}

storage::Result<storage::Manifest> Scenario::Take(Node& node, const FileContents& contents,
                                                  raft::Position at, std::uint64_t id) {
  std::optional<storage::Result<storage::Manifest>> taken;
  node.sender().Take(std::make_shared<FilesOnly>(node.files(), contents, at),
                     raft::Configuration::Bootstrap({{1, {}, "a"}, {2, {}, "b"}}), id,
                     [&](const storage::Result<storage::Manifest>& result) { taken = result; });
  EXPECT_TRUE(RunUntil([&] { return taken.has_value(); }));
  return *taken;
}

}  // namespace quorate::server
