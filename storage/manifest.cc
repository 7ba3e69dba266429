#include "storage/manifest.h"

#include <algorithm>
#include <utility>

#include "storage/crc32c.h"
#include "storage/little_endian.h"

namespace quorate::storage {
namespace {

constexpr std::string_view kMagic = "QRTMANIF";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 12;  // magic, version
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kMaxNameBytes = 64;
// More than any disk has, and sums with it cannot overflow.
constexpr std::uint64_t kMaxSnapshotBytes = std::uint64_t{1} << 62;

bool IsSafeName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

// Takes values off the front of the bytes; once it has failed it stays failed.
class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}

  template <typename T>
  T Int() {
    const std::string_view bytes = Bytes(sizeof(T));
    return bytes.size() == sizeof(T) ? LoadInt<T>(bytes) : T{};
  }
  std::string_view Bytes(std::uint64_t size) {
    if (size > data_.size()) failed_ = true;
    if (failed_) return {};
    const std::string_view bytes = data_.substr(0, size);
    data_.remove_prefix(size);
    return bytes;
  }
  bool failed() const { return failed_; }
  bool empty() const { return data_.empty(); }

 private:
  std::string_view data_;
  bool failed_ = false;
};

tl::unexpected<Error> Damaged(const std::string& what) {
  return Fail(ErrorCode::kCorrupt,
              "the snapshot's manifest is damaged: " + what + "; take or fetch another");
}

}  // namespace

std::uint64_t Manifest::bytes() const {
  std::uint64_t total = 0;
  for (const SnapshotFile& file : files) total += file.bytes;
  return total;
}

std::string Manifest::Encode() const {
  const std::string configuration = mark.configuration.Encode();
  std::string out(kMagic);
  AppendInt(out, kVersion);
  AppendInt(out, id);
  AppendInt(out, cluster_id);
  AppendInt(out, mark.position.index);
  AppendInt(out, mark.position.term);
  AppendInt(out, static_cast<std::uint32_t>(configuration.size()));
  out += configuration;
  AppendInt(out, static_cast<std::uint32_t>(files.size()));
  for (const SnapshotFile& file : files) {
    AppendInt(out, static_cast<std::uint8_t>(file.name.size()));
    out += file.name;
    AppendInt(out, file.bytes);
    AppendInt(out, file.crc32c);
  }
  AppendInt(out, Crc32c(out));
  return out;
}

Result<Manifest> Manifest::Decode(std::string_view data) {
  if (data.size() > kMaxManifestBytes) return Damaged("it is too large");
  if (data.size() < kHeaderBytes + kChecksumBytes || !data.starts_with(kMagic)) {
    return Damaged("it does not begin as one");
  }
  const std::string_view covered = data.substr(0, data.size() - kChecksumBytes);
  const bool intact = LoadInt<std::uint32_t>(data, covered.size()) == Crc32c(covered);
  const auto version = LoadInt<std::uint32_t>(data, kMagic.size());
  if (!intact) return Damaged("it does not match its checksum");
  if (version != kVersion) {
    return Fail(ErrorCode::kMismatch, "the snapshot's manifest has format " +
                                          std::to_string(version) + ", and this version knows " +
                                          std::to_string(kVersion) +
                                          "; use the version that wrote it, or a newer one");
  }
  Reader reader(covered.substr(kHeaderBytes));
  Manifest manifest;
  manifest.id = reader.Int<std::uint64_t>();
  manifest.cluster_id = reader.Int<std::uint64_t>();
  manifest.mark.position.index = reader.Int<raft::Index>();
  manifest.mark.position.term = reader.Int<raft::Term>();
  auto configuration = raft::Configuration::Decode(reader.Bytes(reader.Int<std::uint32_t>()));
  if (!configuration) return Damaged("its configuration has an unknown form");
  manifest.mark.configuration = std::move(*configuration);
  const auto count = reader.Int<std::uint32_t>();
  if (count > kMaxSnapshotFiles) return Damaged("it names too many files");
  std::uint64_t room = kMaxSnapshotBytes;
  for (std::uint32_t i = 0; i < count && !reader.failed(); ++i) {
    SnapshotFile file;
    file.name = reader.Bytes(reader.Int<std::uint8_t>());
    file.bytes = reader.Int<std::uint64_t>();
    file.crc32c = reader.Int<std::uint32_t>();
    const bool ascending = manifest.files.empty() || manifest.files.back().name < file.name;
    if (!reader.failed() && (!IsSafeName(file.name) || !ascending)) {
      return Damaged("a file's name is not allowed");
    }
    if (file.bytes > room) return Damaged("its files cannot be so long");
    room -= file.bytes;
    manifest.files.push_back(std::move(file));
  }
  if (reader.failed() || !reader.empty()) return Damaged("it is not whole");
  return manifest;
}

}  // namespace quorate::storage
