#include "storage/data_dir.h"

#include <cinttypes>
#include <cstdio>
#include <optional>
#include <utility>

#include "storage/crc32c.h"
#include "storage/files.h"

namespace quorate::storage {
namespace {

constexpr std::size_t kMaxTextBytes = 4096;
constexpr std::string_view kDatabasePrefix = "db-";
constexpr char kCurrentName[] = "CURRENT";
constexpr char kQuarantinedName[] = "QUARANTINED";

constexpr char kAsNewMember[] =
    "keep the directory for inspection, and bring the node back under a new data directory as a "
    "new member";

std::string IdentityPath(const std::string& path) {
  return path + "/IDENTITY";
}
// Exists from before the log is made until IDENTITY takes its place: tells a first boot that was
// cut short, which may be done again, from a node that has lost its IDENTITY, whose log must not be
// touched.
std::string PendingPath(const std::string& path) {
  return path + "/IDENTITY.tmp";
}

std::string Hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, value);
  return text;
}

std::string Checksum(std::string_view text) {
  return "checksum " + Hex(Crc32c(text)).substr(8) + "\n";
}

std::string FormatIdentity(const Identity& identity) {
  std::string text = "quorate data directory\n";
  text += "format " + std::to_string(identity.format_version) + "\n";
  text += "cluster " + Hex(identity.cluster_id) + "\n";
  text += "node " + std::to_string(identity.node_id) + "\n";
  text += "uuid " + Hex(identity.uuid.high) + Hex(identity.uuid.low) + "\n";
  text += "origin " + Hex(identity.origin) + "\n";
  return text + Checksum(text);
}

std::string FormatCurrent(const CurrentDatabase& current) {
  std::string text = "quorate current database\n";
  text += "generation " + std::to_string(current.generation) + "\n";
  text += "installed " + std::to_string(current.installed.index) + " " +
          std::to_string(current.installed.term) + "\n";
  return text + Checksum(text);
}

bool ChecksumHolds(const std::string& text) {
  const std::size_t last_line = text.rfind("checksum ");
  return last_line != std::string::npos &&
         text.substr(last_line) == Checksum(std::string_view(text).substr(0, last_line));
}

// Of text whose checksum holds, so that this version or another wrote every line.
Result<Identity> ParseIdentity(const std::string& path, const std::string& text) {
  Identity identity;
  int format_end = 0;
  if (std::sscanf(text.c_str(), "quorate data directory\nformat %" SCNu32 "%n",
                  &identity.format_version, &format_end) != 1) {
    return Fail(ErrorCode::kMismatch, path + " is not an identity of this program");
  }
  const std::string format = path + " has format " + std::to_string(identity.format_version);
  if (identity.format_version > kFormatVersion) {
    return Fail(ErrorCode::kMismatch, format + ", newer than this version's " +
                                          std::to_string(kFormatVersion) +
                                          "; start the version that wrote it, or a newer one");
  }
  if (identity.format_version < kFormatVersion) {
    return Fail(ErrorCode::kMismatch,
                format + ", which this version, with format " + std::to_string(kFormatVersion) +
                    ", no longer reads; start the version that wrote it, and copy the keys to a "
                    "new cluster of this version with the client");
  }
  if (std::sscanf(text.c_str() + format_end,
                  "\ncluster %16" SCNx64 "\nnode %" SCNu64 "\nuuid %16" SCNx64 "%16" SCNx64
                  "\norigin %16" SCNx64,
                  &identity.cluster_id, &identity.node_id, &identity.uuid.high, &identity.uuid.low,
                  &identity.origin) != 5) {
    return Fail(ErrorCode::kMismatch, path + " is not an identity of this program");
  }
  return identity;
}

Result<std::string> ReadChecked(FileSystem& files, const std::string& path) {
  Result<std::string> text = ReadSmallFile(files, path, kMaxTextBytes);
  if (!text || ChecksumHolds(*text)) return text;
  return Fail(ErrorCode::kCorrupt, path +
                                       " does not match its checksum: the directory is damaged or "
                                       "was edited. Check the disk, " +
                                       kAsNewMember);
}

Status CheckNotQuarantined(FileSystem& files, const std::string& path) {
  const Result<std::string> reason =
      ReadSmallFile(files, path + "/" + kQuarantinedName, kMaxTextBytes);
  if (!reason && reason.error().code == ErrorCode::kNotFound) return {};
  const std::string why = reason ? *reason : reason.error().message;
  return Fail(ErrorCode::kCorrupt,
              path + " is quarantined: " + why +
                  ". This node may have forgotten a vote or an acknowledged write and must not "
                  "take part again as it is: " +
                  kAsNewMember);
}

Status CheckExpected(const std::string& path, const Identity& identity,
                     const DataDir::Expected& expected) {
  if (identity.cluster_id != expected.cluster_id) {
    return Fail(ErrorCode::kMismatch, path + " belongs to cluster " + Hex(identity.cluster_id) +
                                          ", not to cluster " + Hex(expected.cluster_id) +
                                          "; check --cluster and --data-dir");
  }
  if (identity.node_id != expected.node_id) {
    return Fail(ErrorCode::kMismatch,
                path + " belongs to node " + std::to_string(identity.node_id) + ", not to node " +
                    std::to_string(expected.node_id) + "; check --id and --data-dir");
  }
  return {};
}

