#include "client/codec.h"

#include <algorithm>
#include <array>
#include <optional>

namespace quorate::internal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kMaxRequestIdBytes = 64;

// ---- Protobuf's encoding of the few fields that commands have ----

constexpr unsigned kVarint = 0;
constexpr unsigned kBytes = 2;

std::size_t VarintBytes(std::uint64_t value) {
  std::size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

void AppendVarint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// All field numbers here are below 16: a tag is one byte.
void AppendTag(std::string& out, unsigned field, unsigned type) {
  out.push_back(static_cast<char>((field << 3) | type));
}

std::size_t BytesFieldBytes(std::string_view bytes) {
  return 1 + VarintBytes(bytes.size()) + bytes.size();
}

void AppendBytesField(std::string& out, unsigned field, std::string_view bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

// The start of a Command whose operation is `field` and takes `bytes`.
std::string StartCommand(unsigned field, std::size_t bytes) {
  std::string out;
  out.reserve(1 + VarintBytes(bytes) + bytes);
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes);
  return out;
}

// ---- Messages ----

void FillHeader(wire::RequestHeader& header, const Call& call, std::uint32_t deadline_ms) {
  header.set_deadline_ms(deadline_ms);
  header.set_request_id(call.request_id.data(),
                        std::min(call.request_id.size(), kMaxRequestIdBytes));
}

void FillFreshness(wire::Freshness& freshness, const Level& level) {
  if (level.max_age) {
    freshness.set_max_age_us(static_cast<std::uint64_t>(level.max_age->count()));
  } else {
    freshness.clear_max_age_us();
  }
}

void FillScan(wire::ScanRequest& request, const Call& call, std::uint32_t deadline_ms) {
  const ScanQuery& scan = *call.scan;
  FillHeader(*request.mutable_header(), call, deadline_ms);
  FillFreshness(*request.mutable_freshness(), call.level);
  request.set_max_items(scan.page_items);
  request.set_count_only(scan.count_only);
  if (scan.cursor) {
    request.set_cursor(scan.cursor.id);
  } else {
    request.set_first(scan.range.first);
    request.set_last(scan.range.last);
  }
}

void FillSnapshotRead(wire::SnapshotRead& request, const Call& call, std::uint32_t deadline_ms) {
  FillHeader(*request.mutable_header(), call, deadline_ms);
  request.set_snapshot(call.piece.snapshot);
  if (call.piece.file) request.set_file(*call.piece.file);
  request.set_offset(call.piece.offset);
  request.set_bytes(call.piece.bytes);
}

DiskStatus ToDisk(const wire::NodeStatus& from) {
  return {.log_first_index = from.log_first_index(),
          .log_bytes = from.log_bytes(),
          .log_segments = from.log_segments(),
          .log_unflushed_bytes = from.log_unflushed_bytes(),
          .database_bytes = from.database_bytes(),
          .flushed_index = from.flushed_index(),
          .free_bytes = from.disk_free_bytes(),
          .snapshot_kept_bytes = from.snapshot_kept_bytes(),
          .full = from.disk_full(),
          .full_reason = from.disk_full_reason(),
          .stuck = from.disk_stuck()};
}

SnapshotFetch ToFetch(const wire::SnapshotFetch& from) {
  SnapshotFetch out{.from = from.from(),
                    .index = from.index(),
                    .received_bytes = from.received_bytes(),
                    .total_bytes = from.total_bytes(),
                    .bytes_per_second = from.bytes_per_second(),
                    .left = std::nullopt,
                    .verifying = from.verifying()};
  if (from.has_seconds_left()) out.left = std::chrono::seconds(from.seconds_left());
  return out;
}

PeerStatus ToPeer(const wire::PeerStatus& peer) {
  return {.id = peer.id(),
          .address = peer.address(),
          .connected = peer.connected(),
          .met = peer.met(),
          .match = peer.match(),
          .lag = peer.lag(),
          .in_flight_bytes = peer.in_flight_bytes(),
          .state = peer.state()};
}

}  // namespace

std::string EncodePut(std::string_view key, std::string_view value) {
  std::string out =
      StartCommand(wire::Command::kPutFieldNumber, BytesFieldBytes(key) + BytesFieldBytes(value));
  AppendBytesField(out, wire::Put::kKeyFieldNumber, key);
  AppendBytesField(out, wire::Put::kValueFieldNumber, value);
  return out;
}

std::string EncodeDelete(std::string_view key) {
  std::string out = StartCommand(wire::Command::kDeleteFieldNumber, BytesFieldBytes(key));
  AppendBytesField(out, wire::Delete::kKeyFieldNumber, key);
  return out;
}

std::string EncodeCompareAndSet(std::string_view key, const Expectation& expect,
                                std::string_view value) {
  using wire::CompareAndSet;
  const auto* with_value = std::get_if<WithValue>(&expect);
  const auto* at_revision = std::get_if<AtRevision>(&expect);
  const std::uint64_t revision = at_revision != nullptr ? at_revision->revision : 0;
  const std::size_t expect_bytes =
      with_value != nullptr ? BytesFieldBytes(with_value->value) : 1 + VarintBytes(revision);
  std::string out = StartCommand(wire::Command::kCompareAndSetFieldNumber,
                                 BytesFieldBytes(key) + BytesFieldBytes(value) + expect_bytes);
  AppendBytesField(out, CompareAndSet::kKeyFieldNumber, key);
  AppendBytesField(out, CompareAndSet::kValueFieldNumber, value);
  if (with_value != nullptr) {
    AppendBytesField(out, CompareAndSet::kExpectedValueFieldNumber, with_value->value);
  } else {
    AppendTag(out, CompareAndSet::kModIndexFieldNumber, kVarint);
    AppendVarint(out, revision);
  }
  return out;
}

