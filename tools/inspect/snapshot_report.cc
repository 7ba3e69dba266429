#include "tools/inspect/snapshot_report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "storage/backup.h"
#include "storage/data_dir.h"
#include "storage/files.h"
#include "storage/manifest.h"
#include "storage/state_machine.h"

namespace quorate::inspect {
namespace {

using storage::FileSystem;
using storage::Manifest;
using storage::OpenMode;
using storage::SnapshotFile;

constexpr char kVerified[] = "every checksum matches";

bool Exists(FileSystem& files, const std::string& path) {
  const auto exists = files.Exists(path);
  return exists && *exists;
}

std::uint64_t SizeOf(FileSystem& files, const std::string& path) {
  const auto file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return 0;
  return (*file)->Size().value_or(0);
}

std::vector<std::string> List(FileSystem& files, const std::string& directory) {
  return files.List(directory).value_or(std::vector<std::string>());
}

void AddMark(const raft::SnapshotMark& mark, Json& json) {
  json["position"] = ToJson(mark.position);
  const bool recorded = mark.configuration != raft::Configuration{};
  json["configuration"] = recorded ? ToJson(mark.configuration) : Json();
}

// ---- A database ----

Json DescribeDatabase(FileSystem& files, const std::string& directory, bool verify,
                      Report& report) {
  std::uint64_t bytes = 0;
  const std::vector<std::string> names = List(files, directory);
  for (const std::string& name : names) bytes += SizeOf(files, directory + "/" + name);
  Json json;
  json["path"] = directory;
  json["files"] = names.size();
  json["bytes"] = bytes;
  if (const auto mark = storage::ReadDatabaseMark(directory, {})) {
    AddMark(*mark, json);
  } else {
    report.AddDamage(directory, mark.error());
    return json;
  }
  if (!verify) return json;
  if (const auto status = storage::VerifyDatabase(directory, {})) {
    json["verified"] = kVerified;
  } else {
    report.AddDamage(directory, status.error());
  }
  return json;
}

// ---- The snapshot on its way in ----

storage::Result<Manifest> ReadManifest(FileSystem& files, const std::string& path) {
  const auto bytes = storage::ReadSmallFile(files, path, storage::kMaxManifestBytes);
  if (!bytes) return Forward(bytes);
  return Manifest::Decode(*bytes);
}

// "missing", "partial", "whole", and once it is verified "right" or "wrong".
std::string StateOf(FileSystem& files, const std::string& path, const SnapshotFile& wanted,
                    bool verify) {
  const auto file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return "missing";
  const std::uint64_t size = (*file)->Size().value_or(0);
  if (size < wanted.bytes) return "partial";
  if (!verify) return "whole";
  const auto crc = storage::ChecksumOf(**file, 0, wanted.bytes);
  return size == wanted.bytes && crc && *crc == wanted.crc32c ? "right" : "wrong";
}

Json DescribeIncoming(FileSystem& files, const std::string& manifest_path,
                      const std::string& directory, bool verify, Report& report) {
  Json json;
  const auto manifest = ReadManifest(files, manifest_path);
  if (!manifest) {
    report.AddDamage(manifest_path, manifest.error());
    return json;
  }
  std::uint64_t received = 0;
  Json list = Json::array();
  for (const SnapshotFile& wanted : manifest->files) {
    const std::string path = directory + "/" + wanted.name;
    const std::uint64_t have = std::min(SizeOf(files, path), wanted.bytes);
    received += have;
    list.push_back({{"name", wanted.name},
                    {"bytes", wanted.bytes},
                    {"received", have},
                    {"state", StateOf(files, path, wanted, verify)}});
  }
  json["id"] = Hex(manifest->id);
  json["cluster"] = Hex(manifest->cluster_id);
  json["path"] = directory;
  json["bytes"] = manifest->bytes();
  json["received"] = received;
  AddMark(manifest->mark, json);
  json["files"] = std::move(list);
  return json;
}

}  // namespace

bool IsDatabase(FileSystem& files, const std::string& directory) {
  const std::vector<std::string> names = List(files, directory);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("MANIFEST-") || name.ends_with(".sst");
  });
}

void ReportDatabase(FileSystem& files, const std::string& directory, bool verify, Report& report) {
  report.body()["database"] = DescribeDatabase(files, directory, verify, report);
}

void ReportSnapshots(FileSystem& files, const std::string& directory, bool verify, Report& report) {
  Json& body = report.body();
  // Without CURRENT, which has been reported, nobody knows which database counts.
  const auto current = storage::ReadCurrent(files, directory);
  if (current) {
    const std::string path = directory + "/" + storage::DatabaseName(current->generation);
    if (Exists(files, path)) {
      body["database"] = DescribeDatabase(files, path, verify, report);
    } else {
      body["database"] = Json();  // none before the first start
    }
  }
  Json kept = Json::object();
  const std::string snapshots = directory + "/snapshots";
  for (const std::string& name : List(files, snapshots)) {
    kept[name] = DescribeDatabase(files, snapshots + "/" + name, verify, report);
  }
  body["kept_snapshots"] = kept.empty() ? Json("none") : kept;
  const std::string incoming = directory + "/INCOMING";
  if (current && Exists(files, incoming)) {
    const std::string path = directory + "/" + storage::DatabaseName(current->generation + 1);
    body["incoming_snapshot"] = DescribeIncoming(files, incoming, path, verify, report);
  } else {
    body["incoming_snapshot"] = "none";
  }
}

storage::Status ReportBackup(FileSystem& files, const std::string& path, bool verify,
                             Report& report) {
  const auto file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return Forward(file);
  Json& body = report.body();
  body["backup"] = path;
  body["file_bytes"] = (*file)->Size().value_or(0);
  const auto contents = storage::OpenBackup(**file);
  if (!contents && contents.error().code == storage::ErrorCode::kCorrupt) {
    report.AddDamage(path, contents.error());
    return {};
  }
  if (!contents) return Forward(contents);
  const Manifest& manifest = contents->manifest;
  body["id"] = Hex(manifest.id);
  body["cluster"] = Hex(manifest.cluster_id);
  AddMark(manifest.mark, body);
  Json list = Json::array();
  std::uint64_t offset = contents->files_begin;
  for (const SnapshotFile& one : manifest.files) {
    list.push_back({{"name", one.name}, {"bytes", one.bytes}, {"offset", offset}});
    offset += one.bytes;
  }
  body["files"] = std::move(list);
  if (!verify) return {};
  if (const auto status = storage::VerifyBackup(**file, *contents)) {
    body["verified"] = kVerified;
  } else {
    report.AddDamage(path, status.error());
  }
  return {};
}

}  // namespace quorate::inspect
