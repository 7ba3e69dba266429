#include "tests/sim/model_state_machine.h"

#include <optional>
#include <utility>

#include "raft/assert.h"
#include "storage/execute.h"

namespace quorate::sim {
namespace {

using storage::Applied;
using storage::Record;

// Changes the state at once: nothing fails here, so that nothing is ever taken back.
class ModelKeys final : public storage::KeySpace {
 public:
  explicit ModelKeys(ModelState& state) : state_(state) {}

  storage::Result<std::optional<Record>> Get(std::string_view key) override {
    const auto it = state_.data.find(key);
    return it == state_.data.end() ? std::nullopt : std::optional(it->second);
  }
  void Put(std::string_view key, raft::Index mod_index, std::uint64_t owner,
           std::string_view value) override {
    state_.data.insert_or_assign(std::string(key), Record{mod_index, owner, std::string(value)});
  }
  void Delete(std::string_view key) override {
    const auto it = state_.data.find(key);
    if (it != state_.data.end()) state_.data.erase(it);
  }
  storage::Result<std::vector<std::string>> Keys(std::string_view first, std::string_view last,
                                                 std::size_t max) override {
    std::vector<std::string> names;
    for (auto it = state_.data.lower_bound(first); it != state_.data.end(); ++it) {
      if (names.size() == max || (!last.empty() && it->first >= last)) break;
      names.push_back(it->first);
    }
    return names;
  }
  void PutRow(std::string_view name, std::string_view value) override {
    state_.rows.insert_or_assign(std::string(name), std::string(value));
  }
  void DeleteRow(std::string_view name) override {
    const auto it = state_.rows.find(name);
    if (it != state_.rows.end()) state_.rows.erase(it);
  }
  storage::Result<std::vector<std::string>> RowNames(std::string_view prefix,
                                                     std::size_t max) override {
    std::vector<std::string> names;
    for (auto it = state_.rows.lower_bound(prefix); it != state_.rows.end(); ++it) {
      if (names.size() == max || !it->first.starts_with(prefix)) break;
      names.push_back(it->first);
    }
    return names;
  }

 private:
  ModelState& state_;
};

// Holds a copy: what RocksDB's snapshot is to readers.
class ModelView : public storage::StateView {
 public:
  explicit ModelView(ModelState state) : state_(std::move(state)) {}

  raft::Position at() const override { return state_.at; }
  storage::Result<Page> Scan(std::string_view first, std::string_view last, std::size_t max_items,
                             std::size_t max_bytes, bool count_only) const override {
    Page page;
    std::size_t bytes = 0;
    for (auto it = state_.data.lower_bound(first); it != state_.data.end(); ++it) {
      if (!last.empty() && it->first >= last) break;
      if (page.count >= max_items || bytes >= max_bytes) {
        page.next = it->first;
        break;
      }
      ++page.count;
      bytes += it->first.size() + it->second.value.size();
      if (!count_only) page.items.push_back({it->first, it->second});
    }
    return page;
  }

 private:
  ModelState state_;
};

}  // namespace

ModelStateMachine::ModelStateMachine(Surroundings surroundings, std::string directory,
                                     StoredState stored)
    : world_(std::move(surroundings)),
      directory_(std::move(directory)),
      state_(std::move(stored.state)),
      sessions_(world_.control),
      generation_(stored.generation),
      flushed_(std::make_shared<const ModelState>(state_)) {
  for (auto row = state_.rows.lower_bound(storage::Sessions::RowsBegin()); row != state_.rows.end();
       ++row) {
    const bool known = sessions_.LoadRow(row->first, row->second);
    QUORATE_ASSERT(known, "the rows of sessions are read as they were written");
  }
}

storage::Result<std::unique_ptr<ModelStateMachine>> ModelStateMachine::Open(
    const Surroundings& surroundings, const std::string& directory) {
  storage::FileSystem& files = surroundings.files;
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(directory));
  auto stored = LoadState(files, directory);
  if (!stored) return storage::Forward(stored);
  if (!*stored) {
    *stored = StoredState{{}, 1};
    QUORATE_RETURN_IF_ERROR(SaveState(files, directory, (*stored)->state, 1));
  }
  // An earlier process may have been killed before it synced the name of the present state.
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(directory));
  // Without its own name the directory would be lost with all that is flushed into it.
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(directory.substr(0, directory.rfind('/'))));
  return std::unique_ptr<ModelStateMachine>(
      new ModelStateMachine(surroundings, directory, std::move(**stored)));
}

