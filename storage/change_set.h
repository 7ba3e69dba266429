// What one batch of commands changes, before it is written.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "storage/state_machine.h"

namespace quorate::storage {

Error FromRocksDb(const rocksdb::Status& status, std::string_view doing);

// Commands see what earlier ones of the same batch did. A batch that only puts never pays for that:
// the overlay is made when a command first reads.
class ChangeSet {
 public:
  // `family` holds the records.
  ChangeSet(rocksdb::DB& db, rocksdb::ColumnFamilyHandle& family) : db_(db), family_(family) {}

  void Put(std::string_view key, raft::Index mod_index, std::string_view value);
  void Delete(std::string_view key);
  // The record as the changes so far leave it.
  Result<std::optional<Record>> Get(std::string_view key);

  rocksdb::WriteBatch& batch() { return batch_; }
  void Clear();

 private:
  // By key: the stored record, or nothing where the key was deleted.
  using Overlay = std::map<std::string, std::optional<std::string>, std::less<>>;
  class OverlayBuilder;

  rocksdb::DB& db_;
  rocksdb::ColumnFamilyHandle& family_;
  rocksdb::WriteBatch batch_;
  std::optional<Overlay> overlay_;
};

}  // namespace quorate::storage
