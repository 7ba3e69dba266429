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
// What a path is for, in a word or two: "log", "spare segment", ...
using Subject = std::string_view (*)(std::string_view path);

class WatchedFiles : public storage::FileSystem {
 public:
  WatchedFiles(storage::FileSystem& files, Subject subject, PassPoint pass)
      : files_(files), points_{subject, std::move(pass)} {}

  storage::Result<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                       storage::OpenMode mode) override;
  storage::Result<bool> Exists(const std::string& path) override { return files_.Exists(path); }
  storage::Result<std::vector<std::string>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  storage::Status CreateDirectory(const std::string& path) override;
  storage::Status Rename(const std::string& from, const std::string& to) override;
  storage::Status Remove(const std::string& path) override;
  storage::Status RemoveDirectory(const std::string& path) override;
  storage::Status SyncDirectory(const std::string& path) override;
  storage::Result<std::uint64_t> FreeBytes(const std::string& path) override {
    return files_.FreeBytes(path);
  }
  storage::Result<std::unique_ptr<storage::FileLock>> Lock(const std::string& path) override {
    return files_.Lock(path);
  }

  struct Points {
    Subject subject;
    PassPoint pass;
  };

 private:
  storage::FileSystem& files_;
  const Points points_;
  // Of the files that are open for writing: a spare segment becomes a part of the log.
  std::vector<std::weak_ptr<std::string>> open_paths_;
};

// Of what the node itself does below its data directory, and of what its state machine does there.
std::string_view NodeSubject(std::string_view path);
std::string_view StateSubject(std::string_view path);

}  // namespace quorate::sim
