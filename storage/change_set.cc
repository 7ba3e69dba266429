#include "storage/change_set.h"

#include <array>

#include "storage/stored_record.h"

namespace quorate::storage {

Error FromRocksDb(const rocksdb::Status& status, std::string_view doing) {
  const ErrorCode code = status.IsNoSpace()      ? ErrorCode::kNoSpace
                         : status.IsCorruption() ? ErrorCode::kCorrupt
                                                 : ErrorCode::kIo;
  return {code, "the database failed while " + std::string(doing) + ": " + status.ToString()};
}

// Reads the changes back from the batch itself.
class ChangeSet::OverlayBuilder final : public rocksdb::WriteBatch::Handler {
 public:
  OverlayBuilder(std::uint32_t family, Overlay& overlay) : family_(family), overlay_(overlay) {}

  rocksdb::Status PutCF(std::uint32_t family, const rocksdb::Slice& key,
                        const rocksdb::Slice& value) override {
    if (family == family_) overlay_[key.ToString()] = value.ToString();
    return {};
  }
  rocksdb::Status DeleteCF(std::uint32_t family, const rocksdb::Slice& key) override {
    if (family == family_) overlay_[key.ToString()] = std::nullopt;
    return {};
  }

 private:
  std::uint32_t family_;
  Overlay& overlay_;
};

void ChangeSet::Put(std::string_view key, raft::Index mod_index, std::string_view value) {
  const RecordPrefix prefix(mod_index, 0);
  const rocksdb::Slice key_part(key);
  const std::array<rocksdb::Slice, 2> value_parts = {rocksdb::Slice(prefix.view()),
                                                     rocksdb::Slice(value)};
  batch_.Put(&family_, rocksdb::SliceParts(&key_part, 1),
             rocksdb::SliceParts(value_parts.data(), 2));
  if (overlay_) (*overlay_)[std::string(key)] = std::string(prefix.view()).append(value);
}

void ChangeSet::Delete(std::string_view key) {
  batch_.Delete(&family_, rocksdb::Slice(key));
  if (overlay_) (*overlay_)[std::string(key)] = std::nullopt;
}

Result<std::optional<Record>> ChangeSet::Get(std::string_view key) {
  if (!overlay_) {
    overlay_.emplace();
    OverlayBuilder builder(family_.GetID(), *overlay_);
    if (const auto status = batch_.Iterate(&builder); !status.ok()) {
      return tl::make_unexpected(FromRocksDb(status, "reading a batch back"));
    }
  }
  rocksdb::PinnableSlice found;
  std::string_view stored;
  if (const auto it = overlay_->find(key); it != overlay_->end()) {
    if (!it->second) return std::nullopt;
    stored = *it->second;
  } else {
    const auto status = db_.Get(rocksdb::ReadOptions(), &family_, rocksdb::Slice(key), &found);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return tl::make_unexpected(FromRocksDb(status, "reading a key"));
    stored = found.ToStringView();
  }
  std::optional<Record> record = DecodeRecord(stored);
  if (!record) return Fail(ErrorCode::kCorrupt, "the database holds a record of unknown form");
  return record;
}

void ChangeSet::Clear() {
  batch_.Clear();
  overlay_.reset();
}

}  // namespace quorate::storage
