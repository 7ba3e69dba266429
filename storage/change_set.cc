#include "storage/change_set.h"

#include <array>
#include <memory>

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
  OverlayBuilder(std::uint32_t records, std::uint32_t rows, Overlays& overlays)
      : records_(records), rows_(rows), overlays_(overlays) {}

  rocksdb::Status PutCF(std::uint32_t family, const rocksdb::Slice& key,
                        const rocksdb::Slice& value) override {
    if (Overlay* overlay = Of(family)) (*overlay)[key.ToString()] = value.ToString();
    return {};
  }
  rocksdb::Status DeleteCF(std::uint32_t family, const rocksdb::Slice& key) override {
    if (Overlay* overlay = Of(family)) (*overlay)[key.ToString()] = std::nullopt;
    return {};
  }

 private:
  Overlay* Of(std::uint32_t family) {
    if (family == records_) return &overlays_.records;
    return family == rows_ ? &overlays_.rows : nullptr;
  }

  std::uint32_t records_;
  std::uint32_t rows_;
  Overlays& overlays_;
};

Status ChangeSet::MakeOverlays() {
  if (overlays_) return {};
  overlays_.emplace();
  OverlayBuilder builder(records_.GetID(), rows_.GetID(), *overlays_);
  const auto status = batch_.Iterate(&builder);
  if (!status.ok()) return tl::make_unexpected(FromRocksDb(status, "reading a batch back"));
  return {};
}

void ChangeSet::Put(std::string_view key, raft::Index mod_index, std::uint64_t owner,
                    std::string_view value) {
  const RecordPrefix prefix(mod_index, owner);
  const rocksdb::Slice key_part(key);
  const std::array<rocksdb::Slice, 2> value_parts = {rocksdb::Slice(prefix.view()),
                                                     rocksdb::Slice(value)};
  batch_.Put(&records_, rocksdb::SliceParts(&key_part, 1),
             rocksdb::SliceParts(value_parts.data(), 2));
  if (overlays_) overlays_->records[std::string(key)] = std::string(prefix.view()).append(value);
}

void ChangeSet::Delete(std::string_view key) {
  batch_.Delete(&records_, rocksdb::Slice(key));
  if (overlays_) overlays_->records[std::string(key)] = std::nullopt;
}

void ChangeSet::PutRow(std::string_view name, std::string_view value) {
  batch_.Put(&rows_, rocksdb::Slice(name), rocksdb::Slice(value));
  if (overlays_) overlays_->rows[std::string(name)] = std::string(value);
}

void ChangeSet::DeleteRow(std::string_view name) {
  batch_.Delete(&rows_, rocksdb::Slice(name));
  if (overlays_) overlays_->rows[std::string(name)] = std::nullopt;
}

Result<std::optional<Record>> ChangeSet::Get(std::string_view key) {
  QUORATE_RETURN_IF_ERROR(MakeOverlays());
  rocksdb::PinnableSlice found;
  std::string_view stored;
  if (const auto it = overlays_->records.find(key); it != overlays_->records.end()) {
    if (!it->second) return std::nullopt;
    stored = *it->second;
  } else {
    const auto status = db_.Get(rocksdb::ReadOptions(), &records_, rocksdb::Slice(key), &found);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return tl::make_unexpected(FromRocksDb(status, "reading a key"));
    stored = found.ToStringView();
  }
  std::optional<Record> record = DecodeRecord(stored);
  if (!record) return Fail(ErrorCode::kCorrupt, "the database holds a record of unknown form");
  return record;
}

Result<std::vector<std::string>> ChangeSet::Keys(std::string_view first, std::string_view last,
                                                 std::size_t max) {
  QUORATE_RETURN_IF_ERROR(MakeOverlays());
  return List(records_, overlays_->records, first, last, max);
}

Result<std::vector<std::string>> ChangeSet::RowNames(std::string_view prefix, std::size_t max) {
  QUORATE_RETURN_IF_ERROR(MakeOverlays());
  return List(rows_, overlays_->rows, prefix, PrefixEnd(prefix), max);
}

// Both in order, side by side; the overlay has the last word.
Result<std::vector<std::string>> ChangeSet::List(rocksdb::ColumnFamilyHandle& family,
                                                 const Overlay& overlay, std::string_view first,
                                                 std::string_view last, std::size_t max) const {
  std::vector<std::string> names;
  if (!last.empty() && first >= last) return names;
  rocksdb::ReadOptions read;
  const rocksdb::Slice bound(last);
  if (!last.empty()) read.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> stored(db_.NewIterator(read, &family));
  stored->Seek(rocksdb::Slice(first));
  auto changed = overlay.lower_bound(first);
  const auto end = last.empty() ? overlay.end() : overlay.lower_bound(last);
  while (names.size() < max && (stored->Valid() || changed != end)) {
    const bool from_overlay =
        changed != end &&
        (!stored->Valid() || std::string_view(changed->first) <= stored->key().ToStringView());
    if (!from_overlay) {
      names.push_back(stored->key().ToString());
      stored->Next();
      continue;
    }
    if (stored->Valid() && stored->key() == rocksdb::Slice(changed->first)) stored->Next();
    if (changed->second) names.push_back(changed->first);
    ++changed;
  }
  if (!stored->status().ok()) {
    return tl::make_unexpected(FromRocksDb(stored->status(), "listing keys"));
  }
  return names;
}

void ChangeSet::Clear() {
  batch_.Clear();
  overlays_.reset();
}

}  // namespace quorate::storage
