#include "client/codec.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "client/connection.h"

namespace quorate::internal {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kMaxRequestIdBytes = 64;

// ---- Messages ----

void FillHeader(wire::RequestHeader& header, const Call& call, std::uint32_t deadline_ms) {
  header.set_deadline_ms(deadline_ms);
  header.set_request_id(call.request_id.data(),
                        std::min(call.request_id.size(), kMaxRequestIdBytes));
}

// The object is used again and again: what this call does not ask for must go.
void FillFreshness(wire::Freshness& freshness, const Call& call) {
  const Level& level = call.level;
  if (level.max_age) {
    freshness.set_max_age_us(static_cast<std::uint64_t>(level.max_age->count()));
  } else {
    freshness.clear_max_age_us();
  }
  if (level.max_lag > 0) {
    freshness.set_max_lag(level.max_lag);
  } else {
    freshness.clear_max_lag();
  }
  if (level.token && *level.token) {
    wire::Token& token = *freshness.mutable_token();
    token.set_cluster_id(level.token->cluster_id);
    token.set_incarnation(level.token->incarnation);
    token.set_term(level.token->term);
    token.set_index(level.token->index);
  } else if (freshness.has_token()) {
    freshness.clear_token();
  }
  freshness.set_on_unmet(static_cast<wire::OnUnmet>(level.on_unmet));
  freshness.set_explain(call.explanation != nullptr);
}

void FillScan(wire::ScanRequest& request, const Call& call, std::uint32_t deadline_ms) {
  const ScanQuery& scan = *call.scan;
  FillHeader(*request.mutable_header(), call, deadline_ms);
  FillFreshness(*request.mutable_freshness(), call);
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

void Codec::AppendRequest(std::string& out, std::uint64_t request, const Call& call,
                          std::uint32_t deadline_ms) {
  switch (call.type) {
    case wire::FrameType::kGet:
      FillHeader(*get_.mutable_header(), call, deadline_ms);
      FillFreshness(*get_.mutable_freshness(), call);
      wire::AppendFrame(out, call.type, 0, request, get_, call.body);
      return;
    case wire::FrameType::kMultiGet: {
      wire::MultiGetRequest get;
      FillHeader(*get.mutable_header(), call, deadline_ms);
      FillFreshness(*get.mutable_freshness(), call);
      for (const std::string& key : call.keys) get.add_keys(key);
      wire::AppendFrame(out, call.type, 0, request, get, std::string_view());
      return;
    }
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
                  .incarnation = from.incarnation(),
                  .age = std::nullopt,
                  .lag = from.lag(),
                  .basis = static_cast<Basis>(from.basis()),
                  .fresh_index = from.fresh_index(),
                  .waited = microseconds(from.waited_us()),
                  .via_leader = from.via_leader()};
  if (from.has_age_us()) out.age = microseconds(from.age_us());
  return out;
}

// ---- Writes ----

namespace {

template <typename Message>
bool ParseBody(const wire::Frame& frame, Message& out) {
  return out.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()));
}

bool TakeResult(const Call& call, wire::WriteResult& result, WriteReply& out) {
  if (call.operation == Operation::kIncrement) {
    const std::string& sum = result.value();
    const auto [end, error] = std::from_chars(sum.data(), sum.data() + sum.size(), out.number);
    return error == std::errc() && end == sum.data() + sum.size();
  }
  if (call.return_previous && result.value_mod_index() != 0) {
    out.previous = std::move(*result.mutable_value());
    out.previous_revision = result.value_mod_index();
  }
  return true;
}

std::vector<Item> TakeItems(wire::ScanPage& page) {
  std::vector<Item> items;
  items.reserve(static_cast<std::size_t>(page.items_size()));
  for (wire::ScanPage::Item& item : *page.mutable_items()) {
    items.push_back({.key = std::move(*item.mutable_key()),
                     .value = std::move(*item.mutable_value()),
                     .revision = item.mod_index()});
  }
  return items;
}

}  // namespace

bool Codec::Take(const Call& call, const wire::Frame& frame, WriteReply& out) const {
  out.revision = reply_.mod_index();
  out.found = reply_.found();
  out.repeated = reply_.repeated();
  out.certificate = TakeCertificate();
  const bool wants_result = call.return_previous || call.operation == Operation::kIncrement;
  if (!wants_result) return true;
  wire::WriteResult result;
  return ParseBody(frame, result) && TakeResult(call, result, out);
}

