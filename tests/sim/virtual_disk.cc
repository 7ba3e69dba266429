#include "tests/sim/virtual_disk.h"

#include <algorithm>
#include <utility>

namespace quorate::sim {

using storage::ErrorCode;
using storage::Fail;
using storage::OpenMode;
using storage::Result;
using storage::Status;

namespace {

// Calls cost a little even when no sync is involved.
constexpr SimTime kCallCost{2};

std::string Parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string PageOf(const std::string& data, std::uint64_t page, std::size_t page_bytes) {
  const std::uint64_t offset = page * page_bytes;
  if (offset >= data.size()) return {};
  return data.substr(offset, page_bytes);
}

void PutPage(std::string& data, std::uint64_t page, std::size_t page_bytes,
             const std::string& content) {
  const std::uint64_t offset = page * page_bytes;
  if (data.size() < offset + content.size()) data.resize(offset + content.size());
  data.replace(offset, content.size(), content);
}

class VirtualLock : public storage::FileLock {
 public:
  VirtualLock(std::shared_ptr<std::set<std::string>> locks, std::string path)
      : locks_(std::move(locks)), path_(std::move(path)) {}
  ~VirtualLock() override { locks_->erase(path_); }
  VirtualLock(const VirtualLock&) = delete;
  VirtualLock& operator=(const VirtualLock&) = delete;

 private:
  std::shared_ptr<std::set<std::string>> locks_;
  std::string path_;
};

}  // namespace

class VirtualFile : public storage::File {
 public:
  VirtualFile(VirtualDisk& disk, VirtualDisk::InodePtr inode, bool writable)
      : disk_(disk), inode_(std::move(inode)), writable_(writable) {}

  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    disk_.cursor_ += kCallCost;
    if (offset >= inode_->written.size()) return std::string();
    return inode_->written.substr(offset, size);
  }
  Status Write(std::uint64_t offset, std::string_view data) override {
    if (!writable_) return Fail(ErrorCode::kInvalid, "write to a file that was opened read-only");
    return disk_.WriteFile(*inode_, offset, data);
  }
  Status Sync() override {
    disk_.SyncFile(inode_);
    return {};
  }
  Result<std::uint64_t> Size() const override { return inode_->written.size(); }

 private:
  VirtualDisk& disk_;
  VirtualDisk::InodePtr inode_;
  bool writable_;
};

void VirtualDisk::Begin(SimTime now) {
  Settle(now);
  cursor_ = now;
}

SimTime VirtualDisk::End() { return cursor_; }

bool VirtualDisk::HasUnsyncedWrites() const {
  return std::any_of(written_names_.begin(), written_names_.end(),
                     [](const auto& entry) { return !entry.second->dirty.empty(); });
}

Status VirtualDisk::WriteFile(Inode& file, std::uint64_t offset, std::string_view data) {
  cursor_ += kCallCost;
  if (data.empty()) return {};
  const std::uint64_t old_size = file.written.size();
  if (old_size < offset + data.size()) file.written.resize(offset + data.size());
  file.written.replace(offset, data.size(), data);
  // A hole before the data is part of what changed.
  const std::uint64_t first = std::min<std::uint64_t>(offset, old_size) / plan_.page_bytes;
  const std::uint64_t last = (offset + data.size() - 1) / plan_.page_bytes;
  for (std::uint64_t page = first; page <= last; ++page) {
    file.dirty.insert(page);
    file.forgotten.erase(page);
  }
  return {};
}

SimTime VirtualDisk::NextSyncEnd() {
  SimTime cost = random_.Between(plan_.sync_min, plan_.sync_max) + extra_delay_;
  if (random_.Chance(plan_.slow_chance)) cost += random_.Between(SimTime{0}, plan_.slow_max);
  cursor_ = std::max(cursor_, last_sync_end_) + cost;
  last_sync_end_ = cursor_;
  return cursor_;
}

void VirtualDisk::SyncFile(const InodePtr& file) {
  Version version{file->written.size(), {}};
  for (std::uint64_t page : file->dirty) {
    version.pages[page] = PageOf(file->written, page, plan_.page_bytes);
  }
  file->dirty.clear();
  const SimTime end = NextSyncEnd();
  if (syncs_broken_) return;
  file->syncing.push_back(std::move(version));
  pending_.push_back({end, file, {}, 0});
}

Status VirtualDisk::SyncDirectory(const std::string& path) {
  const SimTime end = NextSyncEnd();
  if (!syncs_broken_) pending_.push_back({end, nullptr, path, unsynced_names_[path].size()});
  return {};
}

void VirtualDisk::FinishFileSync(Inode& file) {
  const Version& version = file.syncing.front();
  file.durable.resize(version.size);
  for (const auto& [page, content] : version.pages) {
    PutPage(file.durable, page, plan_.page_bytes, content);
  }
  file.syncing.pop_front();
}

void VirtualDisk::PersistNames(const std::string& directory, std::size_t changes) {
  std::deque<NameChange>& unsynced = unsynced_names_[directory];
  for (; changes > 0 && !unsynced.empty(); --changes) {
    for (auto& [name, inode] : unsynced.front()) {
      if (inode == nullptr) {
        durable_names_.erase(name);
      } else {
        durable_names_[name] = inode;
      }
    }
    unsynced.pop_front();
    // Syncs of this directory that are under way were promised these changes too.
    for (PendingSync& sync : pending_) {
      if (sync.file == nullptr && sync.directory == directory && sync.changes > 0) --sync.changes;
    }
  }
}

