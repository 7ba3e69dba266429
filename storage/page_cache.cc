#include "storage/page_cache.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace quorate::storage {
namespace {

thread_local bool no_waiting = false;

rocksdb::IOStatus Failed(const std::string& name, const char* doing) {
  return rocksdb::IOStatus::IOError("while " + std::string(doing) + " " + name,
                                    std::strerror(errno));
}

// A file of a database: written once, then only read.
class TableFile final : public rocksdb::FSRandomAccessFile {
 public:
  TableFile(std::string name, int descriptor) : name_(std::move(name)), descriptor_(descriptor) {}
  ~TableFile() override { ::close(descriptor_); }
  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;

  rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size,
                         const rocksdb::IOOptions& /*options*/, rocksdb::Slice* result,
                         char* scratch, rocksdb::IODebugContext* /*debug*/) const override {
    *result = rocksdb::Slice();
    std::size_t done = 0;
    while (done < size) {
      const ssize_t got = ReadSome(scratch + done, size - done, offset + done);
      if (got == 0) break;  // the end of the file
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && no_waiting && (errno == EAGAIN || errno == EOPNOTSUPP)) {
        return rocksdb::IOStatus::Busy("not in memory", name_);
      }
      if (got < 0) return Failed(name_, "reading");
      done += static_cast<std::size_t>(got);
    }
    *result = rocksdb::Slice(scratch, done);
    return rocksdb::IOStatus::OK();
  }

  rocksdb::IOStatus Prefetch(std::uint64_t offset, std::size_t size,
                             const rocksdb::IOOptions& /*options*/,
                             rocksdb::IODebugContext* /*debug*/) override {
    Advise(offset, size, POSIX_FADV_WILLNEED);
    return rocksdb::IOStatus::OK();
  }

  void Hint(AccessPattern pattern) override {
    switch (pattern) {
      case kNormal:
        return Advise(0, 0, POSIX_FADV_NORMAL);
      case kRandom:
        return Advise(0, 0, POSIX_FADV_RANDOM);
      case kSequential:
        return Advise(0, 0, POSIX_FADV_SEQUENTIAL);
      case kWillNeed:
        return Advise(0, 0, POSIX_FADV_WILLNEED);
      case kWontNeed:
        return Advise(0, 0, POSIX_FADV_DONTNEED);
    }
  }

  rocksdb::IOStatus InvalidateCache(std::size_t offset, std::size_t size) override {
    Advise(offset, size, POSIX_FADV_DONTNEED);
    return rocksdb::IOStatus::OK();
  }

 private:
  ssize_t ReadSome(char* to, std::size_t size, std::uint64_t offset) const {
    const iovec part = {to, size};
    return ::preadv2(descriptor_, &part, 1, static_cast<off_t>(offset),
                     no_waiting ? RWF_NOWAIT : 0);
  }

  // Only ever advice: that it fails harms nothing.
  void Advise(std::uint64_t offset, std::size_t size, int advice) const {
    static_cast<void>(
        ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(size), advice));
  }

  const std::string name_;
  const int descriptor_;
};

class PageCacheFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  PageCacheFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

  const char* Name() const override { return "quorate.PageCache"; }

  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& /*options*/,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* /*debug*/) override {
    const int descriptor = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 && errno == ENOENT) {
      return rocksdb::IOStatus::PathNotFound("while opening " + name, std::strerror(errno));
    }
    if (descriptor < 0) return Failed(name, "opening");
    *file = std::make_unique<TableFile>(name, descriptor);
    return rocksdb::IOStatus::OK();
  }
};

}  // namespace

NoWaiting::NoWaiting() : before_(std::exchange(no_waiting, true)) {}
NoWaiting::~NoWaiting() {
  no_waiting = before_;
}

rocksdb::Env* PageCacheEnv() {
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(std::make_shared<PageCacheFileSystem>()).release();
  return env;
}

}  // namespace quorate::storage