// The databases in a data directory; none if it does not exist.
Result<std::vector<std::string>> ListDatabases(FileSystem& files, const std::string& path) {
  const Result<bool> exists = files.Exists(path);
  if (!exists) return Forward(exists);
  if (!*exists) return std::vector<std::string>();
  Result<std::vector<std::string>> names = files.List(path);
  if (names) {
    std::erase_if(*names, [](const auto& name) { return !name.starts_with(kDatabasePrefix); });
  }
  return names;
}

// True if there is a log or a database, whatever became of IDENTITY.
Result<bool> HoldsData(FileSystem& files, const std::string& path) {
  const Result<std::vector<std::string>> databases = ListDatabases(files, path);
  if (!databases) return Forward(databases);
  if (!databases->empty()) return true;
  Result<bool> log = files.Exists(path + "/log");
  if (!log || !*log) return log;
  const Result<std::vector<std::string>> segments = files.List(path + "/log");
  if (!segments) return Forward(segments);
  return !segments->empty();
}

// Why a directory without IDENTITY cannot be opened.
tl::unexpected<Error> ExplainMissing(FileSystem& files, const std::string& path) {
  const Result<bool> pending = files.Exists(PendingPath(path));
  if (!pending) return Forward(pending);
  if (*pending) {
    return Fail(ErrorCode::kNotFound,
                path + " is from a first boot that did not finish; start again with --bootstrap");
  }
  const Result<bool> data = HoldsData(files, path);
  if (!data) return Forward(data);
  if (*data) {
    return Fail(ErrorCode::kCorrupt,
                path + " holds a log or a database but no IDENTITY: the directory is damaged; " +
                    kAsNewMember);
  }
  return Fail(
      ErrorCode::kNotFound,
      path +
          " holds no data. If this is the first boot of a new cluster, start with --bootstrap. If "
          "this node has lost its directory, do not: it would vote without remembering its "
          "votes. Restore the directory, or bring the node back as a new member");
}

std::string ParentOf(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::size_t slash = trimmed.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : trimmed.substr(0, slash);
}

Status WritePending(FileSystem& files, const std::string& path, const Identity& identity) {
  const std::string pending = PendingPath(path);
  const Result<bool> exists = files.Exists(pending);
  if (!exists) return Forward(exists);
  if (*exists) QUORATE_RETURN_IF_ERROR(files.Remove(pending));
  const Result<std::unique_ptr<File>> file = files.Open(pending, OpenMode::kCreate);
  if (!file) return Forward(file);
  QUORATE_RETURN_IF_ERROR((*file)->Write(0, FormatIdentity(identity)));
  QUORATE_RETURN_IF_ERROR((*file)->Sync());
  return files.SyncDirectory(path);
}

// An empty log directory and no database: what an earlier attempt left there holds nothing that was
// ever acknowledged.
Status Empty(FileSystem& files, const std::string& path) {
  const Result<std::vector<std::string>> databases = ListDatabases(files, path);
  if (!databases) return Forward(databases);
  for (const std::string& name : *databases) {
    QUORATE_RETURN_IF_ERROR(RemoveTree(files, path + "/" + name));
  }
  const std::string log = path + "/log";
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(log));
  const Result<std::vector<std::string>> names = files.List(log);
  if (!names) return Forward(names);
  for (const std::string& name : *names) QUORATE_RETURN_IF_ERROR(files.Remove(log + "/" + name));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(log));
  return files.SyncDirectory(path);
}

tl::unexpected<Error> FailUsed(const std::string& path) {
  return Fail(ErrorCode::kExists, path + " already holds a node's data; start without --bootstrap");
}

// kExists if anything in the directory may count. To be asked with the lock held.
Status CheckUnused(FileSystem& files, const std::string& path) {
  const Result<bool> exists = files.Exists(IdentityPath(path));
  if (!exists) return Forward(exists);
  if (*exists) return FailUsed(path);
  const Result<bool> pending = files.Exists(PendingPath(path));
  if (!pending) return Forward(pending);
  const Result<bool> data = HoldsData(files, path);
  if (!data) return Forward(data);
  if (!*data || *pending) return {};
  return Fail(ErrorCode::kExists, path +
                                      " holds a log or a database but no IDENTITY: --bootstrap "
                                      "would destroy it. Use an empty directory");
}

}  // namespace

std::string DatabaseName(std::uint32_t generation) {
  return std::string(kDatabasePrefix) + Hex(generation).substr(8);
}

Result<Identity> ReadIdentity(FileSystem& files, const std::string& directory) {
  const std::string path = IdentityPath(directory);
  const Result<std::string> text = ReadChecked(files, path);
  if (!text) return Forward(text);
  return ParseIdentity(path, *text);
}

