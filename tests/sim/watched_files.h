// A file system that gives each step a name and passes it as a crash point, before and after.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/file_system.h"

namespace quorate::sim {

// Called with names such as "before log sync" and "after identity rename".
using PassPoint = std::function<void(const std::string& point)>;

class WatchedFiles : public storage::FileSystem {
 public:
  WatchedFiles(storage::FileSystem& files, PassPoint pass)
      : files_(files), pass_(std::move(pass)) {}

  storage::Result<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                       storage::OpenMode mode) override;
  storage::Result<bool> Exists(const std::string& path) override { return files_.Exists(path); }
  storage::Result<std::vector<std::string>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  storage::Status CreateDirectory(const std::string& path) override;
  storage::Status Rename(const std::string& from, const std::string& to) override;
  storage::Status Remove(const std::string& path) override;
  storage::Status SyncDirectory(const std::string& path) override;
  storage::Result<std::unique_ptr<storage::FileLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }

 private:
  storage::FileSystem& files_;
  const PassPoint pass_;
  // Of the files that are open for writing: a spare segment becomes a part of the log.
  std::vector<std::weak_ptr<std::string>> open_paths_;
};

// What a path below a node's data directory is for, in a word or two: "log", "spare segment", ...
std::string_view SubjectOf(std::string_view path);

}  // namespace quorate::sim
