// What one batch of commands changes, before it is written.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/key_space.h"

namespace quorate::storage {

Error FromRocksDb(const rocksdb::Status& status, std::string_view doing);

// Commands see what earlier ones of the same batch did. A batch that only puts never pays for that:
// the overlays are made when a command first reads.
class ChangeSet final : public KeySpace {
 public:
  // `records` holds the keys, `rows` the state's own rows.
  ChangeSet(rocksdb::DB& db, rocksdb::ColumnFamilyHandle& records,
            rocksdb::ColumnFamilyHandle& rows)
      : db_(db), records_(records), rows_(rows) {}

  Result<std::optional<Record>> Get(std::string_view key) override;
  void Put(std::string_view key, raft::Index mod_index, std::uint64_t owner,
           std::string_view value) override;
  void Delete(std::string_view key) override;
  Result<std::vector<std::string>> Keys(std::string_view first, std::string_view last,
                                        std::size_t max) override;
  void PutRow(std::string_view name, std::string_view value) override;
  void DeleteRow(std::string_view name) override;
  Result<std::vector<std::string>> RowNames(std::string_view prefix, std::size_t max) override;

  rocksdb::WriteBatch& batch() { return batch_; }
  void Clear();

 private:
  // By key: what is stored, or nothing where it was deleted.
  using Overlay = std::map<std::string, std::optional<std::string>, std::less<>>;
  struct Overlays {
    Overlay records;
    Overlay rows;
  };
  class OverlayBuilder;

  Status MakeOverlays();
  Result<std::vector<std::string>> List(rocksdb::ColumnFamilyHandle& family, const Overlay& overlay,
                                        std::string_view first, std::string_view last,
                                        std::size_t max) const;

  rocksdb::DB& db_;
  rocksdb::ColumnFamilyHandle& records_;
  rocksdb::ColumnFamilyHandle& rows_;
  rocksdb::WriteBatch batch_;
  std::optional<Overlays> overlays_;
};

}  // namespace quorate::storage
