// Snapshots for operators: taking one now, and handing it out in pieces (`quorate backup`).
#include <utility>

#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {

static_assert(wire::kMaxSnapshotReadBytes == kSnapshotChunkBytes);

void Service::Snapshot(ClientSession& session, const wire::Frame& frame, Request request) {
  if (!header_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (!TakeUp(session, header_, request)) return;
  if (in_.replica.snapshots().taking()) {
    return Refuse(request, wire::OVERLOADED,
                  "this node is taking another snapshot just now; ask again when it is done");
  }
  Ticket ticket = 0;
  Wait(session, std::move(request), ticket);
  in_.replica.TakeSnapshot([this, ticket](const storage::Result<storage::Manifest>& taken) {
    OnSnapshotTaken(ticket, taken);
  });
}

void Service::OnSnapshotTaken(Ticket ticket, const storage::Result<storage::Manifest>& taken) {
  const Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;  // its deadline has passed
  const Request& request = pending->request;
  if (!taken) {
    const DiskUse& use = in_.replica.disk_use();
    const bool no_room = taken.error().code == storage::ErrorCode::kNoSpace;
    Refuse(request, no_room ? wire::DISK_FULL : wire::INTERNAL,
           no_room ? fmt::format("node {} has no room for a snapshot ({} bytes are free): {}; make "
                                 "room there, or ask another node",
                                 identity_.node_id, use.free_bytes, taken.error().message)
                   : "no snapshot could be taken: " + taken.error().message,
           use.free_bytes);
    return Release(ticket);
  }
  wire::SnapshotTaken reply;
  reply.set_id(taken->id);
  reply.set_node_id(identity_.node_id);
  reply.set_index(taken->mark.position.index);
  reply.set_term(taken->mark.position.term);
  reply.set_bytes(taken->bytes());
  reply.set_files(taken->files.size());
  reply.set_manifest_bytes(taken->Encode().size());
  reply.set_took_us(static_cast<std::uint64_t>((BootTime() - request.received).count()));
  reply.set_log_first_index(in_.replica.core().log().start().index + 1);
  reply_.Clear();
  AnswerMessage(request, reply);
  Release(ticket);
}

void Service::ReadSnapshot(ClientSession& session, const wire::Frame& frame, Request request) {
  wire::SnapshotRead read;
  if (!read.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (read.bytes() == 0 || read.bytes() > wire::kMaxSnapshotReadBytes) {
    return Refuse(request, wire::TOO_LARGE,
                  fmt::format("a piece of a snapshot has 1 to {} bytes; {} were asked for",
                              wire::kMaxSnapshotReadBytes, read.bytes()),
                  read.bytes(), wire::kMaxSnapshotReadBytes);
  }
  if (!TakeUp(session, read.header(), request)) return;
  Ticket ticket = 0;
  Wait(session, std::move(request), ticket);
  in_.replica.snapshots().Read(
      {.snapshot = read.snapshot(),
       .file = read.has_file() ? read.file() : kManifestFile,
       .offset = read.offset(),
       .bytes = read.bytes()},
      [this, ticket](const SnapshotReply& piece) { OnSnapshotRead(ticket, piece); });
}

void Service::OnSnapshotRead(Ticket ticket, const SnapshotReply& piece) {
  const Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;  // its deadline has passed
  const Request& request = pending->request;
  if (piece.gone) {
    Refuse(
        request, wire::SNAPSHOT_GONE,
        fmt::format("node {} does not keep the snapshot {:016x} any more, or has no such file of "
                    "it; take another",
                    identity_.node_id, piece.snapshot));
  } else if (!OutputFull(request)) {
    reply_.Clear();
    Answer(request, piece.data.view());
  }
  Release(ticket);
}

}  // namespace quorate::server
