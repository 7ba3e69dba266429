// Messages between nodes.
//
//   peer_codec.h     a message as a frame
//   peer_lane.h      one outgoing connection to one peer, redialled for ever
//   peer_inbound.h   one incoming connection
//   peer_transport.h this file: all of them
//
// Delivery is best effort, as Raft allows: what cannot be sent now is dropped.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "raft/configuration.h"
#include "raft/message.h"
#include "src/address.h"
#include "src/listener.h"
#include "src/logger.h"
#include "src/loop.h"
#include "src/peer_codec.h"

namespace quorate::server {

class PeerInbound;
class PeerLane;

// The oldest and newest behaviour between nodes is told apart by this number, not by the program's
// version.
inline constexpr std::uint32_t kFeatureVersion = 1;

// What this node says of itself to its peers.
struct PeerIdentity {
  std::uint64_t cluster_id = 0;
  raft::NodeId node_id = raft::kNoNode;
  raft::Uuid uuid;
  std::uint64_t boot_id = 0;
  std::string client_address;
  std::uint64_t origin = 0;  // storage::Identity::origin
};

// What the transport needs from the node. Called on the loop, never from within Send().
class PeerEvents {
 public:
  virtual ~PeerEvents() = default;
  virtual void OnPeerMessage(raft::Message message) = 0;
  virtual void OnPeerSnapshot(raft::NodeId from, const SnapshotMessage& message) = 0;
  // Messages to the peer were probably lost.
  virtual void OnPeerUnreachable(raft::NodeId peer) = 0;
  // A peer has named itself and where it serves clients.
  virtual void OnPeerMet(raft::NodeId peer, const std::string& client_address) = 0;
  virtual const raft::Configuration& PeerConfiguration() const = 0;
};

// What lanes and incoming connections share.
struct PeerContext {
  Loop& loop;
  Logger& log;
  const PeerIdentity self;
  PeerEvents& events;
  PeerCodec codec;
};

// For the loop's thread.
class PeerTransport {
 public:
  // `peers`: every other member and the address of its peer listener.
  PeerTransport(Loop& loop, Logger& log, PeerIdentity self,
                const std::map<raft::NodeId, HostPort>& peers, PeerEvents& events);
  ~PeerTransport();

  // Dials, and takes what `listener` accepts.
  storage::Status Start(std::unique_ptr<Listener> listener);
  void Stop();
  // Once a second: closes connections that never said who they are.
  void Sweep(raft::Time now);

  void Send(const raft::Message& message);
  void Send(raft::NodeId to, const SnapshotMessage& message);

  bool Connected(raft::NodeId peer) const;
  std::size_t QueuedBytes(raft::NodeId peer) const;
  std::size_t inbound_connections() const { return inbound_.size(); }

 private:
  friend class PeerInbound;

  struct Peer {
    std::unique_ptr<PeerLane> control;
    std::unique_ptr<PeerLane> append;
    std::unique_ptr<PeerLane> snapshot;
    bool overflow_reported = false;
  };

  void Accept(boost::asio::ip::tcp::socket socket);
  bool DropOldestStranger();
  void ReportOverflow(raft::NodeId id, Peer& peer);
  // For PeerInbound.
  void OnInboundHello(PeerInbound& inbound);
  void RemoveInbound(PeerInbound* inbound);  // destroys it
  void LogRefusal(raft::NodeId from, const std::string& why, const std::string& remote);

  PeerContext context_;
  std::map<raft::NodeId, Peer> peers_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<PeerInbound>> inbound_;  // oldest first
  std::map<raft::NodeId, std::string> last_refusal_;   // of members, so that each is logged once
  LogLimit stranger_lines_{2};
};

}  // namespace quorate::server
