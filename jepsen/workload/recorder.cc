#include "jepsen/workload/recorder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>

namespace quorate::workload {
namespace {

constexpr std::size_t kMostBuffered = 256 << 10;

std::runtime_error Failed(const std::string& path) {
  return std::runtime_error(path + ": " + std::strerror(errno));
}

}  // namespace

Recorder::Recorder(const std::string& path, std::chrono::microseconds origin)
    : path_(path),
      origin_us_(origin.count()),
      file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0) throw Failed(path);
}

Recorder::~Recorder() {
  close(file_);
}

std::int64_t Recorder::Now() const {
  // CLOCK_MONOTONIC, as the harness has it.
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count() - origin_us_;
}

void Recorder::Write(const nlohmann::ordered_json& line) {
  buffer_ += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  buffer_ += '\n';
  if (buffer_.size() >= kMostBuffered) Flush();
}

void Recorder::End(const Operation& operation) {
  const auto& type = operation.at("type").get_ref<const std::string&>();
  ++(type == "ok" ? counts_.ok : type == "fail" ? counts_.fail : counts_.info);
  const auto returned = operation.find("returned");
  if (returned != operation.end()) {
    const auto took = returned->get<std::int64_t>() - operation.at("invoked").get<std::int64_t>();
    counts_.slowest_us = std::max(counts_.slowest_us, took);
  }
  Write(operation);
}

void Recorder::Flush() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t written = write(file_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw Failed(path_);
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

}  // namespace quorate::workload
