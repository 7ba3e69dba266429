#include "src/logger.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

namespace quorate::server {
namespace {

constexpr std::size_t kQueuedLines = 4096;
constexpr std::chrono::seconds kOneSecond{1};

std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// "2026-11-23T16:10:00.123Z"
std::string Timestamp(spdlog::log_clock::time_point when) {
  const auto since = when.time_since_epoch();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(since).count() % 1000;
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, millis);
}

// The logger has encoded message and fields; this adds what the line itself knows.
class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(LogFormat format) : format_(format) {}

  void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
    const std::string time = Timestamp(line.time);
    const auto level = spdlog::level::to_string_view(line.level);
    const std::string_view name(level.data(), level.size());
    const std::string_view payload(line.payload.data(), line.payload.size());
    if (format_ == LogFormat::kJson) {
      fmt::format_to(std::back_inserter(out), "{{\"time\":\"{}\",\"level\":\"{}\",{}}}\n", time,
                     name, payload);
    } else {
      fmt::format_to(std::back_inserter(out), "{} {:<7} {}\n", time, name, payload);
    }
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

 private:
  const LogFormat format_;
};

std::string JsonValue(const Field& field) {
  return std::visit(
      [](const auto& value) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string_view>) {
          return Quoted(value);
        } else {
          return nlohmann::json(value).dump();
        }
      },
      field.value);
}

// As it is if that cannot be misread, else quoted: a value with a line break must not look like a
// line of its own.
std::string TextValue(const Field& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  if (text == nullptr) return JsonValue(field);
  const bool plain = !text->empty() && std::all_of(text->begin(), text->end(), [](unsigned char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(*text) : Quoted(*text);
}

}  // namespace

Logger::Logger(LogFormat format, spdlog::level::level_enum level, raft::NodeId node)
    : format_(format),
      node_(node),
      threads_(std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1)) {
  logger_ = std::make_shared<spdlog::async_logger>(
      "quorated", std::make_shared<spdlog::sinks::stderr_sink_mt>(), threads_,
      spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_formatter(std::make_unique<LineFormatter>(format));
  logger_->set_level(level);
}

Logger::Logger(LogFormat format, spdlog::level::level_enum level, raft::NodeId node,
               spdlog::sink_ptr sink)
    : format_(format), node_(node) {
  logger_ = std::make_shared<spdlog::logger>("quorated", std::move(sink));
  logger_->set_formatter(std::make_unique<LineFormatter>(format));
  logger_->set_level(level);
}

Logger::~Logger() {
  logger_.reset();
  threads_.reset();
}

void Logger::Debug(std::string_view message, Fields fields) const {
  Log(spdlog::level::debug, message, fields);
}
void Logger::Info(std::string_view message, Fields fields) const {
  Log(spdlog::level::info, message, fields);
}
void Logger::Warn(std::string_view message, Fields fields) const {
  Log(spdlog::level::warn, message, fields);
}
void Logger::Error(std::string_view message, Fields fields) const {
  Log(spdlog::level::err, message, fields);
}

void Logger::Flush() const {
  logger_->flush();
  if (threads_ == nullptr) return;
  // The queue belongs to another thread; what it holds now is written within a moment unless stderr
  // is blocked.
  const auto give_up = std::chrono::steady_clock::now() + kOneSecond;
  while (threads_->queue_size() > 0 && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Logger::Log(spdlog::level::level_enum level, std::string_view message, Fields fields) const {
  if (!logger_->should_log(level)) return;
  const raft::Term term = term_.load(std::memory_order_relaxed);
  std::string line;
  if (format_ == LogFormat::kJson) {
    line = fmt::format("\"node\":{},\"term\":{},\"message\":{}", node_, term, Quoted(message));
    for (const Field& field : fields) {
      line += "," + Quoted(field.key) + ":" + JsonValue(field);
    }
  } else {
    line = fmt::format("node={} term={} {}", node_, term, message);
    for (const Field& field : fields) line += fmt::format(" {}={}", field.key, TextValue(field));
  }
  logger_->log(level, spdlog::string_view_t(line.data(), line.size()));
}

bool LogLimit::Allow(raft::Time now, std::uint64_t& left_out) {
  if (now - window_start_ >= kOneSecond) {
    window_start_ = now;
    in_window_ = 0;
  }
  if (in_window_ >= burst_) {
    ++left_out_;
    return false;
  }
  ++in_window_;
  left_out = std::exchange(left_out_, 0);
  return true;
}

}  // namespace quorate::server
