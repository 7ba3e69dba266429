#include "storage/data_dir.h"

#include <cinttypes>
#include <cstdio>
#include <optional>
#include <utility>

#include "storage/crc32c.h"

namespace quorate::storage {
namespace {

constexpr std::size_t kMaxIdentityBytes = 4096;

std::string IdentityPath(const std::string& path) {
  return path + "/IDENTITY";
}
// Exists from before the log is made until IDENTITY takes its place: tells a first boot that was
// cut short, which may be done again, from a node that has lost its IDENTITY, whose log must not be
// touched.
std::string PendingPath(const std::string& path) {
  return path + "/IDENTITY.tmp";
}

std::string CurrentPath(const std::string& path) {
  return path + "/CURRENT";
}
std::string QuarantinePath(const std::string& path) {
  return path + "/QUARANTINED";
}

std::string DatabaseName(std::uint32_t generation) {
  char name[16];
  std::snprintf(name, sizeof(name), "db-%08" PRIx32, generation);
  return name;
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
  if (identity.format_version > kFormatVersion) {
    return Fail(ErrorCode::kMismatch,
                path + " has format " + std::to_string(identity.format_version) +
                    ", newer than this version's " + std::to_string(kFormatVersion) +
                    "; start the version that wrote it, or a newer one");
  }
  if (identity.format_version < kFormatVersion) {
    return Fail(
        ErrorCode::kMismatch,
        path + " has format " + std::to_string(identity.format_version) +
            ", older than this version's " + std::to_string(kFormatVersion) +
            ", which cannot read it; start the version that wrote it, scan its keys out, and "
            "import them into a new cluster");
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

Result<std::string> ReadText(FileSystem& files, const std::string& path) {
  const Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return Forward(file);
  Result<std::string> text = (*file)->Read(0, kMaxIdentityBytes);
  if (!text) return text;
  if (!ChecksumHolds(*text)) {
    return Fail(
        ErrorCode::kCorrupt,
        path +
            " does not match its checksum: the directory is damaged or was edited. Check the "
            "disk, keep the directory for inspection, and bring the node back under a new data "
            "directory as a new member");
  }
  return text;
}

Result<Identity> ReadIdentity(FileSystem& files, const std::string& path) {
  const Result<std::string> text = ReadText(files, path);
  if (!text) return Forward(text);
  return ParseIdentity(path, *text);
}

std::string FormatCurrent(const CurrentDatabase& current) {
  std::string text = "quorate database\n";
  text += "generation " + std::to_string(current.generation) + "\n";
  text += "installed " + std::to_string(current.installed.index) + " " +
          std::to_string(current.installed.term) + "\n";
  return text + Checksum(text);
}

Result<CurrentDatabase> ReadCurrent(FileSystem& files, const std::string& path) {
  const Result<bool> exists = files.Exists(path);
  if (!exists) return Forward(exists);
  if (!*exists) {
    return Fail(ErrorCode::kCorrupt,
                path +
                    " is missing: the directory is damaged. Keep it for inspection, and bring the "
                    "node back under a new data directory as a new member");
  }
  const Result<std::string> text = ReadText(files, path);
  if (!text) return Forward(text);
  CurrentDatabase current;
  if (std::sscanf(text->c_str(),
                  "quorate database\ngeneration %" SCNu32 "\ninstalled %" SCNu64 " %" SCNu64,
                  &current.generation, &current.installed.index, &current.installed.term) != 3) {
    return Fail(ErrorCode::kMismatch, path + " is not of this program");
  }
  return current;
}

// A small file that is there whole or not at all, under its old contents or its new ones.
Status ReplaceText(FileSystem& files, const std::string& directory, const std::string& path,
                   const std::string& text) {
  const std::string temporary = path + ".tmp";
  const Result<bool> exists = files.Exists(temporary);
  if (!exists) return Forward(exists);
  if (*exists) QUORATE_RETURN_IF_ERROR(files.Remove(temporary));
  const auto write = [&]() -> Status {
    const Result<std::unique_ptr<File>> file = files.Open(temporary, OpenMode::kCreate);
    if (!file) return Forward(file);
    QUORATE_RETURN_IF_ERROR((*file)->Write(0, text));
    return (*file)->Sync();
  };
  if (Status written = write(); !written) {
    if (written.error().code == ErrorCode::kNoSpace) (void)files.Remove(temporary);
    return written;
  }
  QUORATE_RETURN_IF_ERROR(files.Rename(temporary, path));
  return files.SyncDirectory(directory);
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

Result<bool> HoldsFiles(FileSystem& files, const std::string& directory) {
  Result<bool> exists = files.Exists(directory);
  if (!exists || !*exists) return exists;
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names) return Forward(names);
  return !names->empty();
}

// True if there is a log or a database, whatever became of IDENTITY.
Result<bool> HoldsData(FileSystem& files, const std::string& path) {
  Result<bool> log = HoldsFiles(files, path + "/log");
  if (!log || *log) return log;
  return files.Exists(CurrentPath(path));
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
    return Fail(
        ErrorCode::kCorrupt,
        path +
            " holds a log or a database but no IDENTITY: the directory is damaged. Keep it for "
            "inspection, and bring the node back under a new data directory as a new member");
  }
  return Fail(
      ErrorCode::kNotFound,
      path +
          " holds no data. If this is the first boot of a new cluster, start with --bootstrap. If "
          "this node has lost its directory, do not: it would vote without remembering its "
          "votes. Restore the directory, or bring the node back as a new member");
}

Status CheckNotQuarantined(FileSystem& files, const std::string& path) {
  const Result<bool> exists = files.Exists(QuarantinePath(path));
  if (!exists) return Forward(exists);
  if (!*exists) return {};
  const Result<std::unique_ptr<File>> file = files.Open(QuarantinePath(path), OpenMode::kReadOnly);
  const Result<std::string> reason =
      file ? (*file)->Read(0, kMaxIdentityBytes) : Result<std::string>("unknown");
  return Fail(ErrorCode::kCorrupt,
              path + " is quarantined: " + (reason ? *reason : "unknown") +
                  ". This node may have forgotten what it promised and must not take part. Check "
                  "the disk, keep the directory for inspection, and bring the node back under a "
                  "new data directory as a new member");
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

// An empty log directory: what an earlier attempt left there holds nothing that was ever
// acknowledged.
Status MakeLogDirectory(FileSystem& files, const std::string& path) {
  const std::string log = path + "/log";
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(log));
  const Result<std::vector<std::string>> names = files.List(log);
  if (!names) return Forward(names);
  for (const std::string& name : *names) QUORATE_RETURN_IF_ERROR(files.Remove(log + "/" + name));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(log));
  return files.SyncDirectory(path);
}

}  // namespace

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
  const Result<Identity> identity = ReadIdentity(files, IdentityPath(path));
  if (!identity) return Forward(identity);
  QUORATE_RETURN_IF_ERROR(CheckExpected(path, *identity, expected));
  QUORATE_RETURN_IF_ERROR(CheckNotQuarantined(files, path));
  const Result<CurrentDatabase> current = ReadCurrent(files, CurrentPath(path));
  if (!current) return Forward(current);
  return std::unique_ptr<DataDir>(new DataDir(files, path, *identity, *current, std::move(*lock)));
}

