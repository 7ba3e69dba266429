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
// What a directory entry takes of the room.
constexpr std::uint64_t kNameBytes = 256;

std::string Parent(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
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
  Status Sync() override { return disk_.SyncFile(inode_); }
  Result<std::uint64_t> Size() const override { return inode_->written.size(); }

 private:
  VirtualDisk& disk_;
  VirtualDisk::InodePtr inode_;
  bool writable_;
};

void VirtualDisk::Begin(SimTime now) {
  Settle(now);
  cursor_ = now;
  extra_left_ = extra_delay_;
}

SimTime VirtualDisk::End() {
  return cursor_;
}

bool VirtualDisk::HasUnsyncedWrites(std::string_view name_end) const {
  return std::any_of(written_names_.begin(), written_names_.end(), [name_end](const auto& entry) {
    const auto& [name, inode] = entry;
    return inode->last_write > inode->last_sync && name.size() >= name_end.size() &&
           std::string_view(name).substr(name.size() - name_end.size()) == name_end;
  });
}

std::string VirtualDisk::PageOf(const std::string& data, std::uint64_t page) const {
  const std::uint64_t offset = page * plan_.page_bytes;
  return offset >= data.size() ? std::string() : data.substr(offset, plan_.page_bytes);
}

void VirtualDisk::PutPage(std::string& data, std::uint64_t page, const std::string& content) const {
  const std::uint64_t offset = page * plan_.page_bytes;
  if (data.size() < offset + content.size()) data.resize(offset + content.size());
  data.replace(offset, content.size(), content);
}

void VirtualDisk::AdvanceForChange() {
  cursor_ = std::max(cursor_, last_change_) + kCallCost;
  last_change_ = cursor_;
}

std::uint64_t VirtualDisk::UsedBytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : written_names_) bytes += inode->written.size() + kNameBytes;
  return bytes;
}

Status VirtualDisk::TakeRoom(std::uint64_t bytes) {
  if (capacity_ == UINT64_MAX || UsedBytes() + bytes <= capacity_) return {};
  ++refusals_;
  return Fail(ErrorCode::kNoSpace, "the virtual disk is full; free some room");
}

Status VirtualDisk::WriteFile(Inode& file, std::uint64_t offset, std::string_view data) {
  AdvanceForChange();
  const std::uint64_t end = offset + data.size();
  if (end > file.written.size()) QUORATE_RETURN_IF_ERROR(TakeRoom(end - file.written.size()));
  if (!std::exchange(write_fails_, false)) {
    PutWrite(file, offset, data);
    return {};
  }
  ++failures_;
  PutWrite(file, offset, data.substr(0, random_.Below(data.size() + 1)));
  return Fail(ErrorCode::kIo, "the virtual disk failed a write");
}

void VirtualDisk::PutWrite(Inode& file, std::uint64_t offset, std::string_view data) {
  if (data.empty()) return;
  const std::uint64_t old_size = file.written.size();
  if (old_size < offset + data.size()) file.written.resize(offset + data.size());
  file.written.replace(offset, data.size(), data);
  // A hole before the data is part of what changed.
  const std::uint64_t first = std::min<std::uint64_t>(offset, old_size) / plan_.page_bytes;
  const std::uint64_t last = (offset + data.size() - 1) / plan_.page_bytes;
  file.last_write = ++sequence_;
  for (std::uint64_t page = first; page <= last; ++page) {
    file.pages[page].push_back({sequence_, cursor_, PageOf(file.written, page)});
  }
  if (file.written.size() > old_size)
    file.sizes.push_back({sequence_, cursor_, {}, file.written.size()});
}

void VirtualDisk::BeginSync(PendingSync sync) {
  AdvanceForChange();
  SimTime cost =
      random_.Between(plan_.sync_min, plan_.sync_max) + std::exchange(extra_left_, SimTime{0});
  if (random_.Chance(plan_.slow_chance)) cost += random_.Between(SimTime{0}, plan_.slow_max);
  sync.begin = last_sync_begin_ = cursor_;
  sync.end = last_sync_end_ = last_change_ = cursor_ = cursor_ + cost;
  if (!syncs_broken_) pending_.push_back(std::move(sync));
}

Status VirtualDisk::SyncFile(const InodePtr& file) {
  if (std::exchange(sync_fails_, false)) {
    AdvanceForChange();
    ++failures_;
    ForgetUnsynced(file);
    return Fail(ErrorCode::kIo, "the virtual disk failed a sync");
  }
  file->last_sync = file->last_write;
  BeginSync(
      {.begin = {}, .end = {}, .file = file, .covers = sequence_, .directory = {}, .changes = 0});
  return {};
}

