// What a snapshot consists of: the list by which it is fetched, checked and resumed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "raft/snapshot.h"
#include "storage/result.h"

namespace quorate::storage {

inline constexpr std::size_t kMaxManifestBytes = 16 << 20;
inline constexpr std::size_t kMaxSnapshotFiles = 100'000;

struct SnapshotFile {
  std::string name;  // 1 to 64 of [A-Za-z0-9._-], not starting with a dot: never leads elsewhere
  std::uint64_t bytes = 0;
  std::uint32_t crc32c = 0;
  friend bool operator==(const SnapshotFile&, const SnapshotFile&) = default;
};

struct Manifest {
  std::uint64_t id = 0;  // random: names this snapshot among all
  std::uint64_t cluster_id = 0;
  raft::SnapshotMark mark;
  std::vector<SnapshotFile> files;  // ascending by name, each once

  std::uint64_t bytes() const;  // of all files

  // With a format version and a checksum over everything.
  std::string Encode() const;
  // kCorrupt: not whole, or damaged. kMismatch: a newer format.
  static Result<Manifest> Decode(std::string_view data);

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

}  // namespace quorate::storage