Result<std::unique_ptr<DataDir>> DataDir::Bootstrap(
    FileSystem& files, const std::string& path, const Expected& expected, raft::Uuid uuid,
    const std::function<Status(const std::string&)>& make_log, std::uint64_t origin) {
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(path));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(ParentOf(path)));
  Result<std::unique_ptr<FileLock>> lock = files.Lock(path + "/LOCK");
  if (!lock) return Forward(lock);
  const Result<bool> exists = files.Exists(IdentityPath(path));
  if (!exists) return Forward(exists);
  if (*exists) {
    return Fail(ErrorCode::kExists,
                path + " already holds a node's data; start without --bootstrap");
  }
  const Result<bool> pending = files.Exists(PendingPath(path));
  if (!pending) return Forward(pending);
  const Result<bool> data = HoldsData(files, path);
  if (!data) return Forward(data);
  if (*data && !*pending) {
    return Fail(ErrorCode::kExists,
                path +
                    " holds a log or a database but no IDENTITY: --bootstrap would "
                    "destroy it. Use an empty directory");
  }
  const Identity identity{expected.cluster_id, expected.node_id, uuid, origin, kFormatVersion};
  // Emptied first: if this is cut short too, there is no log without a pending identity beside it.
  QUORATE_RETURN_IF_ERROR(MakeLogDirectory(files, path));
  QUORATE_RETURN_IF_ERROR(WritePending(files, path, identity));
  const CurrentDatabase current;
  std::unique_ptr<DataDir> directory(new DataDir(files, path, identity, current, std::move(*lock)));
  QUORATE_RETURN_IF_ERROR(make_log(directory->log_path()));
  QUORATE_RETURN_IF_ERROR(ReplaceText(files, path, CurrentPath(path), FormatCurrent(current)));
  QUORATE_RETURN_IF_ERROR(files.Rename(PendingPath(path), IdentityPath(path)));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(path));
  return directory;
}

std::string DataDir::FirstDatabaseName() {
  return DatabaseName(CurrentDatabase().generation);
}

std::string DataDir::DatabasePath(std::uint32_t generation) const {
  return path_ + "/" + DatabaseName(generation);
}

Status DataDir::SwitchDatabase(raft::Position installed) {
  const CurrentDatabase next{current_.generation + 1, installed};
  QUORATE_RETURN_IF_ERROR(ReplaceText(files_, path_, CurrentPath(path_), FormatCurrent(next)));
  current_ = next;
  return {};
}

Status DataDir::RemoveOtherDatabases(bool keep_next) {
  const Result<std::vector<std::string>> names = files_.List(path_);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    const std::string path = path_ + "/" + name;
    if (!name.starts_with("db-") || path == database_path()) continue;
    if (keep_next && path == next_database_path()) continue;
    QUORATE_RETURN_IF_ERROR(RemoveTree(files_, path));
  }
  return {};
}

Status DataDir::Quarantine(const std::string& reason) {
  return ReplaceText(files_, path_, QuarantinePath(path_), reason);
}

Status RemoveTree(FileSystem& files, const std::string& directory) {
  const Result<bool> exists = files.Exists(directory);
  if (!exists) return Forward(exists);
  if (!*exists) return {};
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    QUORATE_RETURN_IF_ERROR(files.Remove(directory + "/" + name));
  }
  return files.RemoveDirectory(directory);
}

}  // namespace quorate::storage
