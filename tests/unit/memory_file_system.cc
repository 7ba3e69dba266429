#include "tests/unit/memory_file_system.h"

#include <algorithm>

namespace quorate::storage {
namespace {

std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

tl::unexpected<Error> Dying() {
  return Fail(ErrorCode::kIo, "the disk is gone");
}

}  // namespace

class MemoryFile final : public File {
 public:
  MemoryFile(MemoryFileSystem& files, std::shared_ptr<MemoryFileSystem::Node> node)
      : files_(files), node_(std::move(node)) {}

  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    if (const auto hook = std::exchange(files_.on_read_, nullptr)) hook();
    if (offset >= node_->written.size()) return std::string();
    return node_->written.substr(offset, size);
  }
  Status Write(std::uint64_t offset, std::string_view data) override {
    return files_.WriteTo(*node_, offset, data);
  }
  Status Sync() override { return files_.SyncNode(*node_); }
  Result<std::uint64_t> Size() const override { return node_->written.size(); }

 private:
  MemoryFileSystem& files_;
  std::shared_ptr<MemoryFileSystem::Node> node_;
};

class MemoryLock final : public FileLock {
 public:
  MemoryLock(std::set<std::string>& locked, std::string path)
      : locked_(locked), path_(std::move(path)) {}
  ~MemoryLock() override { locked_.erase(path_); }

 private:
  std::set<std::string>& locked_;
  std::string path_;
};

bool MemoryFileSystem::Count(bool* last) {
  if (remaining_ == 0) return false;
  ++operations_;
  if (remaining_ != kNever && --remaining_ == 0 && last != nullptr) *last = true;
  return true;
}

void MemoryFileSystem::Persist(Node& node, std::size_t sector) {
  const std::size_t begin = sector * kSector;
  const std::size_t end = std::min(begin + kSector, node.written.size());
  if (begin >= end) return;
  if (node.durable.size() < end) node.durable.resize(end);
  std::copy(node.written.begin() + static_cast<std::ptrdiff_t>(begin),
            node.written.begin() + static_cast<std::ptrdiff_t>(end),
            node.durable.begin() + static_cast<std::ptrdiff_t>(begin));
}

Status MemoryFileSystem::WriteTo(Node& node, std::uint64_t offset, std::string_view data) {
  bool last = false;
  if (!Count(&last)) return Dying();
  const std::uint64_t end = offset + data.size();
  const std::uint64_t growth = end - std::min<std::uint64_t>(end, node.written.size());
  if (growth > room_) return Fail(ErrorCode::kNoSpace, "no space");
  if (room_ != kNever) room_ -= growth;
  if (last) data = data.substr(0, data.size() / 2);
  if (node.written.size() < offset + data.size()) node.written.resize(offset + data.size());
  std::copy(data.begin(), data.end(), node.written.begin() + static_cast<std::ptrdiff_t>(offset));
  for (std::size_t s = offset / kSector; s * kSector < offset + data.size(); ++s)
    node.dirty.insert(s);
  return last ? Status(Dying()) : Status();
}

Status MemoryFileSystem::SyncNode(Node& node) {
  bool last = false;
  if (!Count(&last) || last) return Dying();
  if (std::exchange(fail_next_sync_, false)) {
    node.dirty.clear();
    return Fail(ErrorCode::kIo, "the sync failed");
  }
  for (std::size_t sector : node.dirty) Persist(node, sector);
  node.dirty.clear();
  return {};
}

void MemoryFileSystem::MakeDurable(const NameChange& change) {
  if (!change.removed.empty()) {
    durable_names_.erase(change.removed);
    // A journal never shows a directory gone and what was in it still there.
    std::erase_if(durable_names_,
                  [&change](const auto& name) { return IsBelow(name.first, change.removed); });
  }
  if (!change.added.empty()) durable_names_[change.added] = change.node;
}

