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
auto Between(const WatchedFiles::Points& points, std::string_view path, const char* verb,
             Step step) {
  const std::string name = std::string(points.subject(path)) + " " + verb;
  points.pass("before " + name);
  auto result = step();
  points.pass("after " + name);
  return result;
}

class WatchedFile : public File {
 public:
  WatchedFile(std::unique_ptr<File> file, std::shared_ptr<std::string> path,
              const WatchedFiles::Points& points)
      : file_(std::move(file)), path_(std::move(path)), points_(points) {}

  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    return file_->Read(offset, size);
  }
  Status Write(std::uint64_t offset, std::string_view data) override {
    return Between(points_, *path_, "write", [&] { return file_->Write(offset, data); });
  }
  Status Sync() override {
    return Between(points_, *path_, "sync", [&] { return file_->Sync(); });
  }
  Result<std::uint64_t> Size() const override { return file_->Size(); }

 private:
  std::unique_ptr<File> file_;
  const std::shared_ptr<std::string> path_;
  const WatchedFiles::Points& points_;
};

}  // namespace

std::string_view NodeSubject(std::string_view path) {
  if (Contains(path, "/log/")) return EndsWith(path, ".tmp") ? "spare segment" : "log";
  if (EndsWith(path, "/log")) return "log directory";
  if (Contains(path, "/IDENTITY")) return "identity";
  if (Contains(path, "/CURRENT")) return "current";
  if (Contains(path, "/INCOMING")) return "incoming manifest";
  if (Contains(path, "/QUARANTINED")) return "quarantine mark";
  if (EndsWith(path, "/snapshots")) return "snapshots directory";
  if (Contains(path, "/snapshots/")) return "kept snapshot";
  if (Contains(path, "/db-")) return "fetched database";
  return "directory";
}

std::string_view StateSubject(std::string_view path) {
  if (Contains(path, "/snapshots/")) return "checkpoint";
  return Contains(path, "/db-") ? "flush" : "directory";
}

Result<std::unique_ptr<File>> WatchedFiles::Open(const std::string& path, OpenMode mode) {
  auto opened = mode == OpenMode::kCreate
                    ? Between(points_, path, "create", [&] { return files_.Open(path, mode); })
                    : files_.Open(path, mode);
  if (!opened || mode == OpenMode::kReadOnly) return opened;
  auto shared_path = std::make_shared<std::string>(path);
  std::erase_if(open_paths_, [](const auto& open) { return open.expired(); });
  open_paths_.push_back(shared_path);
  return std::make_unique<WatchedFile>(std::move(*opened), std::move(shared_path), points_);
}

Status WatchedFiles::CreateDirectory(const std::string& path) {
  return Between(points_, path, "create", [&] { return files_.CreateDirectory(path); });
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
  return Between(points_, to, "rename", rename);
}

Status WatchedFiles::Remove(const std::string& path) {
  return Between(points_, path, "remove", [&] { return files_.Remove(path); });
}

Status WatchedFiles::RemoveDirectory(const std::string& path) {
  return Between(points_, path, "remove", [&] { return files_.RemoveDirectory(path); });
}

Status WatchedFiles::SyncDirectory(const std::string& path) {
  return Between(points_, path, "sync", [&] { return files_.SyncDirectory(path); });
}

}  // namespace quorate::sim
