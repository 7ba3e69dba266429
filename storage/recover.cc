#include "storage/recover.h"

#include <utility>

#include "raft/log.h"

namespace quorate::storage {
namespace {

std::string Name(raft::Position position) {
  return "index " + std::to_string(position.index) + " of term " + std::to_string(position.term);
}

bool Reaches(const raft::LogContents& contents, raft::Position applied) {
  if (applied.index == 0) return contents.start.index == 0;
  return raft::Log(contents).Matches(applied);
}

// The log starts anew behind the installed snapshot, with term and vote as they were.
Status FinishInstall(StateMachine& state, raft::Position installed, Log::Opened& opened) {
  raft::SnapshotMark mark{installed,
                          state.configuration().value_or(opened.recovery.base_configuration)};
  raft::AppendBatch batch;
  batch.hard_state = opened.recovery.hard_state;
  batch.reset = mark;
  QUORATE_RETURN_IF_ERROR(opened.log->Append({&batch, 1}));
  opened.recovery.contents = {.start = installed, .terms = {}, .last = installed.index};
  opened.recovery.base_configuration = std::move(mark.configuration);
  opened.recovery.configurations.clear();
  return {};
}

}  // namespace

Result<RecoveredNode> RecoverNode(FileSystem& files, DataDir& directory, const LogOptions& options,
                                  const OpenStateMachine& open) {
  RecoveredNode node;
  QUORATE_RETURN_IF_ERROR(RemoveTree(files, directory.snapshots_path()));
  QUORATE_RETURN_IF_ERROR(directory.RemoveOtherDatabases(/*keep_next=*/true));
  Result<Log::Opened> log = Log::Open(files, directory.log_path(), options);
  if (!log) return Forward(log);
  node.log = std::move(*log);
  Result<std::unique_ptr<StateMachine>> state = open(directory.database_path());
  if (!state) return Forward(state);
  node.state = std::move(*state);
  const raft::Position applied = node.state->applied();
  const raft::LogContents& contents = node.log.recovery.contents;
  if (Reaches(contents, applied)) return node;
  if (applied.index > 0 && applied == directory.current().installed) {
    QUORATE_RETURN_IF_ERROR(FinishInstall(*node.state, applied, node.log));
    node.finished_install = true;
    return node;
  }
  return Fail(ErrorCode::kCorrupt,
              directory.database_path() + " has applied up to " + Name(applied) +
                  ", but the log holds " + std::to_string(contents.start.index + 1) + " to " +
                  std::to_string(contents.last) +
                  ", or another entry there; one of the two was replaced or damaged, so this node "
                  "must not take part: restore the directory from before that");
}

}  // namespace quorate::storage
