// A disk in memory for tests: what was written, and what of it is durable.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"

namespace quorate::storage {

// Sync() makes dirty sectors durable; a failed sync leaves them clean and unwritten, as Linux does.
// Names become durable by SyncDirectory(). One thread.
class MemoryFileSystem final : public FileSystem {
 public:
  static constexpr std::size_t kSector = 512;

  // After `operations` more writes, syncs and name changes, everything fails: the process or the
  // machine is dying. The last write gets through in part.
  void FailAfter(std::uint64_t operations) { remaining_ = operations; }
  void FailNextSync() { fail_next_sync_ = true; }
  // How much files may still grow by; beyond that writes fail.
  void SetRoom(std::uint64_t bytes) { room_ = bytes; }
  void SetFull(bool full) { room_ = full ? 0 : kNever; }

  // The power goes: of what was not synced, a random part survives, sector by sector and name by
  // name.
  void PowerCut(std::mt19937_64& random);
  // The power goes, and nothing survives that was not synced.
  void PowerCutLosingAll();
  // The process is killed: the page cache stays. Ends FailAfter() and FailNextSync(), as the others
  // do.
  void Kill() {
    remaining_ = kNever;
    fail_next_sync_ = false;
  }

  // Runs in the middle of the next read: what another thread might do then.
  void OnNextRead(std::function<void()> hook) { on_read_ = std::move(hook); }

  std::uint64_t operations() const { return operations_; }
  // What the page cache holds, to be damaged at will; and what the disk holds.
  std::string& Written(const std::string& path) { return names_.at(path)->written; }
  const std::string& Durable(const std::string& path) { return durable_names_.at(path)->durable; }
  // Makes written and durable the same: damage to the medium itself.
  void Settle();

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<bool> Exists(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status CreateDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status RemoveDirectory(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  friend class MemoryFile;
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};

  struct Node {
    bool directory = false;
    std::string written;
    std::string durable;
    std::set<std::size_t> dirty;  // sectors
  };
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  // False once FailAfter() has run out; `last` is set for the operation on which it does.
  bool Count(bool* last = nullptr);
  static void Persist(Node& node, std::size_t sector);
  Status WriteTo(Node& node, std::uint64_t offset, std::string_view data);
  Status SyncNode(Node& node);

  Names names_;
  Names durable_names_;
  // One step of a journalling file system: a rename both removes and adds.
  struct NameChange {
    std::string removed;
    std::string added;
    std::shared_ptr<Node> node;
  };
  void MakeDurable(const NameChange& change);
  std::vector<NameChange> pending_names_;  // in order
  std::set<std::string> locked_;
  std::uint64_t remaining_ = kNever;
  std::uint64_t operations_ = 0;
  bool fail_next_sync_ = false;
  std::uint64_t room_ = kNever;
  std::function<void()> on_read_;

  friend class MemoryLock;
};

}  // namespace quorate::storage
