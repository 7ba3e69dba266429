#include "src/recovery.h"

#include <random>
#include <utility>

#include "src/clock.h"
#include "storage/backup.h"

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

storage::Result<std::unique_ptr<DataDir>> Restore(storage::FileSystem& files,
                                                  const ServerOptions& options,
                                                  const DataDir::Expected& expected, Logger& log) {
  log.Info("first boot: restoring a backup",
           {{"data_dir", options.data_dir}, {"backup", options.restore}});
  auto restored =
      storage::RestoreBackup(files, options.restore, options.data_dir, expected, RandomUuid(),
                             options.log, FirstConfiguration(options), options.database);
  if (restored) {
    log.Info(
        "restored: the cluster begins a new incarnation, and session tokens of the old one are "
        "no longer valid",
        {{"origin", fmt::format("{:016x}", (*restored)->identity().origin)}});
  }
  return restored;
}

// A restore is a first boot: over a directory in use it would mix two states. A node that is
// started again with the flags of its first boot just goes on.
storage::Status CheckRestored(storage::FileSystem& files, const ServerOptions& options,
                              const DataDir& directory) {
  if (options.restore.empty()) return {};
  const std::uint64_t origin = directory.identity().origin;
  const auto file = files.Open(options.restore, storage::OpenMode::kReadOnly);
  if (!file && origin != 0) return {};  // it has been restored, and the backup is put away
  if (file) {
    const auto contents = storage::OpenBackup(**file);
    if (contents && contents->manifest.id == origin) return {};
  }
  return storage::Fail(
      storage::ErrorCode::kExists,
      options.data_dir +
          " already holds a node's data: --restore makes a new directory and leaves "
          "this one alone. Start without --restore, or name an empty directory");
}

storage::Result<std::unique_ptr<DataDir>> OpenDirectory(storage::FileSystem& files,
                                                        const ServerOptions& options,
                                                        std::uint64_t cluster_id, Logger& log) {
  const DataDir::Expected expected{cluster_id, options.id};
  auto opened = DataDir::Open(files, options.data_dir, expected);
  if (opened) {
    const auto restored = CheckRestored(files, options, **opened);
    if (!restored) return tl::make_unexpected(restored.error());
    return opened;
  }
  if (opened.error().code != storage::ErrorCode::kNotFound || !options.bootstrap) return opened;
  if (!options.restore.empty()) return Restore(files, options, expected, log);
  log.Info("first boot: making the data directory", {{"data_dir", options.data_dir}});
  return DataDir::Bootstrap(
      files, options.data_dir, expected, RandomUuid(), [&](const std::string& path) {
        return storage::Log::Create(files, path, options.log, {{}, FirstConfiguration(options)});
      });
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

storage::Result<Recovered> Recover(const ServerOptions& given, std::uint64_t cluster_id,
                                   Logger& log) {
  ServerOptions options = given;
  options.log.salt = RandomUuid().low;
  const raft::Time start = BootTime();
  Recovered result;
  result.files = storage::MakePosixFileSystem();
  auto directory = OpenDirectory(*result.files, options, cluster_id, log);
  if (!directory) return tl::make_unexpected(directory.error());
  result.directory = std::move(*directory);
  result.open = [database = options.database](const std::string& path) {
    return storage::OpenDatabase(path, database);
  };
  auto node = storage::RecoverNode(*result.files, *result.directory, options.log, result.open);
  if (!node) return tl::make_unexpected(node.error());
  result.log = std::move(node->log);
  result.state = std::move(node->state);
  if (node->finished_install) {
    log.Info("finished installing a snapshot that the last stop had cut short",
             {{"index", result.state->applied().index}});
  }
  LogFindings(result.log.recovery, result.state->applied().index, BootTime() - start, log);
  return result;
}

}  // namespace quorate::server