void MemoryFileSystem::PowerCut(std::mt19937_64& random) {
  const std::size_t surviving = random() % (pending_names_.size() + 1);
  for (std::size_t i = 0; i < surviving; ++i) MakeDurable(pending_names_[i]);
  const std::uint64_t odds = random() % 5;  // from nothing to nearly all
  for (auto& [path, node] : durable_names_) {
    for (std::size_t sector : node->dirty) {
      if (random() % 5 < odds) Persist(*node, sector);
    }
  }
  PowerCutLosingAll();
}

void MemoryFileSystem::PowerCutLosingAll() {
  pending_names_.clear();
  names_ = durable_names_;
  for (auto& [path, node] : names_) {
    node->written = node->durable;
    node->dirty.clear();
  }
  locked_.clear();
  Kill();
}

void MemoryFileSystem::Settle() {
  for (auto& [path, node] : names_) {
    node->durable = node->written;
    node->dirty.clear();
  }
  durable_names_ = names_;
  pending_names_.clear();
}

Result<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path, OpenMode mode) {
  const auto it = names_.find(path);
  if (mode != OpenMode::kCreate) {
    if (it == names_.end()) return Fail(ErrorCode::kNotFound, path);
    return std::make_unique<MemoryFile>(*this, it->second);
  }
  if (it != names_.end()) return Fail(ErrorCode::kExists, path);
  if (names_.count(ParentOf(path)) == 0) return Fail(ErrorCode::kNotFound, path);
  if (!Count()) return Dying();
  const auto node = std::make_shared<Node>();
  names_[path] = node;
  pending_names_.push_back({"", path, node});
  return std::make_unique<MemoryFile>(*this, node);
}

Result<bool> MemoryFileSystem::Exists(const std::string& path) {
  return names_.count(path) > 0;
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) {
  if (names_.count(directory) == 0) return Fail(ErrorCode::kNotFound, directory);
  std::vector<std::string> found;
  for (const auto& [path, node] : names_) {
    if (path.size() > directory.size() && ParentOf(path) == directory) {
      found.push_back(path.substr(directory.size() + 1));
    }
  }
  return found;
}

Status MemoryFileSystem::CreateDirectory(const std::string& path) {
  if (names_.count(path) > 0) return {};
  if (!Count()) return Dying();
  const auto node = std::make_shared<Node>();
  node->directory = true;
  names_[path] = node;
  pending_names_.push_back({"", path, node});
  return {};
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  if (!Count()) return Dying();
  const auto it = names_.find(from);
  if (it == names_.end()) return Fail(ErrorCode::kNotFound, from);
  const auto node = it->second;
  names_.erase(it);
  names_[to] = node;
  pending_names_.push_back({from, to, node});
  return {};
}

Status MemoryFileSystem::Remove(const std::string& path) {
  if (!Count()) return Dying();
  if (names_.erase(path) == 0) return Fail(ErrorCode::kNotFound, path);
  pending_names_.push_back({path, "", nullptr});
  return {};
}

Status MemoryFileSystem::RemoveDirectory(const std::string& path) {
  for (const auto& [name, node] : names_) {
    if (IsBelow(name, path)) return Fail(ErrorCode::kExists, path + " is not empty");
  }
  return Remove(path);
}

Status MemoryFileSystem::SyncDirectory(const std::string& path) {
  bool last = false;
  if (!Count(&last) || last) return Dying();
  std::vector<NameChange> others;
  for (const NameChange& change : pending_names_) {
    const std::string& name = change.added.empty() ? change.removed : change.added;
    if (ParentOf(name) == path) {
      MakeDurable(change);
    } else {
      others.push_back(change);
    }
  }
  pending_names_ = std::move(others);
  return {};
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  if (!locked_.insert(path).second) return Fail(ErrorCode::kLocked, path + " is held");
  return std::make_unique<MemoryLock>(locked_, path);
}

}  // namespace quorate::storage
