#include "tools/record_reader.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/output.h"

namespace quorate::tools {
namespace {

constexpr std::string_view kPackage = "Package:";
constexpr std::size_t kMaxKeyBytes = 4 << 10;
constexpr std::size_t kMaxValueBytes = 1 << 20;

std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

std::optional<std::string> DecodeBase64(std::string_view in) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (!in.empty() && in.back() == '=') in.remove_suffix(1);
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : in) {
    const std::size_t value = kDigits.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return out;
}

std::optional<std::string> Member(const nlohmann::json& object, const std::string& name) {
  if (const auto plain = object.find(name); plain != object.end() && plain->is_string()) {
    return plain->get<std::string>();
  }
  const auto encoded = object.find(name + "_base64");
  if (encoded == object.end() || !encoded->is_string()) return std::nullopt;
  return DecodeBase64(encoded->get<std::string>());
}

}  // namespace

bool RecordReader::ReadLine(std::string& line) {
  line.clear();
  for (;;) {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_);
      bytes_read_ += end_;
      if (end_ == 0) break;
    }
    const char* from = buffer_.data() + begin_;
    const auto* newline = static_cast<const char*>(std::memchr(from, '\n', end_ - begin_));
    const std::size_t length =
        newline != nullptr ? static_cast<std::size_t>(newline - from) : end_ - begin_;
    // What exceeds the limit is read over, not kept: the record is too large anyway.
    line.append(from, std::min(length, kMaxLineBytes - std::min(line.size(), kMaxLineBytes)));
    begin_ += length;
    if (newline == nullptr) continue;
    ++begin_;
    ++line_number_;
    return true;
  }
  if (line.empty()) return false;
  ++line_number_;
  return true;
}

bool RecordReader::Skip(std::string_view why) {
  if (skipped_++ == 0) {
    first_problem_ = "line " + std::to_string(line_number_) + ": " + std::string(why);
  }
  return false;
}

bool RecordReader::NextStanza(Record& record) {
  record = {};
  bool any = false;
  bool fits = true;
  while (ReadLine(line_)) {
    if (Trim(line_).empty()) {
      if (any) break;
      continue;
    }
    any = true;
    if (record.key.empty() && line_.starts_with(kPackage)) {
      record.key = Trim(std::string_view(line_).substr(kPackage.size()));
    }
    fits = fits && record.value.size() + line_.size() < kMaxValueBytes;
    if (fits) record.value.append(line_).push_back('\n');
  }
  if (!any) return false;
  if (!fits) record.value.assign(kMaxValueBytes + 1, ' ');  // Next() names the limit
  return true;
}

bool RecordReader::ParseLine(std::string_view line, Record& record) {
  const std::size_t tab = line.find('\t');
  if (tab == std::string_view::npos) return Skip("no tab between key and value");
  record.key = Unescape(line.substr(0, tab));
  record.value = Unescape(line.substr(tab + 1));
  return true;
}

bool RecordReader::ParseJson(std::string_view line, Record& record) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return Skip("not a JSON object");
  auto key = Member(json, "key");
  auto value = Member(json, "value");
  if (!key || !value)
    return Skip("no strings under \"key\" and \"value\" (or key_base64, value_base64)");
  record.key = *std::move(key);
  record.value = *std::move(value);
  return true;
}

bool RecordReader::Next(Record& record) {
  for (;;) {
    if (format_ == ImportFormat::kDebian) {
      if (!NextStanza(record)) return false;
    } else {
      if (!ReadLine(line_)) return false;
      if (line_.empty()) continue;
      const bool parsed =
          format_ == ImportFormat::kLines ? ParseLine(line_, record) : ParseJson(line_, record);
      if (!parsed) continue;
    }
    if (record.key.empty()) {
      Skip(format_ == ImportFormat::kDebian ? "a stanza without a field Package"
                                            : "the key is empty");
    } else if (record.key.size() > kMaxKeyBytes) {
      Skip("a key of " + std::to_string(record.key.size()) + " bytes exceeds the limit of 4096");
    } else if (record.value.size() > kMaxValueBytes) {
      Skip("a value exceeds the limit of 1048576 bytes");
    } else {
      return true;
    }
  }
}

}  // namespace quorate::tools
