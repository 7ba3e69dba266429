// What commands work on: the keys, and the state's own rows beside them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/state_machine.h"

namespace quorate::storage {

// A batch of changes that sees itself: reads have what was changed before. RocksDB in the server
// (ChangeSet), a map in the simulator, and what a transaction has done so far. For one thread.
class KeySpace {
 public:
  virtual ~KeySpace() = default;

  virtual Result<std::optional<Record>> Get(std::string_view key) = 0;
  // Reads nothing. `owner`: Record::owner.
  virtual void Put(std::string_view key, raft::Index mod_index, std::uint64_t owner,
                   std::string_view value) = 0;
  virtual void Delete(std::string_view key) = 0;
  // The first `max` keys of [first, last), in byte order; `last` empty: to the end.
  virtual Result<std::vector<std::string>> Keys(std::string_view first, std::string_view last,
                                                std::size_t max) = 0;

  // Rows are what the state knows besides keys: sessions.h has their names.
  virtual void PutRow(std::string_view name, std::string_view value) = 0;
  virtual void DeleteRow(std::string_view name) = 0;
  // The first `max` names that start with `prefix`.
  virtual Result<std::vector<std::string>> RowNames(std::string_view prefix, std::size_t max) = 0;
};

}  // namespace quorate::storage
