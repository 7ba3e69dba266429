// Between calls and wire messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/call.h"
#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "quorate/client.h"

namespace quorate::internal {

// ---- Commands, encoded as wire.proto's Command by hand: no message objects on the way of a write
// ----

std::string EncodePut(std::string_view key, std::string_view value);
std::string EncodeDelete(std::string_view key);
std::string EncodeCompareAndSet(std::string_view key, const Expectation& expect,
                                std::string_view value);

// ---- Requests and replies ----

// Reuses its message objects from one call to the next; belongs to one loop.
class Codec {
 public:
  // `deadline_ms` is what the node gets, from receipt.
  void AppendRequest(std::string& out, std::uint64_t request, const Call& call,
                     std::uint32_t deadline_ms);

  // False: the frame's header is not a ReplyHeader. header() is valid until the next parse.
  bool ParseReply(const wire::Frame& frame);
  const wire::ReplyHeader& header() const { return reply_; }

  // Of the reply just parsed. False: the body is not what it should be.
  void Take(WriteReply& out) const;
  void Take(const wire::Frame& frame, GetReply& out) const;
  bool Take(const wire::Frame& frame, std::uint64_t connection, ScanPage& out);
  bool Take(const wire::Frame& frame, NodeStatus& out);
  bool Take(const wire::Frame& frame, SnapshotTaken& out);
  void Take(const wire::Frame& frame, std::string& out) const { out = frame.body; }

 private:
  Certificate TakeCertificate() const;

  wire::RequestHeader request_;
  wire::GetRequest get_;
  wire::ReplyHeader reply_;
};

// The class of a refused call follows from its code and from whether it could have changed
// anything.
Error ToError(const wire::Error& error, bool is_write);

}  // namespace quorate::internal