Result<CurrentDatabase> ReadCurrent(FileSystem& files, const std::string& directory) {
  const std::string path = directory + "/" + kCurrentName;
  const Result<std::string> text = ReadChecked(files, path);
  if (!text && text.error().code == ErrorCode::kNotFound) {
    return Fail(ErrorCode::kCorrupt,
                path +
                    " is missing: nothing says any more which database counts. The directory is "
                    "damaged; check the disk, " +
                    kAsNewMember);
  }
  if (!text) return Forward(text);
  CurrentDatabase current;
  if (std::sscanf(text->c_str(),
                  "quorate current database\ngeneration %" SCNu32 "\ninstalled %" SCNu64
                  " %" SCNu64,
                  &current.generation, &current.installed.index, &current.installed.term) != 3) {
    return Fail(ErrorCode::kCorrupt,
                path + " is not of this program; check the disk, " + kAsNewMember);
  }
  return current;
}

DataDir::DataDir(FileSystem& files, std::string path, Identity identity, CurrentDatabase current,
                 std::unique_ptr<FileLock> lock)
    : files_(files),
      path_(std::move(path)),
      identity_(identity),
      current_(current),
      lock_(std::move(lock)) {}

Result<std::unique_ptr<DataDir>> DataDir::Open(FileSystem& files, const std::string& path,
                                               const Expected& expected) {
  const Result<bool> exists = files.Exists(IdentityPath(path));
  if (!exists) return Forward(exists);
  if (!*exists) return ExplainMissing(files, path);
  Result<std::unique_ptr<FileLock>> lock = files.Lock(path + "/LOCK");
  if (!lock) return Forward(lock);
  QUORATE_RETURN_IF_ERROR(CheckNotQuarantined(files, path));
  const Result<Identity> identity = ReadIdentity(files, path);
  if (!identity) return Forward(identity);
  QUORATE_RETURN_IF_ERROR(CheckExpected(path, *identity, expected));
  const Result<CurrentDatabase> current = ReadCurrent(files, path);
  if (!current) return Forward(current);
  // An earlier process may have been killed between giving IDENTITY or CURRENT its name and syncing
  // that: both can be read, and a power cut would still lose them, with everything built on them.
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(path));
  return std::unique_ptr<DataDir>(new DataDir(files, path, *identity, *current, std::move(*lock)));
}

Result<std::unique_ptr<DataDir>> DataDir::Bootstrap(
    FileSystem& files, const std::string& path, const Expected& expected, raft::Uuid uuid,
    const std::function<Status(const std::string&)>& make_log, std::uint64_t origin) {
  const Result<bool> exists = files.Exists(IdentityPath(path));
  if (!exists) return Forward(exists);
  if (*exists) return FailUsed(path);
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(path));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(ParentOf(path)));
  Result<std::unique_ptr<FileLock>> lock = files.Lock(path + "/LOCK");
  if (!lock) return Forward(lock);
  QUORATE_RETURN_IF_ERROR(CheckUnused(files, path));
  // Emptied first: if this is cut short too, there is no log without a pending identity beside it.
  QUORATE_RETURN_IF_ERROR(Empty(files, path));
  const Identity identity{expected.cluster_id, expected.node_id, uuid, origin};
  QUORATE_RETURN_IF_ERROR(WritePending(files, path, identity));
  std::unique_ptr<DataDir> directory(
      new DataDir(files, path, identity, CurrentDatabase(), std::move(*lock)));
  QUORATE_RETURN_IF_ERROR(make_log(directory->log_path()));
  QUORATE_RETURN_IF_ERROR(directory->WriteCurrent(directory->current_));
  QUORATE_RETURN_IF_ERROR(files.Rename(PendingPath(path), IdentityPath(path)));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(path));
  return directory;
}

CurrentDatabase DataDir::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

std::string DataDir::FirstDatabaseName() {
  return DatabaseName(CurrentDatabase().generation);
}

std::string DataDir::DatabasePath(std::uint32_t generation) const {
  return path_ + "/" + DatabaseName(generation);
}

Status DataDir::WriteCurrent(const CurrentDatabase& current) {
  return ReplaceFile(files_, path_, kCurrentName, FormatCurrent(current));
}

Status DataDir::SwitchDatabase(raft::Position installed) {
  const CurrentDatabase next{current().generation + 1, installed};
  QUORATE_RETURN_IF_ERROR(WriteCurrent(next));
  const std::lock_guard lock(mutex_);
  current_ = next;
  return {};
}

Status DataDir::RemoveOtherDatabases(bool keep_next) {
  const std::string kept = database_path();
  const std::string next = keep_next ? next_database_path() : kept;
  const Result<std::vector<std::string>> names = ListDatabases(files_, path_);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    const std::string path = path_ + "/" + name;
    if (path != kept && path != next) QUORATE_RETURN_IF_ERROR(RemoveTree(files_, path));
  }
  return files_.SyncDirectory(path_);
}

Status DataDir::Quarantine(const std::string& reason) {
  return ReplaceFile(files_, path_, kQuarantinedName, reason.substr(0, kMaxTextBytes));
}

}  // namespace quorate::storage
