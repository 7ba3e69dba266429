#include "tests/sim/watched_files.h"

#include <algorithm>

namespace quorate::sim {

using storage::File;
using storage::OpenMode;
using storage::Result;
using storage::Status;

namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Runs `step` between its two points.
template <typename Step>
auto Between(const PassPoint& pass, std::string_view path, const char* verb, Step step) {
  const std::string name = std::string(SubjectOf(path)) + " " + verb;
  pass("before " + name);
  auto result = step();
  pass("after " + name);
  return result;
}

class WatchedFile : public File {
 public:
  WatchedFile(std::unique_ptr<File> file, std::shared_ptr<std::string> path, const PassPoint& pass)
      : file_(std::move(file)), path_(std::move(path)), pass_(pass) {}

  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    return file_->Read(offset, size);
  }
  Status Write(std::uint64_t offset, std::string_view data) override {
    return Between(pass_, *path_, "write", [&] { return file_->Write(offset, data); });
  }
  Status Sync() override {
    return Between(pass_, *path_, "sync", [&] { return file_->Sync(); });
  }
  Result<std::uint64_t> Size() const override { return file_->Size(); }

 private:
  std::unique_ptr<File> file_;
  const std::shared_ptr<std::string> path_;
  const PassPoint& pass_;
};

}  // namespace

std::string_view SubjectOf(std::string_view path) {
  if (Contains(path, "/log/")) return EndsWith(path, ".tmp") ? "spare segment" : "log";
  if (EndsWith(path, "/log")) return "log directory";
  if (Contains(path, "/IDENTITY")) return "identity";
  if (Contains(path, "/CURRENT")) return "current";
  if (Contains(path, "/INCOMING")) return "incoming manifest";
  if (Contains(path, "/QUARANTINED")) return "quarantine mark";
  if (EndsWith(path, "/snapshots")) return "snapshots directory";
  if (Contains(path, "/snapshots/")) return "snapshot";
  if (Contains(path, "/db")) return "database";
  return "directory";
}

Result<std::unique_ptr<File>> WatchedFiles::Open(const std::string& path, OpenMode mode) {
  auto opened = mode == OpenMode::kCreate
                    ? Between(pass_, path, "create", [&] { return files_.Open(path, mode); })
                    : files_.Open(path, mode);
  if (!opened || mode == OpenMode::kReadOnly) return opened;
  auto shared_path = std::make_shared<std::string>(path);
  std::erase_if(open_paths_, [](const auto& open) { return open.expired(); });
  open_paths_.push_back(shared_path);
  return std::make_unique<WatchedFile>(std::move(*opened), std::move(shared_path), pass_);
}

Status WatchedFiles::CreateDirectory(const std::string& path) {
  return Between(pass_, path, "create", [&] { return files_.CreateDirectory(path); });
}

// Named after what it becomes: that is the step that counts.
Status WatchedFiles::Rename(const std::string& from, const std::string& to) {
  const auto rename = [&] {
    Status status = files_.Rename(from, to);
    if (!status) return status;
    for (const auto& open : open_paths_) {
      const std::shared_ptr<std::string> path = open.lock();
      if (path != nullptr && *path == from) *path = to;
    }
    return status;
  };
  return Between(pass_, to, "rename", rename);
}

Status WatchedFiles::Remove(const std::string& path) {
  return Between(pass_, path, "remove", [&] { return files_.Remove(path); });
}

Status WatchedFiles::SyncDirectory(const std::string& path) {
  return Between(pass_, path, "sync", [&] { return files_.SyncDirectory(path); });
}

}  // namespace quorate::sim