void VirtualDisk::ForgetUnsynced(const InodePtr& file) {
  std::uint64_t covered = 0;
  for (const PendingSync& sync : pending_) {
    if (sync.file == file) covered = sync.covers;
  }
  for (auto& [page, versions] : file->pages) {
    for (Version& version : versions)
      version.forgotten = version.forgotten || version.sequence > covered;
  }
  file->last_sync = file->last_write;
}

Status VirtualDisk::SyncDirectory(const std::string& path) {
  const std::size_t changes = unsynced_names_[path].size();
  BeginSync({.begin = {},
             .end = {},
             .file = nullptr,
             .covers = 0,
             .directory = path,
             .changes = changes});
  return {};
}

void VirtualDisk::FinishFileSync(Inode& file, std::uint64_t covers) {
  // The newest version that the sync covers, and everything older, is settled.
  const auto newest = [covers](Versions& versions) {
    return std::find_if(versions.rbegin(), versions.rend(), [covers](const Version& version) {
      return version.sequence <= covers && !version.forgotten;
    });
  };
  if (auto size = newest(file.sizes); size != file.sizes.rend()) {
    file.durable.resize(size->size);
    file.sizes.erase(file.sizes.begin(), size.base());
  }
  for (auto page = file.pages.begin(); page != file.pages.end();) {
    if (auto version = newest(page->second); version != page->second.rend()) {
      PutPage(file.durable, page->first, version->content);
      page->second.erase(page->second.begin(), version.base());
    }
    page = page->second.empty() ? file.pages.erase(page) : std::next(page);
  }
}

void VirtualDisk::Apply(const NameChange& change, std::map<std::string, InodePtr>& names) {
  for (const auto& [name, inode] : change.names) {
    if (inode == nullptr) {
      names.erase(name);
    } else {
      names[name] = inode;
    }
  }
}

void VirtualDisk::PersistNames(const std::string& directory, std::size_t changes) {
  std::deque<NameChange>& unsynced = unsynced_names_[directory];
  for (; changes > 0 && !unsynced.empty(); --changes) {
    Apply(unsynced.front(), durable_names_);
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
      FinishFileSync(*sync.file, sync.covers);
    } else {
      PersistNames(sync.directory, sync.changes);
    }
  }
}

void VirtualDisk::UndoWritesAfter(Inode& file, SimTime now) {
  const auto later = [now](const Version& version) { return version.at > now; };
  bool undone = false;
  for (auto& [page, versions] : file.pages) undone = std::erase_if(versions, later) > 0 || undone;
  undone = std::erase_if(file.sizes, later) > 0 || undone;
  if (!undone) return;
  file.written = file.durable;
  if (!file.sizes.empty()) file.written.resize(file.sizes.back().size);
  const std::size_t size = file.written.size();
  for (const auto& [page, versions] : file.pages) {
    if (!versions.empty()) PutPage(file.written, page, versions.back().content);
  }
  file.written.resize(size);
}

void VirtualDisk::UndoNamesAfter(SimTime now) {
  bool undone = false;
  for (auto& [directory, changes] : unsynced_names_) {
    for (; !changes.empty() && changes.back().at > now; changes.pop_back()) undone = true;
  }
  if (!undone) return;
  written_names_ = durable_names_;
  for (const auto& [directory, changes] : unsynced_names_) {
    for (const NameChange& change : changes) Apply(change, written_names_);
  }
}

void VirtualDisk::UndoAfter(SimTime now) {
  while (!pending_.empty() && pending_.back().begin > now) pending_.pop_back();
  last_change_ = pending_.empty() ? now : pending_.back().end;
  UndoNamesAfter(now);
  for (auto& [name, inode] : written_names_) UndoWritesAfter(*inode, now);
}

void VirtualDisk::KillProcess(SimTime now) {
  Settle(now);
  UndoAfter(now);
  if (!plan_.forgets_unsynced) return;
  for (auto& [name, inode] : written_names_) ForgetUnsynced(inode);
}

void VirtualDisk::TearFile(Inode& file) {
  // Each page independently stops at one of its versions; so does the size.
  std::uint64_t size = file.durable.size();
  if (const std::uint64_t choice = random_.Below(file.sizes.size() + 1); choice > 0) {
    size = file.sizes[choice - 1].size;
  }
  for (const auto& [page, versions] : file.pages) {
    const std::uint64_t choice = random_.Below(versions.size() + 1);
    if (choice > 0) PutPage(file.durable, page, versions[choice - 1].content);
  }
  file.durable.resize(size);
  file.written = file.durable;
  file.pages.clear();
  file.sizes.clear();
  file.last_sync = file.last_write;
}

