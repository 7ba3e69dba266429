// What an operator sets.
#pragma once

#include <spdlog/common.h>

#include <cstdint>
#include <map>
#include <string>

#include "raft/types.h"
#include "src/address.h"
#include "src/logger.h"
#include "src/replica.h"
#include "src/service.h"
#include "storage/log.h"
#include "storage/state_machine.h"

namespace quorate::server {

struct ServerOptions {
  raft::NodeId id = raft::kNoNode;
  std::string cluster_name = "quorate";
  std::map<raft::NodeId, HostPort> cluster;  // every member and its peer address
  // Where to dial a member instead of at its address in `cluster`: this node's own view, behind NAT
  // or a proxy. No part of the cluster's identity.
  std::map<raft::NodeId, HostPort> peer_routes;
  std::string data_dir;
  bool bootstrap = false;
  std::string restore;  // a backup that the first boot begins with; empty: none

  HostPort peer_address;               // to listen on
  HostPort client_address;             // to listen on
  HostPort advertised_client_address;  // what clients and peers are told
  HostPort http_address;

  spdlog::level::level_enum log_level = spdlog::level::info;
  LogFormat log_format = LogFormat::kText;

  ReplicaOptions replica;
  storage::LogOptions log;
  storage::DatabaseOptions database;
  ServiceLimits service;
};

// Names the cluster on every connection and in every data directory, so that nodes of different
// clusters never take each other's messages: FNV-1a, 64 bits, of "quorate 1\n", the cluster's name,
// "\n", then "<id>=<host:port>\n" for each member in ascending order of id. Stable for ever; never
// 0.
std::uint64_t ClusterId(const std::string& cluster_name,
                        const std::map<raft::NodeId, HostPort>& members);

// "30ms", "1.5s", "2m", "250us".
storage::Result<raft::Duration> ParseDuration(std::string_view text);
// "1048576", "64KiB", "64MiB", "1GiB".
storage::Result<std::uint64_t> ParseBytes(std::string_view text);

}  // namespace quorate::server