Applied ModelStateMachine::ApplyOne(const raft::Entry& entry, storage::KeySpace& keys) {
  QUORATE_ASSERT(entry.index == state_.at.index + 1, "entries are applied in order, each once");
  auto executed = storage::Execute(entry, command_, keys, sessions_);
  QUORATE_ASSERT(executed.has_value(), "a map never fails to answer");
  Applied applied = std::move(*executed);
  if (entry.kind == raft::EntryKind::kConfiguration) {
    state_.configuration = raft::Configuration::Decode(entry.data.view());
  }
  const auto hash_of = std::hash<std::string_view>();
  std::uint64_t hash = Mix(state_.hash + entry.index);
  hash = Mix(hash ^ entry.term);
  hash = Mix(hash ^ hash_of(entry.data.view()));
  hash = Mix(hash ^ (static_cast<std::uint64_t>(applied.outcome) + (applied.have << 8)));
  hash = Mix(hash ^ hash_of(applied.result) ^ (applied.executed.index << 2) ^
             (applied.found ? 2U : 0U) ^ (applied.repeated ? 1U : 0U));
  const storage::SessionStats sessions = sessions_.stats();
  hash = Mix(hash ^ sessions.clock_us ^ (sessions.open << 40) ^ (sessions.ending << 52));
  state_.hash = hash;
  state_.at = {entry.index, entry.term};
  world_.observer(entry, hash);
  return applied;
}

storage::Result<std::vector<Applied>> ModelStateMachine::Apply(
    std::span<const raft::Entry> entries) {
  if (failed_) return storage::Fail(storage::ErrorCode::kIo, "the database failed before");
  std::vector<Applied> results;
  results.reserve(entries.size());
  world_.pass("before apply");
  ModelKeys keys(state_);
  for (const raft::Entry& entry : entries) results.push_back(ApplyOne(entry, keys));
  sessions_.WriteRows(keys);
  world_.pass("after apply");
  return results;
}

storage::Result<std::optional<storage::ReadOutcome>> ModelStateMachine::Get(std::string_view key,
                                                                            Cost) const {
  storage::ReadOutcome outcome;
  outcome.at = state_.at;
  const auto it = state_.data.find(key);
  if (it != state_.data.end()) outcome.record = it->second;
  return outcome;
}

std::unique_ptr<storage::StateView> ModelStateMachine::View() const {
  return std::make_unique<ModelView>(state_);
}

storage::Status ModelStateMachine::Flush() {
  if (failed_) return storage::Fail(storage::ErrorCode::kIo, "the database failed before");
  storage::Status status = SaveState(world_.files, directory_, state_, ++generation_);
  failed_ = !status && status.error().code != storage::ErrorCode::kNoSpace;
  if (status) pending_.push_back({world_.disk.End(), std::make_shared<const ModelState>(state_)});
  return status;
}

const ModelState& ModelStateMachine::flushed_state() const {
  for (; !pending_.empty() && pending_.front().end <= world_.now(); pending_.pop_front()) {
    flushed_ = pending_.front().state;
  }
  return *flushed_;
}

std::uint64_t ModelStateMachine::disk_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [key, record] : state_.data) bytes += key.size() + record.value.size();
  return bytes;
}

storage::Result<raft::SnapshotMark> ModelStateMachine::Checkpoint(const std::string& directory) {
  QUORATE_RETURN_IF_ERROR(world_.files.CreateDirectory(directory));
  QUORATE_RETURN_IF_ERROR(SaveState(world_.files, directory, state_, 1));
  return raft::SnapshotMark{state_.at, state_.configuration.value_or(raft::Configuration())};
}

}  // namespace quorate::sim