void Codec::AppendRequest(std::string& out, std::uint64_t request, const Call& call,
                          std::uint32_t deadline_ms) {
  switch (call.type) {
    case wire::FrameType::kGet:
      FillHeader(*get_.mutable_header(), call, deadline_ms);
      FillFreshness(*get_.mutable_freshness(), call.level);
      wire::AppendFrame(out, call.type, 0, request, get_, call.body);
      return;
    case wire::FrameType::kScan: {
      wire::ScanRequest scan;
      FillScan(scan, call, deadline_ms);
      wire::AppendFrame(out, call.type, 0, request, scan, std::string_view());
      return;
    }
    case wire::FrameType::kSnapshotRead: {
      wire::SnapshotRead read;
      FillSnapshotRead(read, call, deadline_ms);
      wire::AppendFrame(out, call.type, 0, request, read, std::string_view());
      return;
    }
    default:
      FillHeader(request_, call, deadline_ms);
      wire::AppendFrame(out, call.type, 0, request, request_, call.body);
  }
}

bool Codec::ParseReply(const wire::Frame& frame) {
  return reply_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()));
}

Certificate Codec::TakeCertificate() const {
  const wire::Certificate& from = reply_.certificate();
  Certificate out{.node = from.node_id(),
                  .term = from.node_term(),
                  .applied_index = from.applied_index(),
                  .entry_term = from.entry_term(),
                  .age = std::nullopt,
                  .basis = static_cast<Basis>(from.basis()),
                  .fresh_index = from.fresh_index(),
                  .waited = microseconds(from.waited_us()),
                  .via_leader = from.via_leader()};
  if (from.has_age_us()) out.age = microseconds(from.age_us());
  return out;
}

void Codec::Take(WriteReply& out) const {
  out.revision = reply_.mod_index();
  out.found = reply_.found();
  out.certificate = TakeCertificate();
}

void Codec::Take(const wire::Frame& frame, GetReply& out) const {
  out.found = reply_.found();
  out.revision = reply_.mod_index();
  if (out.found) out.value = frame.body;
  out.certificate = TakeCertificate();
}

bool Codec::Take(const wire::Frame& frame, std::uint64_t connection, ScanPage& out) {
  wire::ScanPage page;
  if (!page.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) return false;
  out.items.reserve(static_cast<std::size_t>(page.items_size()));
  for (wire::ScanPage::Item& item : *page.mutable_items()) {
    out.items.push_back({.key = std::move(*item.mutable_key()),
                         .value = std::move(*item.mutable_value()),
                         .revision = item.mod_index()});
  }
  out.count = page.count();
  if (page.cursor() != 0) out.next = {.id = page.cursor(), .connection = connection};
  out.certificate = TakeCertificate();
  return true;
}

bool Codec::Take(const wire::Frame& frame, NodeStatus& out) {
  wire::NodeStatus from;
  if (!from.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) return false;
  out = {.id = from.id(),
         .role = from.role(),
         .term = from.term(),
         .leader = from.leader(),
         .commit = from.commit(),
         .applied = from.applied(),
         .last_index = from.last_index(),
         .durable_index = from.durable_index(),
         .age = std::nullopt,
         .cluster_id = from.cluster_id(),
         .incarnation = from.incarnation(),
         .connections = from.connections(),
         .bytes_queued = from.bytes_queued(),
         .uptime = milliseconds(from.uptime_ms()),
         .version = from.version(),
         .ready = from.ready(),
         .not_ready_reason = from.not_ready_reason(),
         .peers = {},
         .disk = ToDisk(from),
         .snapshot = std::nullopt,
         .snapshots_taken = from.snapshots_taken(),
         .snapshots_installed = from.snapshots_installed(),
         .log_cuts = from.log_cuts()};
  if (from.has_snapshot()) out.snapshot = ToFetch(from.snapshot());
  if (from.has_age_us()) out.age = microseconds(from.age_us());
  for (const wire::PeerStatus& peer : from.peers()) out.peers.push_back(ToPeer(peer));
  return true;
}

bool Codec::Take(const wire::Frame& frame, SnapshotTaken& out) {
  wire::SnapshotTaken from;
  if (!from.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) return false;
  out = {.id = from.id(),
         .node = from.node_id(),
         .index = from.index(),
         .term = from.term(),
         .bytes = from.bytes(),
         .files = from.files(),
         .manifest_bytes = from.manifest_bytes(),
         .took = microseconds(from.took_us()),
         .log_first_index = from.log_first_index()};
  return true;
}

namespace {

ErrorClass ClassOf(ErrorCode code, bool is_write) {
  if (code < ErrorCode::kDeadline) return ErrorClass::kNotExecuted;
  if (code < ErrorCode::kCompareFailed) {
    return is_write ? ErrorClass::kUnknown : ErrorClass::kNotExecuted;
  }
  // A node that fails inside may do so before or after it logged a write.
  if (code == ErrorCode::kInternal && is_write) return ErrorClass::kUnknown;
  return ErrorClass::kFinal;
}

}  // namespace

Error ToError(const wire::Error& from, bool is_write) {
  Error error;
  // A code that only this library may give, or none at all, says nothing.
  const bool sensible =
      from.code() > 0 && from.code() < static_cast<int>(ErrorCode::kCannotConnect);
  error.code = sensible ? static_cast<ErrorCode>(from.code()) : ErrorCode::kInternal;
  error.error_class = ClassOf(error.code, is_write);
  error.detail = from.message();
  error.leader = {.node = from.leader().node_id(), .address = from.leader().client_address()};
  error.have = from.have();
  error.want = from.want();
  if (from.age_us() != 0) error.age = microseconds(from.age_us());
  return error;
}

}  // namespace quorate::internal
