// Log lines with fields: as text for people, or one JSON object a line.
#pragma once

#include <spdlog/logger.h>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "raft/types.h"

namespace spdlog::details {
class thread_pool;
}

namespace quorate::server {

enum class LogFormat { kText, kJson };

struct Field {
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, const char* text) : key(name), value(std::string_view(text)) {}
  Field(std::string_view name, const std::string& text)
      : key(name), value(std::string_view(text)) {}
  Field(std::string_view name, bool flag) : key(name), value(flag) {}
  Field(std::string_view name, double number) : key(name), value(number) {}
  template <std::unsigned_integral T>
  Field(std::string_view name, T number) : key(name), value(std::uint64_t{number}) {}
  template <std::signed_integral T>
  Field(std::string_view name, T number) : key(name), value(std::int64_t{number}) {}

  std::string_view key;
  std::variant<std::string_view, std::uint64_t, std::int64_t, double, bool> value;
};

// Every line carries the time (UTC), level, node and term. Lines are written to stderr by a thread
// of their own: a reader that stops reading costs lines (the oldest), never a heartbeat.
// Thread-safe.
class Logger {
 public:
  using Fields = std::initializer_list<Field>;

  Logger(LogFormat format, spdlog::level::level_enum level, raft::NodeId node);
  // For tests: writes to `sink` at once.
  Logger(LogFormat format, spdlog::level::level_enum level, raft::NodeId node,
         spdlog::sink_ptr sink);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void SetTerm(raft::Term term) { term_.store(term, std::memory_order_relaxed); }
  bool debugging() const { return logger_->should_log(spdlog::level::debug); }

  void Debug(std::string_view message, Fields fields = {}) const;
  void Info(std::string_view message, Fields fields = {}) const;
  void Warn(std::string_view message, Fields fields = {}) const;
  void Error(std::string_view message, Fields fields = {}) const;
  // Waits until what was logged is written: before the process ends.
  void Flush() const;

 private:
  void Log(spdlog::level::level_enum level, std::string_view message, Fields fields) const;

  const LogFormat format_;
  const raft::NodeId node_;
  std::atomic<raft::Term> term_{0};
  std::shared_ptr<spdlog::details::thread_pool> threads_;
  std::shared_ptr<spdlog::logger> logger_;
};

// At most `burst` lines a second; what was left out is counted. For the loop's thread.
class LogLimit {
 public:
  explicit LogLimit(int burst) : burst_(burst) {}
  // Nothing: stay silent. Otherwise how many were left out since the last line.
  bool Allow(raft::Time now, std::uint64_t& left_out);

 private:
  const int burst_;
  raft::Time window_start_{-1'000'000};
  int in_window_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace quorate::server
