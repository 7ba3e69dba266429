// Frames: how messages lie on a TCP connection, between clients and nodes and between nodes (D8).
//
//   length u32 | version u8 | type u8 | flags u16 | request id u64 | header length u32 | header |
//   body
//
// All little-endian; `length` counts what follows it. The header is a protobuf message, the body
// raw bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace google::protobuf {
class MessageLite;
}

namespace quorate::wire {

inline constexpr std::uint8_t kProtocolVersion = 1;
inline constexpr std::size_t kFrameHeaderBytes = 20;  // up to and including the header length

// Limits that every node enforces; each refusal names the limit.
inline constexpr std::size_t kMaxKeyBytes = 4 << 10;
inline constexpr std::size_t kMaxValueBytes = 1 << 20;
inline constexpr std::size_t kMaxHeaderBytes = 64 << 10;
inline constexpr std::size_t kMaxClientFrameBytes = 2 << 20;  // `length` of a client's frame
inline constexpr std::size_t kMaxSnapshotReadBytes = 256 << 10;
inline constexpr std::size_t kMaxMultiGetKeys = 1'000;
inline constexpr std::size_t kMaxMultiGetBytes = 1 << 20;  // of keys and values in one answer
inline constexpr std::size_t kMaxTransactionParts = 128;   // comparisons and operations together
inline constexpr std::size_t kMaxTransactionBytes = 1 << 20;  // of the encoded command
inline constexpr std::uint32_t kMaxDeleteRangeKeys = 1'000;
inline constexpr std::uint64_t kMaxAgeUs = 86'400'000'000;  // of a bound; use an eventual read beyond
inline constexpr std::uint64_t kMinSessionTtlUs = 1'000'000;
inline constexpr std::uint64_t kMaxSessionTtlUs = 3'600'000'000;
inline constexpr std::size_t kMaxSessions = 10'000;            // open, over the cluster
inline constexpr std::size_t kMaxSessionPending = 1'024;       // unacknowledged seqs of one session
inline constexpr std::size_t kMaxPeerFrameBytes = 8 << 20;  // between nodes

// The values are on the wire: never renumber. A reply has its request's type and id.
enum class FrameType : std::uint8_t {
  kHello = 1,
  kWrite = 2,
  kGet = 3,
  kScan = 4,
  kStatus = 5,
  kSnapshot = 6,
  kSnapshotRead = 7,
  kMultiGet = 8,
  // Between nodes, on the peer port only.
  kPeerHello = 32,
  kRaft = 33,
  kPeerSnapshot = 34,
};

inline constexpr std::uint16_t kFlagReply = 1;

struct Frame {
  std::uint8_t version = kProtocolVersion;
  FrameType type = FrameType::kHello;
  std::uint16_t flags = 0;
  std::uint64_t request_id = 0;
  std::string_view header;  // into the caller's buffer
  std::string_view body;
  std::size_t total_bytes = 0;  // on the wire, length field included
};

enum class FrameStatus {
  kComplete,
  kIncomplete,  // more bytes are needed
  kTooLarge,    // the length is over the limit: close, do not buffer
  kMalformed,   // lengths contradict each other, or the version is unknown
};

// Looks at the front of `in`, which may hold less or more than one frame. Allocates nothing. A huge
// length, an unknown version and lengths that contradict each other are refused as soon as their
// bytes are seen, before anything is buffered for them. `max_length` limits the frame's `length`
// field (kMaxClientFrameBytes, kMaxPeerFrameBytes). `needed` is how many bytes of `in` the frame
// will take, the length field included, once known (0 before).
FrameStatus ParseFrame(std::string_view in, std::size_t max_length, Frame& out,
                       std::size_t& needed);

// Appends one frame to `out`. Nothing is checked here: the caller keeps header and body within the
// limits above.
void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 std::string_view header, std::string_view body);

// The same with the messages serialised straight into `out`.
void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 const google::protobuf::MessageLite& header, std::string_view body);
void AppendFrame(std::string& out, FrameType type, std::uint16_t flags, std::uint64_t request_id,
                 const google::protobuf::MessageLite& header,
                 const google::protobuf::MessageLite& body);

}  // namespace quorate::wire
