#include "src/recovery.h"

#include <random>
#include <utility>

#include "src/clock.h"

namespace quorate::server {
namespace {

using storage::DataDir;

raft::Uuid RandomUuid() {
  std::random_device random;
  const auto word = [&] { return std::uint64_t{random()} << 32 | random(); };
  return {word(), word() | 1};
}

raft::Configuration FirstConfiguration(const ServerOptions& options) {
  std::vector<raft::Member> members;
  for (const auto& [id, address] : options.cluster) {
    members.push_back({.id = id, .uuid = {}, .address = address.ToString()});
  }
  return raft::Configuration::Bootstrap(std::move(members));
}

storage::Result<std::unique_ptr<DataDir>> OpenDirectory(storage::FileSystem& files,
                                                        const ServerOptions& options,
                                                        std::uint64_t cluster_id, Logger& log) {
  const DataDir::Expected expected{cluster_id, options.id};
  auto opened = DataDir::Open(files, options.data_dir, expected);
  if (opened || opened.error().code != storage::ErrorCode::kNotFound || !options.bootstrap) {
    return opened;
  }
  log.Info("first boot: making the data directory", {{"data_dir", options.data_dir}});
  return DataDir::Bootstrap(
      files, options.data_dir, expected, RandomUuid(), [&](const std::string& path) {
        return storage::Log::Create(files, path, options.log, FirstConfiguration(options));
      });
}

// The database is never ahead of the log: entries are applied only once they are durable.
storage::Status CheckPositions(const storage::LogRecovery& log, const storage::StateMachine& state,
                               const ServerOptions& options) {
  const raft::Index applied = state.applied().index;
  if (applied >= log.contents.start.index && applied <= log.contents.last) return {};
  return storage::Fail(
      storage::ErrorCode::kCorrupt,
      fmt::format("{}: the database has applied up to index {}, but the log holds {} to {}; one of "
                  "the two was replaced or damaged, so this node must not take part: restore the "
                  "directory from before that",
                  options.data_dir, applied, log.contents.start.index + 1, log.contents.last));
}

void LogFindings(const storage::LogRecovery& found, raft::Index applied, raft::Duration took,
                 Logger& log) {
  log.SetTerm(found.hard_state.term);
  log.Info("recovered", {{"first_index", found.contents.start.index + 1},
                         {"last_index", found.contents.last},
                         {"vote", found.hard_state.vote},
                         {"applied_index", applied},
                         {"clean_shutdown", found.clean_shutdown},
                         {"cut_bytes", found.cut_bytes},
                         {"cut_records", found.cut_records},
                         {"rewritten_bytes", found.rewritten_bytes},
                         {"took_ms", static_cast<double>(took.count()) / 1000}});
  if (found.cut_bytes > 0) {  // one torn record counts as none that was cut
    log.Warn(
        "the log's last, unsynced batch was torn and has been cut; nothing acknowledged is lost",
        {{"bytes", found.cut_bytes}, {"records", found.cut_records}});
  }
}

}  // namespace

storage::Result<Recovered> Recover(const ServerOptions& options, std::uint64_t cluster_id,
                                   Logger& log) {
  const raft::Time start = BootTime();
  Recovered result;
  result.files = storage::MakePosixFileSystem();
  auto directory = OpenDirectory(*result.files, options, cluster_id, log);
  if (!directory) return tl::make_unexpected(directory.error());
  result.directory = std::move(*directory);
  auto opened = storage::Log::Open(*result.files, result.directory->log_path(), options.log);
  if (!opened) return tl::make_unexpected(opened.error());
  result.log = std::move(*opened);
  auto state = storage::OpenDatabase(result.directory->database_path(), options.database);
  if (!state) return tl::make_unexpected(state.error());
  result.state = std::move(*state);
  const auto checked = CheckPositions(result.log.recovery, *result.state, options);
  if (!checked) return tl::make_unexpected(checked.error());
  LogFindings(result.log.recovery, result.state->applied().index, BootTime() - start, log);
  return result;
}

}  // namespace quorate::server
