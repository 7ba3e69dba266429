// Between calls and wire messages. Commands are in commands.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/call.h"
#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "quorate/client.h"

namespace quorate::internal {

// Reuses its message objects from one call to the next; belongs to one loop.
class Codec {
 public:
  // `deadline_ms` is what the node gets, from receipt.
  void AppendRequest(std::string& out, std::uint64_t request, const Call& call,
                     std::uint32_t deadline_ms);

  // False: the frame's header is not a ReplyHeader. header() is valid until the next parse.
  bool ParseReply(const wire::Frame& frame);
  const wire::ReplyHeader& header() const { return reply_; }

  // Of the reply just parsed, what is in it; tokens, ages and rungs are the caller's. False: the
  // body is not what it should be.
  bool Take(const Call& call, const wire::Frame& frame, WriteReply& out) const;
  bool Take(const Call& call, const wire::Frame& frame, TransactionReply& out) const;
  bool Take(const Call& call, const wire::Frame& frame, DeleteRangeReply& out) const;
  bool Take(const Call& call, const wire::Frame& frame, GetReply& out) const;
  bool Take(const Call& call, const wire::Frame& frame, MultiGetReply& out) const;
  bool Take(const Call& call, const wire::Frame& frame, ScanPage& out) const;
  bool Take(const Call& call, const wire::Frame& frame, NodeStatus& out) const;
  bool Take(const Call& call, const wire::Frame& frame, SnapshotTaken& out) const;
  bool Take(const Call& call, const wire::Frame& frame, std::string& out) const;

 private:
  Certificate TakeCertificate() const;

  wire::RequestHeader request_;
  wire::GetRequest get_;
  wire::ReplyHeader reply_;
};

NodeView ToView(const wire::Explanation& from);

// The class of a refused attempt follows from its code and from whether it could have changed
// anything.
Error ToError(const wire::Error& error, bool is_write);

}  // namespace quorate::internal