void VirtualDisk::Settle(SimTime now) {
  while (!pending_.empty() && pending_.front().end <= now) {
    const PendingSync sync = std::move(pending_.front());
    pending_.pop_front();
    if (sync.file != nullptr) {
      FinishFileSync(*sync.file);
    } else {
      PersistNames(sync.directory, sync.changes);
    }
  }
}

void VirtualDisk::KillProcess(SimTime now) {
  Settle(now);
  if (!plan_.forgets_unsynced) return;
  for (auto& [name, inode] : written_names_) {
    inode->forgotten.merge(inode->dirty);
    inode->dirty.clear();
  }
}

void VirtualDisk::TearFile(Inode& file) {
  std::deque<Version> versions = std::move(file.syncing);
  file.syncing.clear();
  Version written{file.written.size(), {}};
  for (const auto* pages : {&file.dirty, &file.forgotten}) {
    for (std::uint64_t page : *pages) {
      written.pages[page] = PageOf(file.written, page, plan_.page_bytes);
    }
  }
  versions.push_back(std::move(written));

  // Each page independently stops at one of its versions; so does the size.
  std::map<std::uint64_t, std::vector<const std::string*>> candidates;
  std::vector<std::uint64_t> sizes{file.durable.size()};
  for (const Version& version : versions) {
    sizes.push_back(version.size);
    for (const auto& [page, content] : version.pages) candidates[page].push_back(&content);
  }
  for (const auto& [page, contents] : candidates) {
    const std::uint64_t choice = random_.Below(contents.size() + 1);
    if (choice > 0) PutPage(file.durable, page, plan_.page_bytes, *contents[choice - 1]);
  }
  file.durable.resize(sizes[random_.Below(sizes.size())]);
  file.written = file.durable;
  file.dirty.clear();
  file.forgotten.clear();
}

void VirtualDisk::CutPower(SimTime now) {
  Settle(now);
  for (auto& [directory, changes] : unsynced_names_) {
    PersistNames(directory, random_.Below(changes.size() + 1));
    changes.clear();
  }
  pending_.clear();
  written_names_ = durable_names_;
  for (auto& [name, inode] : written_names_) TearFile(*inode);
  last_sync_end_ = now;
}

void VirtualDisk::Wipe() {
  pending_.clear();
  unsynced_names_.clear();
  written_names_.clear();
  durable_names_.clear();
}

void VirtualDisk::ChangeNames(const std::string& directory, NameChange change) {
  cursor_ += kCallCost;
  for (auto& [name, inode] : change) {
    if (inode == nullptr) {
      written_names_.erase(name);
    } else {
      written_names_[name] = inode;
    }
  }
  unsynced_names_[directory].push_back(std::move(change));
}

Result<std::unique_ptr<storage::File>> VirtualDisk::Open(const std::string& path, OpenMode mode) {
  auto it = written_names_.find(path);
  if (mode == OpenMode::kCreate) {
    if (it != written_names_.end()) return Fail(ErrorCode::kExists, path + " exists");
    auto inode = std::make_shared<Inode>();
    ChangeNames(Parent(path), {{path, inode}});
    return std::make_unique<VirtualFile>(*this, inode, true);
  }
  if (it == written_names_.end()) return Fail(ErrorCode::kNotFound, path + " does not exist");
  return std::make_unique<VirtualFile>(*this, it->second, mode == OpenMode::kReadWrite);
}

Result<bool> VirtualDisk::Exists(const std::string& path) { return written_names_.contains(path); }

Result<std::vector<std::string>> VirtualDisk::List(const std::string& directory) {
  if (!written_names_.contains(directory)) {
    return Fail(ErrorCode::kNotFound, directory + " does not exist");
  }
  std::vector<std::string> names;
  for (const auto& [path, inode] : written_names_) {
    if (Parent(path) == directory) names.push_back(path.substr(directory.size() + 1));
  }
  return names;
}

Status VirtualDisk::CreateDirectory(const std::string& path) {
  if (written_names_.contains(path)) return {};
  auto inode = std::make_shared<Inode>();
  inode->directory = true;
  ChangeNames(Parent(path), {{path, inode}});
  return {};
}

Status VirtualDisk::Rename(const std::string& from, const std::string& to) {
  auto it = written_names_.find(from);
  if (it == written_names_.end()) return Fail(ErrorCode::kNotFound, from + " does not exist");
  if (Parent(from) != Parent(to)) {
    return Fail(ErrorCode::kInvalid, "the virtual disk renames within one directory only");
  }
  ChangeNames(Parent(to), {{from, nullptr}, {to, it->second}});
  return {};
}

Status VirtualDisk::Remove(const std::string& path) {
  if (!written_names_.contains(path)) return Fail(ErrorCode::kNotFound, path + " does not exist");
  ChangeNames(Parent(path), {{path, nullptr}});
  return {};
}

Result<std::unique_ptr<storage::FileLock>> VirtualDisk::Lock(const std::string& path) {
  if (!locks_->insert(path).second) return Fail(ErrorCode::kLocked, path + " is locked");
  if (!written_names_.contains(path)) {
    ChangeNames(Parent(path), {{path, std::make_shared<Inode>()}});
  }
  return std::make_unique<VirtualLock>(locks_, path);
}

}  // namespace quorate::sim