// What lies in a directory whose own name was lost is lost with it.
void VirtualDisk::DropOrphans() {
  std::erase_if(written_names_, [this](const auto& entry) {
    const std::string parent = Parent(entry.first);
    return !Parent(parent).empty() && !written_names_.contains(parent);
  });
}

void VirtualDisk::CutPower(SimTime now) {
  Settle(now);
  UndoAfter(now);
  for (auto& [directory, changes] : unsynced_names_) {
    PersistNames(directory, random_.Below(changes.size() + 1));
    changes.clear();
  }
  pending_.clear();
  written_names_ = durable_names_;
  DropOrphans();
  durable_names_ = written_names_;
  for (auto& [name, inode] : written_names_) TearFile(*inode);
  last_change_ = now;
}

std::optional<std::string> VirtualDisk::Rot() {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : durable_names_) bytes += inode->durable.size();
  if (bytes == 0) return std::nullopt;
  std::optional<std::string> hit;
  // Most bytes are zeros behind the end of the log: one of the others is worth a few tries.
  for (int tries = 0; tries < 6 && !hit; ++tries) hit = FlipBit(random_.Below(bytes), tries == 5);
  return hit;
}

std::optional<std::string> VirtualDisk::FlipBit(std::uint64_t at, bool even_zero) {
  for (const auto& [name, inode] : durable_names_) {
    if (at >= inode->durable.size()) {
      at -= inode->durable.size();
      continue;
    }
    char& byte = inode->durable[at];
    if (byte == 0 && !even_zero) return std::nullopt;
    byte = static_cast<char>(byte ^ (1 << random_.Below(8)));
    inode->written = inode->durable;
    return name + " at " + std::to_string(at);
  }
  return std::nullopt;
}

void VirtualDisk::Heal() {
  write_fails_ = sync_fails_ = false;
  plan_.slow_chance = 0;
  FreeUp();
}

void VirtualDisk::Wipe() {
  pending_.clear();
  unsynced_names_.clear();
  written_names_.clear();
  durable_names_.clear();
}

void VirtualDisk::ChangeNames(const std::string& directory,
                              std::vector<std::pair<std::string, InodePtr>> names) {
  AdvanceForChange();
  unsynced_names_[directory].push_back({cursor_, std::move(names)});
  Apply(unsynced_names_[directory].back(), written_names_);
}

Status VirtualDisk::CreateName(const std::string& path, InodePtr inode) {
  QUORATE_RETURN_IF_ERROR(TakeRoom(kNameBytes));
  ChangeNames(Parent(path), {{path, std::move(inode)}});
  return {};
}

Result<std::unique_ptr<storage::File>> VirtualDisk::Open(const std::string& path, OpenMode mode) {
  auto it = written_names_.find(path);
  if (mode == OpenMode::kCreate) {
    if (it != written_names_.end()) return Fail(ErrorCode::kExists, path + " exists");
    auto inode = std::make_shared<Inode>();
    QUORATE_RETURN_IF_ERROR(CreateName(path, inode));
    return std::make_unique<VirtualFile>(*this, inode, true);
  }
  if (it == written_names_.end()) return Fail(ErrorCode::kNotFound, path + " does not exist");
  return std::make_unique<VirtualFile>(*this, it->second, mode == OpenMode::kReadWrite);
}

Result<bool> VirtualDisk::Exists(const std::string& path) {
  return written_names_.contains(path);
}

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
  return CreateName(path, std::make_shared<Inode>());
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

Status VirtualDisk::RemoveDirectory(const std::string& path) {
  const auto names = List(path);
  if (!names) return storage::Forward(names);
  if (!names->empty()) return Fail(ErrorCode::kExists, path + " is not empty");
  return Remove(path);
}

Result<std::uint64_t> VirtualDisk::FreeBytes(const std::string&) {
  const std::uint64_t used = UsedBytes();
  return capacity_ > used ? capacity_ - used : 0;
}

Result<std::unique_ptr<storage::FileLock>> VirtualDisk::Lock(const std::string& path) {
  if (locks_->contains(path)) return Fail(ErrorCode::kLocked, path + " is locked");
  if (!written_names_.contains(path)) {
    QUORATE_RETURN_IF_ERROR(CreateName(path, std::make_shared<Inode>()));
  }
  locks_->insert(path);
  return std::make_unique<VirtualLock>(locks_, path);
}

}  // namespace quorate::sim
