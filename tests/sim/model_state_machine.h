// The state machine without RocksDB: the real executor on std::map, and the same crash contract.
// A crash falls back to an earlier flush, which holds data and position together.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/proto/wire.pb.h"
#include "storage/sessions.h"
#include "storage/state_machine.h"
#include "tests/sim/model_state.h"
#include "tests/sim/random.h"
#include "tests/sim/virtual_disk.h"
#include "tests/sim/watched_files.h"

namespace quorate::sim {

class ModelStateMachine : public storage::StateMachine {
 public:
  // Called for every entry as it is applied, with the hash of the state after it.
  using Observer = std::function<void(const raft::Entry& entry, std::uint64_t hash)>;
  // All of it must outlive the state machine.
  struct Surroundings {
    VirtualDisk& disk;
    storage::FileSystem& files;  // the same disk, watched
    std::function<SimTime()> now;
    PassPoint pass;
    Observer observer;
    raft::Control control = raft::Control::kNone;
  };

  // Makes an empty one if there is none in `directory`.
  static storage::Result<std::unique_ptr<ModelStateMachine>> Open(const Surroundings& surroundings,
                                                                  const std::string& directory);

  storage::Result<std::vector<storage::Applied>> Apply(
      std::span<const raft::Entry> entries) override;
  raft::Position applied() const override { return state_.at; }
  raft::Position flushed() const override { return flushed_state().at; }
  storage::Result<std::optional<storage::ReadOutcome>> Get(std::string_view key,
                                                           Cost cost) const override;
  std::unique_ptr<storage::StateView> View() const override;
  storage::SessionStats sessions() const override { return sessions_.stats(); }
  std::vector<std::uint64_t> DueSessions(std::uint64_t clock_us, std::size_t max) const override {
    return sessions_.Due(clock_us, max);
  }
  storage::Status Flush() override;
  std::optional<raft::Configuration> configuration() const override { return state_.configuration; }
  std::uint64_t disk_bytes() const override;
  storage::Result<raft::SnapshotMark> Checkpoint(const std::string& directory) override;

  std::uint64_t hash() const { return state_.hash; }
  const ModelState& state() const { return state_; }
  // What a crash now would fall back to at worst.
  const ModelState& flushed_state() const;

 private:
  struct PendingFlush {
    SimTime end;
    std::shared_ptr<const ModelState> state;
  };

  ModelStateMachine(Surroundings surroundings, std::string directory, StoredState stored);
  storage::Applied ApplyOne(const raft::Entry& entry, storage::KeySpace& keys);

  const Surroundings world_;
  const std::string directory_;
  ModelState state_;
  storage::Sessions sessions_;
  wire::Command command_;
  std::uint64_t generation_ = 0;
  bool failed_ = false;  // by an error of the disk: as RocksDB does, it takes nothing any more
  // Work runs ahead of the clock: what it has flushed counts once its time has come.
  mutable std::deque<PendingFlush> pending_;
  mutable std::shared_ptr<const ModelState> flushed_;
};

}  // namespace quorate::sim
