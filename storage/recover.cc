#include "storage/recover.h"

#include <optional>
#include <utility>

#include "storage/files.h"
#include "storage/snapshot.h"

namespace quorate::storage {
namespace {

// Of the entry at `index`; nothing if the log does not reach that far back or ahead.
std::optional<raft::Term> TermAt(const raft::LogContents& contents, raft::Index index) {
  if (index < contents.start.index || index > contents.last) return std::nullopt;
  raft::Term term = contents.start.term;
  for (const raft::TermRun& run : contents.terms) {
    if (run.first <= index) term = run.term;
  }
  return term;
}

tl::unexpected<Error> FailMismatch(const DataDir& directory, raft::Position applied,
                                   const raft::LogContents& log) {
  const std::optional<raft::Term> term = TermAt(log, applied.index);
  const std::string there = term ? ", where the database has term " + std::to_string(applied.term) +
                                       " and the log has term " + std::to_string(*term)
                                 : "";
  return Fail(ErrorCode::kCorrupt,
              directory.database_path() + " has applied up to index " +
                  std::to_string(applied.index) + ", but " + directory.log_path() + " holds " +
                  std::to_string(log.start.index + 1) + " to " + std::to_string(log.last) + there +
                  "; one of the two was replaced or damaged, so this node must not take part: "
                  "bring it back under a new data directory as a new member");
}

// Empties the log, which then starts at the state's position; term and vote stay.
Status FinishInstall(const StateMachine& state, Log::Opened& opened) {
  raft::AppendBatch batch;
  batch.reset = raft::SnapshotMark{
      state.applied(), state.configuration().value_or(opened.recovery.base_configuration)};
  raft::HardState hard_state = opened.recovery.hard_state;
  // Whoever sent the snapshot was in this term or a later one; this node may not have noted that
  // yet, and then it has not voted in it either.
  if (hard_state.term < state.applied().term) hard_state = {state.applied().term, raft::kNoNode};
  batch.hard_state = hard_state;
  return opened.log->Append({&batch, 1});
}

// A snapshot that has become the current database, or is behind it, is of no use on its way in.
Result<bool> IncomingIsOfUse(FileSystem& files, const DataDir& directory, raft::Index applied) {
  const Result<std::string> data =
      ReadSmallFile(files, directory.incoming_manifest_path(), kMaxManifestBytes);
  if (!data) {
    if (data.error().code == ErrorCode::kIo) return Forward(data);
    return false;
  }
  const Result<Manifest> manifest = Manifest::Decode(*data);
  return manifest && manifest->mark.position.index > applied;
}

Status RemoveLeftovers(FileSystem& files, DataDir& directory, raft::Index applied) {
  const Result<bool> of_use = IncomingIsOfUse(files, directory, applied);
  if (!of_use) return Forward(of_use);
  if (!*of_use) QUORATE_RETURN_IF_ERROR(RemoveIfExists(files, directory.incoming_manifest_path()));
  QUORATE_RETURN_IF_ERROR(directory.RemoveOtherDatabases(/*keep_next=*/*of_use));
  return SnapshotStore(files, directory.snapshots_path(), 0).Clear();
}

}  // namespace

Result<RecoveredNode> RecoverNode(FileSystem& files, DataDir& directory, const LogOptions& options,
                                  const OpenStateMachine& open) {
  RecoveredNode node;
  Result<Log::Opened> log = Log::Open(files, directory.log_path(), options);
  if (!log) return Forward(log);
  Result<std::unique_ptr<StateMachine>> state = open(directory.database_path());
  if (!state) return Forward(state);
  const raft::Position applied = (*state)->applied();
  const auto fits = [&log, applied] {
    return TermAt(log->recovery.contents, applied.index) == applied.term;
  };
  if (!fits() && applied == directory.current().installed &&
      applied.index > log->recovery.contents.start.index) {
    QUORATE_RETURN_IF_ERROR(FinishInstall(**state, *log));
    log->log.reset();
    log = Log::Open(files, directory.log_path(), options);
    if (!log) return Forward(log);
    node.finished_install = true;
  }
  if (!fits()) return FailMismatch(directory, applied, log->recovery.contents);
  QUORATE_RETURN_IF_ERROR(RemoveLeftovers(files, directory, applied.index));
  node.log = std::move(*log);
  node.state = std::move(*state);
  return node;
}

}  // namespace quorate::storage
