// The state machine without RocksDB: the same commands on a std::map, and the same crash contract.
// A crash falls back to an earlier flush, which holds data and position together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/state_machine.h"
#include "tests/sim/random.h"
#include "tests/sim/watched_files.h"

namespace quorate::sim {

struct ModelState {
  std::map<std::string, storage::Record, std::less<>> data;
  raft::Position at;
  std::uint64_t hash = 0;  // of every entry applied and what each did, in order
};

// What flushes have left on disk. Outlives the process.
class FlushStore {
 public:
  // Flushes end in order; one that ends early takes those before it along.
  void Begin(const ModelState& state, SimTime end) {
    for (Pending& flush : pending_) flush.end = std::min(flush.end, end);
    pending_.push_back({end, std::make_shared<const ModelState>(state)});
  }
  // A machine or process that stops loses the flushes that had not ended.
  void Stop(SimTime now) {
    Settle(now);
    pending_.clear();
  }
  const ModelState& Durable(SimTime now) {
    Settle(now);
    return *durable_;
  }
  void Wipe() { *this = FlushStore(); }

 private:
  struct Pending {
    SimTime end;
    std::shared_ptr<const ModelState> state;
  };
  void Settle(SimTime now) {
    for (; !pending_.empty() && pending_.front().end <= now; pending_.pop_front()) {
      durable_ = pending_.front().state;
    }
  }

  std::shared_ptr<const ModelState> durable_ = std::make_shared<const ModelState>();
  std::deque<Pending> pending_;
};

class ModelStateMachine : public storage::StateMachine {
 public:
  // Called for every entry as it is applied, with the hash of the state after it.
  using Observer = std::function<void(const raft::Entry& entry, std::uint64_t hash)>;

  ModelStateMachine(FlushStore& store, std::function<SimTime()> now, PassPoint pass,
                    Observer observer)
      : store_(store),
        now_(std::move(now)),
        pass_(std::move(pass)),
        observer_(std::move(observer)),
        state_(store.Durable(now_())) {}

  storage::Result<std::vector<storage::Applied>> Apply(
      std::span<const raft::Entry> entries) override;
  raft::Position applied() const override { return state_.at; }
  raft::Position flushed() const override { return store_.Durable(now_()).at; }
  storage::Result<std::optional<storage::ReadOutcome>> Get(std::string_view key,
                                                           Cost cost) const override;
  std::unique_ptr<storage::StateView> View() const override;
  storage::Status Flush() override;

  // A flush of what is applied now, which ends and counts at `end`.
  void BeginFlush(SimTime end);
  std::uint64_t hash() const { return state_.hash; }

 private:
  storage::Applied ApplyOne(const raft::Entry& entry);

  FlushStore& store_;
  std::function<SimTime()> now_;
  PassPoint pass_;
  Observer observer_;
  ModelState state_;
};

}  // namespace quorate::sim
