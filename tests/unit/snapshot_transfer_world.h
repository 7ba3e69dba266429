// Nodes that pass snapshots to each other in virtual time, over a network and disks that a test may
// spoil.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/replica.h"
#include "src/snapshot_transfer.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::server {

using FileContents = std::map<std::string, std::string>;  // by name

// A state that is nothing but the files of its checkpoint.
class FilesOnly final : public storage::StateMachine {
 public:
  FilesOnly(storage::FileSystem& files, FileContents contents, raft::Position at)
      : files_(files), contents_(std::move(contents)), at_(at) {}

  storage::Result<raft::SnapshotMark> Checkpoint(const std::string& directory) override;

  storage::Result<std::vector<storage::Applied>> Apply(std::span<const raft::Entry>) override {
    return {};
  }
  raft::Position applied() const override { return at_; }
  raft::Position flushed() const override { return at_; }
  storage::Result<std::optional<storage::ReadOutcome>> Get(std::string_view, Cost) const override {
    return std::nullopt;
  }
  std::unique_ptr<storage::StateView> View() const override { return nullptr; }
  storage::SessionStats sessions() const override { return {}; }
  std::vector<std::uint64_t> DueSessions(std::uint64_t /*clock_us*/,
                                         std::size_t /*max*/) const override {
    return {};
  }
  storage::Status Flush() override { return {}; }
  std::optional<raft::Configuration> configuration() const override { return std::nullopt; }
  std::uint64_t disk_bytes() const override { return 0; }

 private:
  storage::FileSystem& files_;
  const FileContents contents_;
  const raft::Position at_;
};

class World {
 public:
  struct Network {
    int lost_percent = 0;
    int repeated_percent = 0;
    raft::Duration slowest{1'000};  // messages overtake each other
  };

  explicit World(std::uint64_t seed = 1) : random_(seed) {}

  Network network;
  // Sees every message before its delivery, and may change it; false: it is lost.
  std::function<bool(raft::NodeId from, raft::NodeId to, SnapshotMessage& message)> filter;

  raft::Time now() const { return now_; }
  std::uint64_t Random(std::uint64_t below) { return random_() % below; }
  void After(raft::Duration wait, std::function<void()> event);

 private:
  friend class Node;
  friend class Scenario;

  raft::Time now_{1'000'000};
  std::mt19937_64 random_;
  std::multimap<raft::Time, std::function<void()>> events_;
};

// One node's share: its disk, which outlives the process, and the process.
class Node final : private Host {
 public:
  Node(World& world, raft::NodeId id, std::uint64_t cluster_id, const SnapshotOptions& options);

  // The process ends at once, with whatever is under way; and comes again. For what is to survive,
  // see MemoryFileSystem.
  void Stop();
  void Start();
  bool running() const { return receiver_ != nullptr; }

  // What the current database holds, and the one on its way in.
  FileContents Database() { return Read(directory_->database_path()); }
  FileContents Incoming() { return Read(directory_->next_database_path()); }

  storage::MemoryFileSystem& files() { return files_; }
  storage::DataDir& directory() { return *directory_; }
  SnapshotSender& sender() { return *sender_; }
  SnapshotReceiver& receiver() { return *receiver_; }

  std::optional<storage::Manifest> ready;
  std::vector<std::string> problems;
  std::vector<std::uint64_t> dropped;
  std::string fatal;
  std::map<raft::NodeId, std::vector<SnapshotRequest>> requests;  // sent, by whom they are for

 private:
  friend class Scenario;

  raft::Time Now() override { return world_.now(); }
  void Send(raft::Message) override {}
  void SendSnapshot(raft::NodeId to, SnapshotMessage message) override;
  void Run(Lane lane, std::function<void()> work, std::function<void()> done) override;
  void PumpSoon() override {}
  void Fatal(const std::string& why) override { fatal = why; }
  void OnWrite(std::uint64_t, const WriteResult&) override {}
  void OnRead(const Read&) override {}
  void OnSoftState(const raft::SoftState&) override {}

  FileContents Read(const std::string& path);
  // Runs the event unless the process has ended by then.
  void InThisLife(raft::Time when, std::function<void()> event);

  World& world_;
  const raft::NodeId id_;
  const std::uint64_t cluster_id_;
  const SnapshotOptions options_;
  std::map<raft::NodeId, Node*>* peers_ = nullptr;
  storage::MemoryFileSystem files_;
  std::unique_ptr<storage::DataDir> directory_;
  std::unique_ptr<SnapshotSender> sender_;
  std::unique_ptr<SnapshotReceiver> receiver_;
  std::uint64_t life_ = 0;
  raft::Time lane_free_{0};
};

// Runs everything in order of time.
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed = 1, const SnapshotOptions& options = {})
      : world(seed), options_(options) {}

  Node& Add(raft::NodeId id, std::uint64_t cluster_id = 0xabc);
  // The leader offers `manifest` to `to`, again and again, as long as `from` runs.
  void OfferFrom(raft::NodeId from, Node& to, const storage::Manifest& manifest);
  void StopOffers() { ++round_; }

  // False: it did not come true within `limit`.
  bool RunUntil(const std::function<bool()>& condition,
                raft::Duration limit = raft::Duration(600'000'000));
  void RunFor(raft::Duration duration) {
    RunUntil([] { return false; }, duration);
  }
  // Takes a snapshot of these files and waits for the outcome.
  storage::Result<storage::Manifest> Take(Node& node, const FileContents& contents,
                                          raft::Position at, std::uint64_t id);

  World world;

 private:
  struct Offer {
    raft::NodeId from = raft::kNoNode;
    Node* to = nullptr;
    std::uint64_t snapshot = 0;
    raft::Position position;
    std::uint64_t round = 0;
  };

  void Repeat(const Offer& offer);
  void Step(raft::Time limit);

  const SnapshotOptions options_;
  std::map<raft::NodeId, std::unique_ptr<Node>> nodes_;
  std::map<raft::NodeId, Node*> peers_;
  std::uint64_t round_ = 0;
  int steps_without_time_ = 0;
};

}  // namespace quorate::server
