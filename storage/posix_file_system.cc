#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "storage/file_system.h"

namespace quorate::storage {
namespace {

ErrorCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    case ENOENT:
      return ErrorCode::kNotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::kExists;
    default:
      return ErrorCode::kIo;
  }
}

tl::unexpected<Error> FailErrno(const std::string& what, const std::string& path) {
  const int error = errno;
  return Fail(CodeOf(error),
              "cannot " + what + " " + path + ": " + std::generic_category().message(error));
}

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    std::string data(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      const ssize_t n =
          ::pread(fd_.get(), data.data() + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FailErrno("read", path_);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    data.resize(done);
    return data;
  }

  Status Write(std::uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FailErrno("write", path_);
      offset += static_cast<std::uint64_t>(n);
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Status Sync() override {
    if (::fdatasync(fd_.get()) != 0) return FailErrno("sync", path_);
    return {};
  }

  Result<std::uint64_t> Size() const override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) return FailErrno("stat", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Descriptor fd_;
  std::string path_;
};

// flock() dies with the process, so that a kill -9 leaves nothing to clean up.
class PosixLock final : public FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kReadOnly:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

// Only for people: the lock itself is the flock.
std::string HolderOf(int fd) {
  char pid[16] = {};
  const ssize_t n = ::pread(fd, pid, sizeof(pid) - 1, 0);
  return n > 0 ? " (pid " + std::string(pid, static_cast<std::size_t>(n)) + ")" : "";
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    Descriptor fd(::open(path.c_str(), OpenFlags(mode) | O_CLOEXEC, 0644));
    if (!fd.ok()) return FailErrno("open", path);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  Result<bool> Exists(const std::string& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return FailErrno("stat", path);
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* handle = ::opendir(directory.c_str());
    if (handle == nullptr) return FailErrno("list", directory);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* item = ::readdir(handle)) {
      const std::string name = item->d_name;
      if (name != "." && name != "..") names.push_back(name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(handle);
    errno = error;
    if (error != 0) return FailErrno("list", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status CreateDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0755) == 0) return {};
    struct stat status {};
    if (errno == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
    if (errno == EEXIST) errno = ENOTDIR;
    return FailErrno("make directory", path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return FailErrno("rename " + from + " to", to);
    return {};
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return FailErrno("remove", path);
    return {};
  }

  Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) return FailErrno("remove directory", path);
    return {};
  }

  Status SyncDirectory(const std::string& path) override {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.ok()) return FailErrno("open directory", path);
    if (::fsync(fd.get()) != 0) return FailErrno("sync directory", path);
    return {};
  }

  Result<std::uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) return FailErrno("ask for the room left at", path);
    return std::uint64_t{status.f_bavail} * status.f_frsize;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd.ok()) return FailErrno("open", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return FailErrno("lock", path);
      return Fail(ErrorCode::kLocked, path + " is held by another process" + HolderOf(fd.get()) +
                                          "; stop it or use another --data-dir");
    }
    const std::string pid = std::to_string(::getpid());
    // A full disk must not keep a node from starting: the number is only for the message above.
    [[maybe_unused]] const bool noted =
        ::ftruncate(fd.get(), 0) == 0 && ::pwrite(fd.get(), pid.data(), pid.size(), 0) > 0;
    return std::make_unique<PosixLock>(std::move(fd));
  }
};

}  // namespace

std::unique_ptr<FileSystem> MakePosixFileSystem() {
  return std::make_unique<PosixFileSystem>();
}

}  // namespace quorate::storage
