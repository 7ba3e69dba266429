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
  if (std::sscanf(text.c_str() + format_end,
                  "\ncluster %16" SCNx64 "\nnode %" SCNu64 "\nuuid %16" SCNx64 "%16" SCNx64,
                  &identity.cluster_id, &identity.node_id, &identity.uuid.high,
                  &identity.uuid.low) != 4) {
    return Fail(ErrorCode::kMismatch, path + " is not an identity of this program");
  }
  return identity;
}

Result<Identity> ReadIdentity(FileSystem& files, const std::string& path) {
  const Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return Forward(file);
  const Result<std::string> text = (*file)->Read(0, kMaxIdentityBytes);
  if (!text) return Forward(text);
  if (!ChecksumHolds(*text)) {
    return Fail(
        ErrorCode::kCorrupt,
        path +
            " does not match its checksum: the directory is damaged or was edited. Check the "
            "disk, keep the directory for inspection, and bring the node back under a new data "
            "directory as a new member");
  }
  return ParseIdentity(path, *text);
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
  return HoldsFiles(files, path + "/db");
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

DataDir::DataDir(std::string path, Identity identity, std::unique_ptr<FileLock> lock)
    : path_(std::move(path)), identity_(identity), lock_(std::move(lock)) {}

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
  return std::unique_ptr<DataDir>(new DataDir(path, *identity, std::move(*lock)));
}

Result<std::unique_ptr<DataDir>> DataDir::Bootstrap(
    FileSystem& files, const std::string& path, const Expected& expected, raft::Uuid uuid,
    const std::function<Status(const std::string&)>& make_log) {
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
  const Identity identity{expected.cluster_id, expected.node_id, uuid, kFormatVersion};
  // Emptied first: if this is cut short too, there is no log without a pending identity beside it.
  QUORATE_RETURN_IF_ERROR(MakeLogDirectory(files, path));
  QUORATE_RETURN_IF_ERROR(WritePending(files, path, identity));
  std::unique_ptr<DataDir> directory(new DataDir(path, identity, std::move(*lock)));
  QUORATE_RETURN_IF_ERROR(make_log(directory->log_path()));
  QUORATE_RETURN_IF_ERROR(files.Rename(PendingPath(path), IdentityPath(path)));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(path));
  return directory;
}

}  // namespace quorate::storage
