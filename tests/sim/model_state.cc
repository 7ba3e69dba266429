#include "tests/sim/model_state.h"

#include <algorithm>

#include "storage/crc32c.h"
#include "storage/files.h"
#include "storage/little_endian.h"

namespace quorate::sim {
namespace {

using storage::AppendInt;
using storage::ErrorCode;
using storage::Fail;
using storage::FileSystem;
using storage::Forward;
using storage::OpenMode;
using storage::Result;
using storage::Status;

// Small, so that a snapshot consists of several files.
constexpr std::size_t kPieceBytes = 1 << 10;
constexpr char kStateName[] = "STATE";
constexpr std::size_t kMaxStateBytes = 4096;

void AppendText(std::string& out, std::string_view text) {
  AppendInt<std::uint64_t>(out, text.size());
  out += text;
}

// Takes what Encode() has put, in the same order, from data whose checksum holds.
class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}
  std::uint64_t Int() {
    const auto value = storage::LoadInt<std::uint64_t>(data_);
    data_.remove_prefix(sizeof(value));
    return value;
  }
  std::string Text() {
    const std::size_t size = Int();
    std::string text(data_.substr(0, size));
    data_.remove_prefix(size);
    return text;
  }

 private:
  std::string_view data_;
};

std::string Encode(const ModelState& state) {
  std::string out;
  AppendInt(out, state.at.index);
  AppendInt(out, state.at.term);
  AppendInt(out, state.hash);
  AppendText(out, state.configuration ? state.configuration->Encode() : std::string());
  AppendInt<std::uint64_t>(out, state.data.size());
  for (const auto& [key, record] : state.data) {
    AppendText(out, key);
    AppendInt(out, record.mod_index);
    AppendInt(out, record.owner);
    AppendText(out, record.value);
  }
  AppendInt<std::uint64_t>(out, state.rows.size());
  for (const auto& [name, value] : state.rows) {
    AppendText(out, name);
    AppendText(out, value);
  }
  return out;
}

ModelState Decode(std::string_view data) {
  Reader reader(data);
  ModelState state;
  state.at.index = reader.Int();
  state.at.term = reader.Int();
  state.hash = reader.Int();
  const std::string configuration = reader.Text();
  if (!configuration.empty()) state.configuration = raft::Configuration::Decode(configuration);
  for (std::uint64_t left = reader.Int(); left > 0; --left) {
    std::string key = reader.Text();
    const raft::Index mod_index = reader.Int();
    const std::uint64_t owner = reader.Int();
    state.data[key] = {mod_index, owner, reader.Text()};
  }
  for (std::uint64_t left = reader.Int(); left > 0; --left) {
    std::string name = reader.Text();
    state.rows[name] = reader.Text();
  }
  return state;
}

std::string PieceName(std::uint64_t generation, std::size_t number) {
  return "piece-" + std::to_string(generation) + "-" + std::to_string(number);
}

// What STATE says.
struct Pieces {
  std::uint64_t generation = 0;
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;  // of all pieces together

  std::size_t count() const { return (bytes + kPieceBytes - 1) / kPieceBytes; }
  std::string Encode() const {
    std::string out;
    AppendInt(out, generation);
    AppendInt(out, bytes);
    AppendInt(out, checksum);
    AppendInt<std::uint64_t>(out, storage::Crc32c(out));
    return out;
  }
};

Status WritePiece(FileSystem& files, const std::string& path, std::string_view bytes) {
  QUORATE_RETURN_IF_ERROR(storage::RemoveIfExists(files, path));
  const auto file = files.Open(path, OpenMode::kCreate);
  if (!file) return Forward(file);
  QUORATE_RETURN_IF_ERROR((*file)->Write(0, bytes));
  return (*file)->Sync();
}

Status WritePieces(FileSystem& files, const std::string& directory, const Pieces& pieces,
                   std::string_view data) {
  for (std::size_t i = 0; i < pieces.count(); ++i) {
    QUORATE_RETURN_IF_ERROR(WritePiece(files, directory + "/" + PieceName(pieces.generation, i),
                                       data.substr(i * kPieceBytes, kPieceBytes)));
  }
  return storage::ReplaceFile(files, directory, kStateName, pieces.Encode());
}

// All pieces of other generations if `keep`, all of this one if not.
Status RemovePieces(FileSystem& files, const std::string& directory, std::uint64_t generation,
                    bool keep) {
  const auto names = files.List(directory);
  if (!names) return Forward(names);
  const std::string prefix = "piece-" + std::to_string(generation) + "-";
  for (const std::string& name : *names) {
    const bool ours = name.compare(0, prefix.size(), prefix) == 0;
    if (name.compare(0, 6, "piece-") != 0 || ours == keep) continue;
    QUORATE_RETURN_IF_ERROR(files.Remove(directory + "/" + name));
  }
  return {};
}

tl::unexpected<storage::Error> Damaged(const std::string& path) {
  return Fail(ErrorCode::kCorrupt, path + " does not match its checksum");
}

Result<Pieces> ReadPieces(FileSystem& files, const std::string& path) {
  const auto text = storage::ReadSmallFile(files, path, kMaxStateBytes);
  if (!text) return Forward(text);
  Pieces pieces;
  if (text->size() != 4 * sizeof(std::uint64_t)) return Damaged(path);
  Reader reader(*text);
  pieces.generation = reader.Int();
  pieces.bytes = reader.Int();
  pieces.checksum = reader.Int();
  if (pieces.Encode() != *text) return Damaged(path);
  return pieces;
}

}  // namespace

Status SaveState(FileSystem& files, const std::string& directory, const ModelState& state,
                 std::uint64_t generation) {
  const std::string data = Encode(state);
  const Pieces pieces{generation, data.size(), storage::Crc32c(data)};
  if (Status written = WritePieces(files, directory, pieces, data); !written) {
    // After a failed sync nobody knows which state counts: nothing is touched any more.
    if (written.error().code == ErrorCode::kNoSpace) {
      static_cast<void>(RemovePieces(files, directory, generation, /*keep=*/false));
    }
    return written;
  }
  return RemovePieces(files, directory, generation, /*keep=*/true);
}

Result<std::optional<StoredState>> LoadState(FileSystem& files, const std::string& directory) {
  const std::string path = directory + "/" + kStateName;
  const auto exists = files.Exists(path);
  if (!exists) return Forward(exists);
  if (!*exists) return std::optional<StoredState>();
  const auto pieces = ReadPieces(files, path);
  if (!pieces) return Forward(pieces);
  std::string data;
  for (std::size_t i = 0; i < pieces->count(); ++i) {
    const std::string piece = directory + "/" + PieceName(pieces->generation, i);
    const auto bytes = storage::ReadSmallFile(files, piece, kPieceBytes);
    if (!bytes && bytes.error().code == ErrorCode::kIo) return Forward(bytes);
    if (!bytes) return Fail(ErrorCode::kCorrupt, piece + ": " + bytes.error().message);
    data += *bytes;
  }
  if (data.size() != pieces->bytes || storage::Crc32c(data) != pieces->checksum) {
    return Damaged(path);
  }
  return std::optional(StoredState{Decode(data), pieces->generation});
}

}  // namespace quorate::sim
