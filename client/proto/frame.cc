#include "client/proto/frame.h"

#include <google/protobuf/message_lite.h>

#include <array>
#include <bit>
#include <cstring>

namespace quorate::wire {
namespace {

// Offsets from the start of the frame.
constexpr std::size_t kLengthAt = 0;
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kTypeAt = 5;
constexpr std::size_t kFlagsAt = 6;
constexpr std::size_t kRequestIdAt = 8;
constexpr std::size_t kHeaderLengthAt = 16;
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kMinLength = kFrameHeaderBytes - kLengthBytes;

static_assert(std::endian::native == std::endian::little,
              "frames are little-endian and are copied as they lie in memory");

template <typename Integer>
Integer Load(std::string_view in, std::size_t at) {
  Integer value;
  std::memcpy(&value, in.data() + at, sizeof(value));
  return value;
}

template <typename Integer>
void Store(char* out, std::size_t at, Integer value) {
  std::memcpy(out + at, &value, sizeof(value));
}

void AppendPrefix(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                  std::size_t header_bytes, std::size_t body_bytes) {
  std::array<char, kFrameHeaderBytes> prefix;
  const std::size_t length = kMinLength + header_bytes + body_bytes;
  Store(prefix.data(), kLengthAt, static_cast<std::uint32_t>(length));
  Store(prefix.data(), kVersionAt, kProtocolVersion);
  Store(prefix.data(), kTypeAt, static_cast<std::uint8_t>(type));
  Store(prefix.data(), kFlagsAt, flags);
  Store(prefix.data(), kRequestIdAt, request_id);
  Store(prefix.data(), kHeaderLengthAt, static_cast<std::uint32_t>(header_bytes));
  out.append(prefix.data(), prefix.size());
}

// `bytes` must be what message.ByteSizeLong() has just returned: it also caches the sizes of
// submessages.
void AppendMessage(std::string& out, const google::protobuf::MessageLite& message,
                   std::size_t bytes) {
  const std::size_t at = out.size();
  out.resize(at + bytes);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data() + at));
}

}  // namespace

FrameStatus ParseFrame(std::string_view in, std::size_t max_length, Frame& out,
                       std::size_t& needed) {
  needed = 0;
  if (in.size() < kLengthBytes) return FrameStatus::kIncomplete;
  const std::size_t length = Load<std::uint32_t>(in, kLengthAt);
  if (length > max_length) return FrameStatus::kTooLarge;
  if (length < kMinLength) return FrameStatus::kMalformed;
  needed = kLengthBytes + length;
  if (in.size() <= kVersionAt) return FrameStatus::kIncomplete;
  if (Load<std::uint8_t>(in, kVersionAt) != kProtocolVersion) return FrameStatus::kMalformed;
  if (in.size() < kFrameHeaderBytes) return FrameStatus::kIncomplete;
  const std::size_t header_bytes = Load<std::uint32_t>(in, kHeaderLengthAt);
  if (header_bytes > kMaxHeaderBytes || header_bytes > length - kMinLength) {
    return FrameStatus::kMalformed;
  }
  if (in.size() < needed) return FrameStatus::kIncomplete;

  out.version = kProtocolVersion;
  out.type = static_cast<FrameType>(Load<std::uint8_t>(in, kTypeAt));
  out.flags = Load<std::uint16_t>(in, kFlagsAt);
  out.request_id = Load<std::uint64_t>(in, kRequestIdAt);
  out.header = in.substr(kFrameHeaderBytes, header_bytes);
  out.body = in.substr(kFrameHeaderBytes + header_bytes, length - kMinLength - header_bytes);
  out.total_bytes = needed;
  return FrameStatus::kComplete;
}

void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 std::string_view header, std::string_view body) {
  AppendPrefix(out, type, flags, request_id, header.size(), body.size());
  out.append(header);
  out.append(body);
}

void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 const google::protobuf::MessageLite& header, std::string_view body) {
  const std::size_t header_bytes = header.ByteSizeLong();
  AppendPrefix(out, type, flags, request_id, header_bytes, body.size());
  AppendMessage(out, header, header_bytes);
  out.append(body);
}

void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 const google::protobuf::MessageLite& header,
                 const google::protobuf::MessageLite& body) {
  const std::size_t header_bytes = header.ByteSizeLong();
  const std::size_t body_bytes = body.ByteSizeLong();
  AppendPrefix(out, type, flags, request_id, header_bytes, body_bytes);
  AppendMessage(out, header, header_bytes);
  AppendMessage(out, body, body_bytes);
}

}  // namespace quorate::wire
