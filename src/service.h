// The request service: what clients ask of this node over the wire contract
// (client/proto/wire.proto).
//
//   service.cc           connections, greetings, limits, deadlines, replies
//   service_write.cc     writes, and sessions; command_check.h has their limits
//   service_read.cc      get
//   service_multi_get.cc several keys at one index
//   service_freshness.cc what a read asks for; certificates, explanations and refusals
//   service_scan.cc      scans and their cursors
//   service_snapshot.cc  taking a snapshot, and reading it
//
// Every request that is taken up is answered exactly once: by its result, by a refusal, or at its
// deadline.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "src/connection.h"
#include "src/listener.h"
#include "src/logger.h"
#include "src/loop.h"
#include "src/metrics.h"
#include "src/replica.h"
#include "src/slots.h"

namespace quorate::server {

struct ServiceLimits {
  std::size_t max_connections = 10'000;
  std::size_t max_in_flight_bytes = 16
                                    << 20;  // requests of one connection that are not answered yet
  // Of all connections together: incomplete frames, unanswered requests, unread answers.
  std::size_t max_client_bytes = 256 << 20;
  std::size_t max_in_flight_requests = 65'536;  // of one connection
  // Answers that a client does not read: over the first, nothing more is read from it; over the
  // second, reads are refused.
  std::size_t pause_output_bytes = 4 << 20;
  std::size_t max_output_bytes = 16 << 20;
  raft::Duration hello_timeout{5'000'000};  // from connecting to the first frame
  raft::Duration stalled_timeout{
      20'000'000};  // a paused client that reads nothing for so long is closed
  raft::Duration half_frame_timeout{30'000'000};  // so long after its last byte
  raft::Duration default_deadline{5'000'000};
  raft::Duration max_deadline{60'000'000};
  raft::Duration max_snapshot_deadline{3'600'000'000};  // taking one reads the whole database
  raft::Duration slow_request{500'000};                 // logged
  std::size_t max_cursors = 16;                         // of one connection
  raft::Duration cursor_idle{30'000'000};
};

// Who this node is, for clients.
struct ServiceIdentity {
  std::uint64_t cluster_id = 0;
  raft::NodeId node_id = raft::kNoNode;
};

// Where each member serves clients, as far as known. The server's; the transport learns them.
using ClientAddresses = std::map<raft::NodeId, std::string>;

class ClientSession;

// For the loop's thread.
class Service {
 public:
  struct Surroundings {
    Loop& loop;
    Logger& log;
    Metrics& metrics;
    Replica& replica;
    const ClientAddresses& addresses;
    std::function<wire::NodeStatus()> status;
  };

  Service(Surroundings surroundings, ServiceIdentity identity, ServiceLimits limits);
  ~Service();

  storage::Status Start(std::unique_ptr<Listener> listener);

  // From the replica, by way of the server.
  void OnWrite(std::uint64_t ticket, const WriteResult& result);
  void OnRead(const Read& read);

  // When the next request's deadline passes; OnDeadline answers those whose time is up.
  raft::Time NextDeadline() const { return next_sweep_; }
  void OnDeadline(raft::Time now);
  // Once a second: silent, stalled and idle things.
  void Sweep(raft::Time now);

  // Takes no new connections or requests. What is in flight goes on.
  void StopAccepting();
  // Answers what is still open, and closes all connections once the answers are written.
  void Finish();

  std::size_t in_flight() const { return pending_.size(); }
  std::size_t connections() const { return sessions_.size(); }
  std::size_t queued_bytes() const;
  const MemoryBudget& memory() const { return *memory_; }

 private:
  friend class ClientSession;

  // What every answer needs to know about its request.
  struct Request {
    std::uint64_t session = 0;  // ticket in sessions_
    std::uint64_t id = 0;       // of the frame
    wire::FrameType type = wire::FrameType::kGet;
    Operation operation = Operation::kGet;
    Level level = Level::kNone;
    raft::Time received{0};
    raft::Time deadline{0};
    std::size_t bytes = 0;
    bool explain = false;
    std::string name;       // the client's own request id, for logs
    std::uint64_t seq = 0;  // of a session's write
    bool repeated = false;  // so was its outcome, of an earlier attempt
  };
  // One page of a scan on its way.
  struct ScanWork {
    std::shared_ptr<storage::StateView> view;  // null: made when the read is granted
    std::string first;
    std::string last;
    std::size_t max_items = 0;
    bool count_only = false;
    std::uint64_t cursor = 0;  // continues this one; 0: the first page
  };
  // A request that waits for the replica or for a disk.
  struct Pending {
    Request request;
    std::string key;
    Read read;
    bool in_read_path = false;  // which keeps its deadline meanwhile
    std::unique_ptr<ScanWork> scan;
    std::shared_ptr<const wire::MultiGetRequest> keys;
    // Of its job on the read lane, once it has one: set when nobody waits for that any more.
    std::shared_ptr<std::atomic<bool>> abandoned;
  };
  using Ticket = std::uint64_t;

  // service.cc
  void Accept(boost::asio::ip::tcp::socket socket);
  void RefuseConnection(boost::asio::ip::tcp::socket socket);
  void Hello(ClientSession& session, const wire::Frame& frame);
  void FillHello(wire::HelloReply& reply) const;
  void Dispatch(ClientSession& session, const wire::Frame& frame, raft::Time now);
  void BadFrame(ClientSession& session, wire::FrameStatus status, std::size_t length);
  void OverBudget(ClientSession& session);
  void CloseWith(ClientSession& session, const wire::Error& error);
  const char* WhyHopeless(const ClientSession& session, raft::Time now) const;
  void RemoveSession(std::uint64_t ticket);
  bool TakeUp(ClientSession& session, const wire::RequestHeader& header, Request& request);
  Pending& Wait(ClientSession& session, Request request, Ticket& ticket);
  void Status(ClientSession& session, const wire::Frame& frame, Request request);
  wire::Hint LeaderHint() const;
  // Answers. `reply_` is filled by the caller.
  void Answer(const Request& request, std::string_view body);
  void AnswerMessage(const Request& request, const google::protobuf::MessageLite& body);
  void Finished(const Request& request);
  void Refuse(const Request& request, wire::Code code, std::string message, std::uint64_t have = 0,
              std::uint64_t want = 0);
  void RefuseForMemory(const Request& request);
  void RefuseLate(Pending& pending);
  void RefuseNoLeader(const Request& request, std::string what);
  void Release(Ticket ticket);
  void LogRequest(const Request& request, raft::Duration took, const wire::Error* error);

  // service_write.cc
  void Write(ClientSession& session, const wire::Frame& frame, Request request);
  bool TooManySessions(const Request& request);
  void RefuseSessions(const Request& request, std::uint64_t open);
  void AnswerApplied(const Request& request, const storage::Applied& applied);
  bool LeavesAnswersUnread(const Request& request, const storage::Applied& applied);
  void RefuseApplied(const Request& request, const storage::Applied& applied);
  void RefuseDiskFull(const Request& request);

  // service_freshness.cc
  bool Need(Request& request, const wire::Freshness& freshness, ReadNeed& need);
  void Certify(const Request& request, const Read& read, raft::Time read_at, raft::Position at);
  void Explain(const Read& read);
  void RefuseRead(const Request& request, const Read& read);

  // service_read.cc
  bool ValidKey(const Request& request, std::string_view key);
  void Get(ClientSession& session, const wire::Frame& frame, Request request);
  Pending& WaitRead(ClientSession& session, Request request, const Read& read, Ticket& ticket);
  void Ask(Pending& pending);
  bool ReadFromMemory(const Request& request, std::string_view key, const Read& read);
  void ReadFromDisk(Ticket ticket);
  bool StillMet(Pending& pending, raft::Index index, raft::Time read_at);
  // Runs `work`, which reads, on the read lane, then `done` here; or refuses, and frees the ticket.
  // `done` runs in any case once the job's turn has come, `work` only if somebody still waits.
  void RunRead(Ticket ticket, std::function<void()> work, std::function<void()> done);
  Pending* BackFromDisk(Ticket ticket);
  void RefuseUnreadable(const Request& request, const storage::Error& error);
  void AnswerRead(const Request& request, const Read& read, raft::Time read_at,
                  const storage::Result<std::optional<storage::ReadOutcome>>& outcome);
  bool OutputFull(const Request& request);

  // service_multi_get.cc
  struct MultiGetDone;
  bool ValidKeys(const Request& request, const wire::MultiGetRequest& asked);
  bool RefuseTooMuch(const Request& request, std::size_t bytes);
  void MultiGet(ClientSession& session, const wire::Frame& frame, Request request);
  void RunMultiGet(Ticket ticket);
  bool MultiGetFromMemory(const Request& request, const wire::MultiGetRequest& asked,
                          const Read& read);
  void ReadKeysFromDisk(Ticket ticket);
  void AnswerKeys(const Request& request, const Read& read, const MultiGetDone& done);

  // service_scan.cc
  void Scan(ClientSession& session, const wire::Frame& frame, Request request);
  bool TooManyScans(const ClientSession& session, const Request& request,
                    const wire::ScanRequest& scan);
  static ScanWork TakeCursor(ClientSession& session, std::uint64_t number, Read& read);
  static Read ForLaterPages(const Pending& pending);
  static ScanWork FirstPage(const wire::ScanRequest& scan);
  void RunScan(Ticket ticket);
  struct ScanDone;
  void FinishScan(Ticket ticket, ScanDone& done);

  // service_snapshot.cc
  void Snapshot(ClientSession& session, const wire::Frame& frame, Request request);
  void OnSnapshotTaken(Ticket ticket, const storage::Result<storage::Manifest>& taken);
  void ReadSnapshot(ClientSession& session, const wire::Frame& frame, Request request);
  void OnSnapshotRead(Ticket ticket, const SnapshotReply& piece);

  const Surroundings in_;
  const ServiceIdentity identity_;
  const ServiceLimits limits_;
  const std::shared_ptr<MemoryBudget> memory_;  // connections may outlive the service for a moment
  std::unique_ptr<Listener> listener_;
  bool stopping_ = false;

  Slots<std::unique_ptr<ClientSession>> sessions_;
  Slots<Pending> pending_;
  std::size_t read_jobs_ = 0;  // queued or running, abandoned ones included
  raft::Time last_sweep_{0};
  raft::Time next_sweep_ = raft::Time::max();  // no deadline of a pending request is earlier
  std::uint64_t next_cursor_ = 1;
  std::optional<raft::Time> last_confirmed_;  // leadership of this node, by a quorum

  // Reused, so that a request allocates as little as possible.
  wire::Command command_;
  wire::RequestHeader header_;
  wire::GetRequest get_;
  wire::ReplyHeader reply_;

  LogLimit refusal_lines_{10};
  LogLimit slow_lines_{10};
};

// One client's connection.
class ClientSession final : public ConnectionEvents {
 public:
  // Where a scan goes on. It holds the state still, so there are few of them.
  struct Cursor {
    std::shared_ptr<storage::StateView> view;
    std::string next;
    std::string last;
    std::size_t max_items = 0;
    bool count_only = false;
    Read read;  // what the first page was certified by
    raft::Time used{0};
  };

  ClientSession(Service& owner, std::uint64_t own_ticket, std::shared_ptr<Connection> stream,
                raft::Time now)
      : service(owner), ticket(own_ticket), connection(std::move(stream)), connected_at(now) {}
  ~ClientSession() override;

  void OnFrame(const wire::Frame& frame) override;
  void OnBadFrame(wire::FrameStatus status, std::size_t length) override;
  void OnOverBudget() override;
  void OnClosed(const std::string& why) override;
  void OnDrained() override { connection->ResumeReading(); }

  Service& service;
  const std::uint64_t ticket;
  const std::shared_ptr<Connection> connection;
  const raft::Time connected_at;
  bool greeted = false;
  std::string client;  // what it calls itself
  std::size_t in_flight_bytes = 0;
  std::size_t in_flight_requests = 0;
  std::size_t scans_running = 0;  // until their jobs are over, even if nobody waits for them
  std::map<std::uint64_t, Cursor> cursors;
};

}  // namespace quorate::server