bool Codec::Take(const Call& call, const wire::Frame& frame, TransactionReply& out) const {
  wire::WriteResult result;
  if (!Take(call, frame, out.write) || !ParseBody(frame, result)) return false;
  out.succeeded = result.succeeded();
  out.results.reserve(static_cast<std::size_t>(result.results_size()));
  for (wire::OperationResult& one : *result.mutable_results()) {
    out.results.push_back({.found = one.found(),
                           .value = std::move(*one.mutable_value()),
                           .revision = one.mod_index()});
  }
  return true;
}

bool Codec::Take(const Call& call, const wire::Frame& frame, DeleteRangeReply& out) const {
  wire::WriteResult result;
  if (!Take(call, frame, out.write) || !ParseBody(frame, result)) return false;
  out.deleted = result.deleted();
  out.resume = std::move(*result.mutable_resume());
  return true;
}

// ---- Reads ----

bool Codec::Take(const Call& /*call*/, const wire::Frame& frame, GetReply& out) const {
  out.found = reply_.found();
  out.revision = reply_.mod_index();
  if (out.found) out.value = frame.body;
  out.certificate = TakeCertificate();
  return true;
}

bool Codec::Take(const Call& /*call*/, const wire::Frame& frame, MultiGetReply& out) const {
  wire::ScanPage page;
  if (!ParseBody(frame, page)) return false;
  out.items = TakeItems(page);
  out.certificate = TakeCertificate();
  return true;
}

bool Codec::Take(const Call& call, const wire::Frame& frame, ScanPage& out) const {
  wire::ScanPage page;
  if (!ParseBody(frame, page)) return false;
  out.items = TakeItems(page);
  out.count = page.count();
  if (page.cursor() != 0) {
    out.next = {.id = page.cursor(), .connection = call.connection->serial()};
  }
  out.certificate = TakeCertificate();
  return true;
}

NodeView ToView(const wire::Explanation& from) {
  NodeView out{.node = from.node_id(),
               .role = from.role(),
               .leader = from.leader(),
               .decision = static_cast<Decision>(from.decision()),
               .reason = from.reason(),
               .applied = from.applied(),
               .commit = from.commit(),
               .local_age = std::nullopt,
               .anchor_age = std::nullopt,
               .anchor_index = from.anchor_index(),
               .waited_for_apply = microseconds(from.waited_apply_us()),
               .waited_for_confirmation = microseconds(from.waited_confirm_us()),
               .typical_confirmation = microseconds(from.typical_confirm_us()),
               .caught_up = from.caught_up()};
  if (from.has_local_age_us()) out.local_age = microseconds(from.local_age_us());
  if (from.has_anchor_age_us()) out.anchor_age = microseconds(from.anchor_age_us());
  return out;
}

// ---- Nodes and snapshots ----

bool Codec::Take(const Call& /*call*/, const wire::Frame& frame, std::string& out) const {
  out = frame.body;
  return true;
}

bool Codec::Take(const Call& /*call*/, const wire::Frame& frame, NodeStatus& out) const {
  wire::NodeStatus from;
  if (!ParseBody(frame, from)) return false;
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
         .log_cuts = from.log_cuts(),
         .local_bound = std::nullopt,
         .typical_confirmation = microseconds(from.typical_confirm_us()),
         .sessions = from.sessions(),
         .cluster_clock = microseconds(from.cluster_clock_us())};
  if (from.has_local_bound_us()) out.local_bound = microseconds(from.local_bound_us());
  if (from.has_snapshot()) out.snapshot = ToFetch(from.snapshot());
  if (from.has_age_us()) out.age = microseconds(from.age_us());
  for (const wire::PeerStatus& peer : from.peers()) out.peers.push_back(ToPeer(peer));
  return true;
}

bool Codec::Take(const Call& /*call*/, const wire::Frame& frame, SnapshotTaken& out) const {
  wire::SnapshotTaken from;
  if (!ParseBody(frame, from)) return false;
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
  if (from.because() != wire::OK) error.because = static_cast<ErrorCode>(from.because());
  return error;
}

}  // namespace quorate::internal
