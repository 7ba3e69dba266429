#include "storage/engine_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace quorate::storage {
namespace {

constexpr off_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxLineBytes = 4096;

class EngineLog final : public rocksdb::Logger {
 public:
  explicit EngineLog(std::string path)
      : Logger(rocksdb::InfoLogLevel::WARN_LEVEL), path_(std::move(path)) {}
  EngineLog(const EngineLog&) = delete;
  EngineLog& operator=(const EngineLog&) = delete;
  ~EngineLog() override {
    if (file_ >= 0) ::close(file_);
  }

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    std::array<char, kMaxLineBytes> line{};
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    std::size_t used =
        std::strftime(line.data(), line.size(), "%Y-%m-%dT%H:%M:%SZ ", ::gmtime_r(&now, &utc));
    const int wanted = std::vsnprintf(line.data() + used, line.size() - used, format, arguments);
    if (wanted < 0) return;
    used = std::min(used + static_cast<std::size_t>(wanted), line.size() - 1);
    if (line[used - 1] != '\n') line[used++] = '\n';
    Append({line.data(), used});
  }

 private:
  void Append(std::string_view line) {
    const std::lock_guard lock(mutex_);
    if (file_ < 0) file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    struct stat about {};
    if (file_ < 0 || ::fstat(file_, &about) != 0) return;
    if (about.st_size > kMaxFileBytes && ::ftruncate(file_, 0) != 0) return;
    static_cast<void>(!::write(file_, line.data(), line.size()));
  }

  const std::string path_;
  std::mutex mutex_;
  int file_ = -1;
};

}  // namespace

std::shared_ptr<rocksdb::Logger> MakeEngineLog(const std::string& directory) {
  return std::make_shared<EngineLog>(directory + "/LOG");
}

}  // namespace quorate::storage
