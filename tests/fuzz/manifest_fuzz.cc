// Manifests of snapshots, and backups, which begin with one.
//
// The input is a whole backup. A byte in front says whether its manifest's checksum is put right
// (1): nothing would get past it otherwise.
#include <algorithm>
#include <limits>
#include <utility>

#include "raft/assert.h"
#include "storage/backup.h"
#include "storage/crc32c.h"
#include "storage/little_endian.h"
#include "storage/manifest.h"
#include "tests/fuzz/target.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::fuzz {
namespace {

using storage::Manifest;
using storage::MemoryFileSystem;
using storage::SnapshotFile;

constexpr std::string_view kMagic = "quorate backup 1\n";
constexpr std::size_t kManifestBegin = kMagic.size() + sizeof(std::uint64_t);

// The bytes where the manifest should be; as many as there are.
std::string_view ManifestIn(std::string_view backup) {
  if (backup.size() < kManifestBegin) return {};
  const auto length = storage::LoadInt<std::uint64_t>(backup, kMagic.size());
  return backup.substr(kManifestBegin, length);
}

void CorrectChecksum(std::string& backup) {
  const std::string_view manifest = ManifestIn(backup);
  if (manifest.size() < sizeof(std::uint32_t)) return;
  const std::size_t covered = manifest.size() - sizeof(std::uint32_t);
  const std::uint32_t checksum = storage::Crc32c(manifest.substr(0, covered));
  storage::StoreInt(backup.data() + kManifestBegin + covered, checksum);
}

// A name must not lead out of the directory that the file is put into.
bool IsSafe(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

void CheckManifest(std::string_view encoded) {
  const auto manifest = Manifest::Decode(encoded);
  if (!manifest) return;
  QUORATE_ASSERT(manifest->Encode() == encoded, "a manifest has one form");
  QUORATE_ASSERT(manifest->files.size() <= storage::kMaxSnapshotFiles, "files have a limit");
  std::uint64_t room = std::numeric_limits<std::int64_t>::max();
  const std::string* previous = nullptr;
  for (const SnapshotFile& file : manifest->files) {
    QUORATE_ASSERT(IsSafe(file.name), "a file's name leads nowhere else");
    QUORATE_ASSERT(previous == nullptr || *previous < file.name, "each file is named once");
    QUORATE_ASSERT(file.bytes <= room, "the files' sizes add up");
    room -= file.bytes;
    previous = &file.name;
  }
}

// Whether every byte of the backup is what its manifest says.
bool IsRight(std::string_view backup, const Manifest& manifest) {
  std::string_view rest = backup.substr(storage::BackupHeader(manifest).size());
  return std::all_of(manifest.files.begin(), manifest.files.end(), [&](const SnapshotFile& file) {
    const std::string_view bytes = rest.substr(0, file.bytes);
    rest.remove_prefix(bytes.size());
    return storage::Crc32c(bytes) == file.crc32c;
  });
}

void CheckBackup(const std::string& backup) {
  MemoryFileSystem files;
  QUORATE_ASSERT(files.CreateDirectory("/b"), "the file system works");
  const auto file = files.Open("/b/backup", storage::OpenMode::kCreate);
  QUORATE_ASSERT(file && (*file)->Write(0, backup), "the file system works");
  const auto contents = storage::OpenBackup(**file);
  if (!contents) {
    QUORATE_ASSERT(contents.error().code == storage::ErrorCode::kCorrupt ||
                       contents.error().code == storage::ErrorCode::kMismatch,
                   "a backup that does not open is damaged, or none");
    return;
  }
  const Manifest& manifest = contents->manifest;
  QUORATE_ASSERT(backup.starts_with(storage::BackupHeader(manifest)), "a header has one form");
  QUORATE_ASSERT(contents->files_begin + manifest.bytes() == backup.size(),
                 "a backup is as long as it says");
  QUORATE_ASSERT(storage::VerifyBackup(**file, *contents).has_value() == IsRight(backup, manifest),
                 "a backup is verified if its checksums match, and only then");
}

Manifest Example(const std::vector<std::pair<std::string, std::string>>& files) {
  Manifest manifest;
  manifest.id = 0x1122334455667788;
  manifest.cluster_id = 7;
  manifest.mark.position = {1000, 4};
  manifest.mark.configuration = raft::Configuration::Bootstrap({{1, {1, 2}, "a:1"}});
  for (const auto& [name, bytes] : files) {
    manifest.files.push_back({name, bytes.size(), storage::Crc32c(bytes)});
  }
  return manifest;
}

}  // namespace

void RunOne(std::string_view input) {
  if (input.empty()) return;
  std::string backup(input.substr(1));
  if ((input.front() & 1) != 0) CorrectChecksum(backup);
  CheckManifest(ManifestIn(backup));
  CheckBackup(backup);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const auto& files :
       {std::vector<std::pair<std::string, std::string>>{},
        {{"000012.sst", "a table"}, {"CURRENT", "MANIFEST-000004\n"}, {"MANIFEST-000004", ""}}}) {
    std::string backup = storage::BackupHeader(Example(files));
    for (const auto& [name, bytes] : files) backup += bytes;
    seeds.push_back('\0' + backup);
    seeds.push_back('\1' + backup);
  }
  return seeds;
}

}  // namespace quorate::fuzz
