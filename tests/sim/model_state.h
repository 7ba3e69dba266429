// What the model state machine holds, and how it lies in a directory of the virtual disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "raft/configuration.h"
#include "storage/file_system.h"
#include "storage/state_machine.h"

namespace quorate::sim {

struct ModelState {
  std::map<std::string, storage::Record, std::less<>> data;
  std::map<std::string, std::string, std::less<>> rows;  // storage/key_space.h
  raft::Position at;
  std::uint64_t hash = 0;  // of every entry applied and what each did, in order
  std::optional<raft::Configuration> configuration;
};

struct StoredState {
  ModelState state;
  std::uint64_t generation = 0;  // of the files; ascending
};

// Makes `directory` hold `state`, durably and at once: pieces under new names, then the file STATE,
// which says which pieces count. What is older is removed. After a failure the old state still
// counts.
storage::Status SaveState(storage::FileSystem& files, const std::string& directory,
                          const ModelState& state, std::uint64_t generation);
// Nothing if there is no STATE: a new directory. kCorrupt: a checksum does not match.
storage::Result<std::optional<StoredState>> LoadState(storage::FileSystem& files,
                                                      const std::string& directory);

}  // namespace quorate::sim
