#include "tools/inspect/directory_report.h"

#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "storage/data_dir.h"
#include "storage/files.h"

namespace quorate::inspect {
namespace {

constexpr std::size_t kMaxReasonBytes = 4096;

bool Exists(storage::FileSystem& files, const std::string& path) {
  const auto exists = files.Exists(path);
  return exists && *exists;
}

// Who holds the lock, by the kernel's list: to try the lock oneself could keep a node from
// starting.
std::optional<std::string> HolderOf(const std::string& lock) {
  struct stat status {};
  if (::stat(lock.c_str(), &status) != 0) return std::nullopt;
  std::string named;  // by who took it last
  std::ifstream(lock) >> named;
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream fields(line);
    std::string number;
    std::string kind;
    std::string mode;
    std::string access;
    std::string pid;
    std::string inode;
    fields >> number >> kind >> mode >> access >> pid >> inode;
    const std::string wanted = ":" + std::to_string(status.st_ino);
    if (kind == "FLOCK" && pid == named && inode.ends_with(wanted)) return pid;
  }
  return std::nullopt;
}

Json Describe(const storage::Identity& identity) {
  return {{"cluster", Hex(identity.cluster_id)},
          {"node", identity.node_id},
          {"uuid", Hex(identity.uuid)},
          {"restored_from", identity.origin == 0 ? Json() : Json("backup " + Hex(identity.origin))},
          {"format", identity.format_version}};
}

Json Describe(const storage::CurrentDatabase& current) {
  Json json;
  json["database"] = storage::DatabaseName(current.generation);
  json["generation"] = current.generation;
  json["installed"] = ToJson(current.installed);
  json["from_snapshot"] = current.installed != raft::Position{};
  return json;
}

}  // namespace

bool IsDataDirectory(storage::FileSystem& files, const std::string& directory) {
  return Exists(files, directory + "/IDENTITY") || Exists(files, directory + "/log");
}

void ReportDirectory(storage::FileSystem& files, const std::string& directory, Report& report) {
  Json& body = report.body();
  body["directory"] = directory;
  const auto holder = HolderOf(directory + "/LOCK");
  body["in_use"] =
      holder ? Json("by process " + *holder + ": it may change while it is read") : Json(false);
  if (const auto identity = storage::ReadIdentity(files, directory)) {
    body["identity"] = Describe(*identity);
  } else {
    report.AddDamage(directory + "/IDENTITY", identity.error());
  }
  if (const auto current = storage::ReadCurrent(files, directory)) {
    body["current"] = Describe(*current);
  } else {
    report.AddDamage(directory + "/CURRENT", current.error());
  }
  const std::string quarantined = directory + "/QUARANTINED";
  if (Exists(files, quarantined)) {
    const auto reason = storage::ReadSmallFile(files, quarantined, kMaxReasonBytes);
    report.AddDamage(quarantined,
                     "the node must not start: " + (reason ? *reason : reason.error().message));
  }
}

}  // namespace quorate::inspect
