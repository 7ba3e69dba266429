// `quorated`: one node. Read in this order:
//
//   replica.h                    drives the consensus core, the log and the state machine
//   freshness.h read_path.h      how fresh an answer must be, and is; reads that wait for it
//   snapshot_transfer.h          snapshots on their way from node to node
//   loop.h worker.h              the threads: one loop, one worker for each kind of blocking work
//   connection.h listener.h      sockets and frames
//   peer_transport.h             messages between nodes
//   service.h                    what clients ask: writes, reads, scans, status; slots.h metrics.h
//   http.h status.h              what operators look at
//   options.h command_line.h     what operators set; logger.h address.h
//   recovery.h                   what the disk held
//   server.h                     this file: puts them together, and takes them down in order
#pragma once

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "src/http.h"
#include "src/logger.h"
#include "src/loop.h"
#include "src/metrics.h"
#include "src/options.h"
#include "src/peer_transport.h"
#include "src/recovery.h"
#include "src/replica.h"
#include "src/service.h"
#include "src/status.h"

namespace quorate::server {

class Server final : private Host, private PeerEvents {
 public:
  // Takes the addresses, recovers the data directory; nothing is served yet. Blocks.
  static storage::Result<std::unique_ptr<Server>> Open(const ServerOptions& options, Logger& log);
  ~Server() override;

  // Serves until Shutdown(), SIGTERM or SIGINT (a second signal ends the process at once).
  storage::Status Run();
  // Graceful: hands leadership over, answers what is in flight, flushes, marks the log clean. Any
  // thread.
  void Shutdown();

 private:
  enum class Stage { kServing, kHandingOver, kDraining, kFlushing };
  struct Listeners {
    std::unique_ptr<Listener> peer;
    std::unique_ptr<Listener> client;
    std::unique_ptr<Listener> http;
  };

  Server(const ServerOptions& options, Logger& log);
  storage::Status Bind();
  storage::Status Assemble();
  storage::Status StartAll();
  void WatchSignals();

  // Host.
  raft::Time Now() override;
  void Send(raft::Message message) override;
  void SendSnapshot(raft::NodeId to, SnapshotMessage message) override;
  void Run(Lane lane, std::function<void()> work, std::function<void()> done) override;
  void PumpSoon() override { loop_.PumpSoon(); }
  void Fatal(const std::string& why) override;
  void OnWrite(std::uint64_t ticket, const WriteResult& result) override;
  void OnRead(const Read& read) override;
  void OnSoftState(const raft::SoftState& state) override;

  // PeerEvents.
  void OnPeerMessage(raft::Message message) override;
  void OnPeerSnapshot(raft::NodeId from, const SnapshotMessage& message) override;
  void OnPeerUnreachable(raft::NodeId peer) override;
  void OnPeerMet(raft::NodeId peer, const std::string& client_address) override;
  const raft::Configuration& PeerConfiguration() const override;

  raft::Time NextDeadline() const;
  void OnDeadline(raft::Time now);
  HttpReply OnHttp(std::string_view path);
  wire::NodeStatus NodeStatus();

  void BeginShutdown();
  void ContinueShutdown();
  raft::NodeId Successor() const;

  const ServerOptions options_;
  Logger& log_;
  const std::uint64_t cluster_id_;
  const raft::Time started_;

  Loop loop_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer shutdown_timer_;
  Listeners listeners_;
  Recovered recovered_;  // its log and state machine belong to replica_
  Metrics metrics_;
  ClientAddresses client_addresses_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<PeerTransport> transport_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<HttpServer> http_;

  raft::SoftState soft_;
  raft::Time next_sweep_{0};
  Stage stage_ = Stage::kServing;
  raft::Time shutdown_started_{0};
};

}  // namespace quorate::server
