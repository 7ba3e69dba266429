#include "tests/sim/model_state_machine.h"

#include "client/proto/wire.pb.h"
#include "raft/assert.h"

namespace quorate::sim {
namespace {

using storage::Applied;
using storage::Outcome;
using storage::Record;

using Data = std::map<std::string, Record, std::less<>>;

Outcome ApplyCompareAndSet(const wire::CompareAndSet& command, raft::Index index, Data& data,
                           Applied& applied) {
  const auto it = data.find(command.key());
  bool holds = false;
  switch (command.expect_case()) {
    case wire::CompareAndSet::kModIndex:
      holds = command.mod_index() == (it == data.end() ? 0 : it->second.mod_index);
      break;
    case wire::CompareAndSet::kExpectedValue:
      holds = it != data.end() && it->second.value == command.expected_value();
      break;
    case wire::CompareAndSet::EXPECT_NOT_SET:
      return Outcome::kRejected;
  }
  if (!holds) {
    applied.current_mod_index = it == data.end() ? 0 : it->second.mod_index;
    return Outcome::kCompareFailed;
  }
  data[command.key()] = Record{index, 0, command.value()};
  return Outcome::kDone;
}

Outcome ApplyCommand(const wire::Command& command, raft::Index index, Data& data,
                     Applied& applied) {
  switch (command.operation_case()) {
    case wire::Command::kPut:
      data[command.put().key()] = Record{index, 0, command.put().value()};
      return Outcome::kDone;
    case wire::Command::kDelete:
      return data.erase(command.delete_().key()) > 0 ? Outcome::kDone : Outcome::kNotFound;
    case wire::Command::kCompareAndSet:
      return ApplyCompareAndSet(command.compare_and_set(), index, data, applied);
    default:
      return Outcome::kRejected;
  }
  return Outcome::kRejected;
}

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
      generation_(stored.generation),
      flushed_(std::make_shared<const ModelState>(state_)) {}

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

Applied ModelStateMachine::ApplyOne(const raft::Entry& entry) {
  QUORATE_ASSERT(entry.index == state_.at.index + 1, "entries are applied in order, each once");
  Applied applied{entry.index, entry.term, Outcome::kDone, 0};
  if (entry.kind == raft::EntryKind::kCommand) {
    wire::Command command;
    const std::string_view data = entry.data.view();
    applied.outcome = command.ParseFromArray(data.data(), static_cast<int>(data.size()))
                          ? ApplyCommand(command, entry.index, state_.data, applied)
                          : Outcome::kRejected;
  }
  if (entry.kind == raft::EntryKind::kConfiguration) {
    state_.configuration = raft::Configuration::Decode(entry.data.view());
  }
  std::uint64_t hash = Mix(state_.hash + entry.index);
  hash = Mix(hash ^ entry.term);
  hash = Mix(hash ^ std::hash<std::string_view>()(entry.data.view()));
  hash =
      Mix(hash ^ (static_cast<std::uint64_t>(applied.outcome) + (applied.current_mod_index << 8)));
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
  for (const raft::Entry& entry : entries) results.push_back(ApplyOne(entry));
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
