#include "src/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <iostream>
#include <utility>

namespace quorate::server {
namespace {

constexpr const char* kExamples = R"(
Examples:
  The first of three nodes, on first boot:
    quorated --id 1 --cluster 1=10.0.0.1:7101,2=10.0.0.2:7101,3=10.0.0.3:7101 \
             --data-dir /var/lib/quorate --client-addr 10.0.0.1:7001 --bootstrap
  From a file with lines such as `id = 1` (see --print-config):
    quorated --config /etc/quorated.toml

Every flag can be given as an environment variable: --data-dir is QUORATE_DATA_DIR.
Durations: 30ms, 1.5s. Sizes: 64MiB, 4096.
Exit codes: 0 after SIGTERM or SIGINT, 2 for wrong usage, 1 for everything else.)";

// As typed; Interpret() makes sense of it.
struct Raw {
  raft::NodeId id = 0;
  std::string cluster;
  std::string cluster_name = "quorate";
  std::string data_dir;
  std::string peer_addr;
  std::string peer_route;
  std::string client_addr;
  std::string advertise_client_addr;
  std::string http_addr = "127.0.0.1:7201";
  bool bootstrap = false;
  std::string log_level = "info";
  std::string log_format = "text";
  std::string heartbeat = "30ms";
  std::string election_timeout = "500ms";
  std::string restore;
  std::string segment_bytes = "64MiB";
  std::string log_retain = "256MiB";
  std::string log_max = "1GiB";
  std::string min_free_bytes = "128MiB";
  std::string snapshot_rate = "32MiB";
  std::string memtable_bytes = "64MiB";
  std::string cache_bytes = "64MiB";
  std::string slow_request = "500ms";
  std::size_t max_connections = 10'000;
  std::string max_in_flight_bytes = "16MiB";
  std::string max_client_bytes = "256MiB";
};

std::string Environment(const std::string& flag) {
  std::string name = "QUORATE_";
  for (const char c : flag) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

template <typename T>
CLI::Option* Add(CLI::App& app, const std::string& flag, T& value, const std::string& help,
                 const std::string& type) {
  return app.add_option("--" + flag, value, help)
      ->envname(Environment(flag))
      ->type_name(type)
      ->capture_default_str();
}

void Declare(CLI::App& app, Raw& raw) {
  Add(app, "id", raw.id, "This node's id in --cluster, 1 or more", "N");
  Add(app, "cluster", raw.cluster, "All members and their peer addresses: 1=host:port,2=...",
      "LIST");
  Add(app, "cluster-name", raw.cluster_name,
      "Tells clusters with the same members apart; the same on all nodes", "NAME");
  Add(app, "data-dir", raw.data_dir, "Directory of the log and the database", "DIR");
  app.add_flag("--bootstrap", raw.bootstrap,
               "First boot: make the data directory if it is absent or empty. Never give this to a "
               "node that has lost its directory")
      ->envname("QUORATE_BOOTSTRAP");
  Add(app, "restore", raw.restore,
      "With --bootstrap: begin with the state in this backup, the same one on every node", "FILE");
  Add(app, "client-addr", raw.client_addr, "Listen here for clients", "HOST:PORT");
  Add(app, "advertise-client-addr", raw.advertise_client_addr,
      "What clients are told to connect to, if not --client-addr", "HOST:PORT");
  Add(app, "peer-addr", raw.peer_addr,
      "Listen here for peers, if not at the own entry of --cluster", "HOST:PORT");
  Add(app, "peer-route", raw.peer_route,
      "Dial these members elsewhere than --cluster says, behind NAT or a proxy: 2=host:port,...",
      "LIST");
  Add(app, "http-addr", raw.http_addr, "Listen here for /metrics, /healthz, /readyz, /status",
      "HOST:PORT");
  Add(app, "log-level", raw.log_level, "debug, info, warn or error", "LEVEL");
  Add(app, "log-format", raw.log_format, "text or json", "FORMAT");
  Add(app, "heartbeat", raw.heartbeat, "Between two heartbeats of the leader", "DURATION");
  Add(app, "election-timeout", raw.election_timeout,
      "Without a leader for once to twice this long, a node campaigns", "DURATION");
  Add(app, "segment-bytes", raw.segment_bytes, "Size of one log file, 64KiB to 1GiB", "SIZE");
  Add(app, "log-retain", raw.log_retain,
      "Log kept behind the database's last flush, for followers that were away", "SIZE");
  Add(app, "log-max", raw.log_max,
      "Log kept at most while a live follower lags, four segments or more", "SIZE");
  Add(app, "min-free-bytes", raw.min_free_bytes,
      "With less room on the disk, this node takes no more writes", "SIZE");
  Add(app, "snapshot-rate", raw.snapshot_rate,
      "Bytes per second at which a snapshot is fetched, 64KiB or more", "SIZE");
  Add(app, "memtable-bytes", raw.memtable_bytes, "Applied writes kept in memory before a flush",
      "SIZE");
  Add(app, "cache-bytes", raw.cache_bytes, "Cache of the database's files", "SIZE");
  Add(app, "max-connections", raw.max_connections, "Client connections, 1 to 1000000", "N");
  Add(app, "max-in-flight-bytes", raw.max_in_flight_bytes,
      "Unanswered requests of one client connection, 4MiB or more", "SIZE");
  Add(app, "max-client-bytes", raw.max_client_bytes,
      "Incomplete and unanswered requests and unread answers of all clients, 16MiB or more",
      "SIZE");
  Add(app, "slow-request", raw.slow_request, "Requests that take this long are logged", "DURATION");
}

// Gathers the first thing that is wrong, and names the flag, the value and what is expected.
class Checker {
 public:
  void Wrong(const std::string& flag, const std::string& what) {
    if (error_.empty()) error_ = "--" + flag + ": " + what;
  }
  HostPort Address(const std::string& flag, const std::string& text) {
    const auto parsed = ParseHostPort(text);
    if (!parsed) Wrong(flag, parsed.error().message + "; expected e.g. 127.0.0.1:7001");
    return parsed.value_or(HostPort{});
  }
  raft::Duration Duration(const std::string& flag, const std::string& text, raft::Duration min,
                          raft::Duration max) {
    const auto parsed = ParseDuration(text);
    if (!parsed) {
      Wrong(flag, parsed.error().message);
      return min;
    }
    if (*parsed < min || *parsed > max) {
      Wrong(flag, fmt::format("'{}' is out of range: {} ms to {} ms", text, min.count() / 1000,
                              max.count() / 1000));
    }
    return *parsed;
  }
  std::uint64_t Bytes(const std::string& flag, const std::string& text, std::uint64_t min,
                      std::uint64_t max) {
    const auto parsed = ParseBytes(text);
    if (!parsed) {
      Wrong(flag, parsed.error().message);
      return min;
    }
    if (*parsed < min || *parsed > max) {
      Wrong(flag, fmt::format("'{}' is out of range: {} to {} bytes", text, min, max));
    }
    return *parsed;
  }
  const std::string& error() const { return error_; }

 private:
  std::string error_;
};

// "1=host:port,2=host:port"
std::map<raft::NodeId, HostPort> ParseMembers(const std::string& flag, const std::string& text,
                                              Checker& check) {
  std::map<raft::NodeId, HostPort> members;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = item.find('=');
    raft::NodeId id = 0;
    const char* stop = item.data() + std::min(equals, item.size());
    const auto [parsed, error] = std::from_chars(item.data(), stop, id);
    if (equals == std::string::npos || error != std::errc() || parsed != stop || id == 0) {
      check.Wrong(flag, "'" + item + "' is not ID=HOST:PORT with an id of 1 or more");
      return members;
    }
    if (!members.emplace(id, check.Address(flag, item.substr(equals + 1))).second) {
      check.Wrong(flag, fmt::format("id {} is there twice", id));
    }
  }
  return members;
}

std::map<raft::NodeId, HostPort> ParseCluster(const std::string& text, Checker& check) {
  constexpr std::size_t kMaxMembers = 31;
  std::map<raft::NodeId, HostPort> members = ParseMembers("cluster", text, check);
  if (members.size() > kMaxMembers) {
    check.Wrong("cluster", fmt::format("{} members; the limit is {}", members.size(), kMaxMembers));
  }
  for (auto i = members.begin(); i != members.end(); ++i) {
    for (auto j = std::next(i); j != members.end(); ++j) {
      if (i->second == j->second) {
        check.Wrong("cluster", fmt::format("members {} and {} have the same address {}", i->first,
                                           j->first, i->second.ToString()));
      }
    }
  }
  return members;
}

void InterpretRoutes(const Raw& raw, Checker& check, ServerOptions& options) {
  if (raw.peer_route.empty()) return;
  options.peer_routes = ParseMembers("peer-route", raw.peer_route, check);
  for (const auto& [id, address] : options.peer_routes) {
    if (id == options.id || !options.cluster.contains(id)) {
      check.Wrong("peer-route",
                  fmt::format("{} is not another member in --cluster {}", id, raw.cluster));
    }
  }
}

void InterpretAddresses(const Raw& raw, Checker& check, ServerOptions& options) {
  options.cluster = ParseCluster(raw.cluster, check);
  const auto own = options.cluster.find(options.id);
  if (own == options.cluster.end()) {
    return check.Wrong("id",
                       fmt::format("{} is not a member in --cluster {}", options.id, raw.cluster));
  }
  options.peer_address =
      raw.peer_addr.empty() ? own->second : check.Address("peer-addr", raw.peer_addr);
  InterpretRoutes(raw, check, options);
  options.client_address = check.Address("client-addr", raw.client_addr);
  options.advertised_client_address =
      raw.advertise_client_addr.empty()
          ? options.client_address
          : check.Address("advertise-client-addr", raw.advertise_client_addr);
  options.http_address = check.Address("http-addr", raw.http_addr);
  const std::string& told = options.advertised_client_address.host;
  if (told == "0.0.0.0" || told == "::") {
    check.Wrong("client-addr", "'" + raw.client_addr +
                                   "' listens everywhere but is no address to connect to; add "
                                   "--advertise-client-addr");
  }
}

void InterpretTuning(const Raw& raw, Checker& check, ServerOptions& options) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  options.replica.raft.heartbeat =
      check.Duration("heartbeat", raw.heartbeat, milliseconds(5), seconds(10));
  options.replica.raft.election =
      check.Duration("election-timeout", raw.election_timeout, milliseconds(50), seconds(120));
  if (options.replica.raft.election < 4 * options.replica.raft.heartbeat) {
    check.Wrong("election-timeout", "'" + raw.election_timeout +
                                        "' is less than four heartbeats (--heartbeat " +
                                        raw.heartbeat + "): a late packet would depose leaders");
  }
  constexpr std::uint64_t kGiB = 1 << 30;
  options.log.segment_bytes = check.Bytes("segment-bytes", raw.segment_bytes, 64 << 10, kGiB);
  ReplicaOptions& replica = options.replica;
  replica.log_retain_bytes = check.Bytes("log-retain", raw.log_retain, 0, 1024 * kGiB);
  replica.log_max_bytes =
      check.Bytes("log-max", raw.log_max, 4 * options.log.segment_bytes, 1024 * kGiB);
  if (replica.log_max_bytes < replica.log_retain_bytes) {
    check.Wrong("log-max", "'" + raw.log_max + "' is less than --log-retain " + raw.log_retain);
  }
  replica.flush_bytes = std::min(replica.flush_bytes, replica.log_max_bytes / 4);
  replica.min_free_bytes = check.Bytes("min-free-bytes", raw.min_free_bytes, 0, 1024 * kGiB);
  replica.snapshots.rate = check.Bytes("snapshot-rate", raw.snapshot_rate, 64 << 10, 64 * kGiB);
  options.database.memtable_bytes =
      check.Bytes("memtable-bytes", raw.memtable_bytes, 64 << 10, 16 * kGiB);
  options.database.cache_bytes = check.Bytes("cache-bytes", raw.cache_bytes, 0, 1024 * kGiB);
  options.service.max_in_flight_bytes =
      check.Bytes("max-in-flight-bytes", raw.max_in_flight_bytes, 4 << 20, kGiB);
  options.service.max_client_bytes =
      check.Bytes("max-client-bytes", raw.max_client_bytes, 16 << 20, 1024 * kGiB);
  options.service.slow_request =
      check.Duration("slow-request", raw.slow_request, milliseconds(0), seconds(3600));
  options.service.max_connections = raw.max_connections;
  if (raw.max_connections < 1 || raw.max_connections > 1'000'000) {
    check.Wrong("max-connections",
                fmt::format("{} is out of range: 1 to 1000000", raw.max_connections));
  }
}

void InterpretLogging(const Raw& raw, Checker& check, ServerOptions& options) {
  const std::map<std::string, spdlog::level::level_enum> levels = {{"debug", spdlog::level::debug},
                                                                   {"info", spdlog::level::info},
                                                                   {"warn", spdlog::level::warn},
                                                                   {"error", spdlog::level::err}};
  const auto level = levels.find(raw.log_level);
  if (level == levels.end()) {
    check.Wrong("log-level", "'" + raw.log_level + "' is not debug, info, warn or error");
  } else {
    options.log_level = level->second;
  }
  if (raw.log_format != "text" && raw.log_format != "json") {
    check.Wrong("log-format", "'" + raw.log_format + "' is not text or json");
  }
  options.log_format = raw.log_format == "json" ? LogFormat::kJson : LogFormat::kText;
}

ServerOptions Interpret(const Raw& raw, Checker& check) {
  constexpr std::size_t kMaxNameBytes = 64;
  ServerOptions options;
  options.id = raw.id;
  options.cluster_name = raw.cluster_name;
  options.data_dir = raw.data_dir;
  options.bootstrap = raw.bootstrap;
  options.restore = raw.restore;
  if (!raw.restore.empty() && !raw.bootstrap) {
    check.Wrong("restore", "makes a new data directory, and goes with --bootstrap only");
  }
  if (raw.id == 0)
    check.Wrong("id", "is missing; it is this node's number in --cluster, 1 or more");
  if (raw.cluster.empty())
    check.Wrong("cluster", "is missing; expected 1=host:port,2=host:port,...");
  if (raw.data_dir.empty()) check.Wrong("data-dir", "is missing; expected a directory");
  if (raw.client_addr.empty())
    check.Wrong("client-addr", "is missing; expected e.g. 127.0.0.1:7001");
  if (raw.cluster_name.empty() || raw.cluster_name.size() > kMaxNameBytes) {
    check.Wrong("cluster-name", "must have 1 to 64 bytes");
  }
  InterpretLogging(raw, check, options);
  if (check.error().empty()) InterpretAddresses(raw, check, options);
  if (check.error().empty()) InterpretTuning(raw, check, options);
  return options;
}

CommandLine WrongUsage(const std::string& what) {
  std::cerr << "quorated: " << what << "\nTry quorated --help.\n";
  return {std::nullopt, kExitUsage};
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app("quorated: one node of a Quorate cluster, a Raft-replicated key-value store",
               "quorated");
  Raw raw;
  bool print_config = false;
  Declare(app, raw);
  app.footer(kExamples);
  app.set_version_flag("--version", "quorated " QUORATE_VERSION);
  app.set_config("--config", "", "Read flags from this file; unknown keys are errors")
      ->envname("QUORATE_CONFIG");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--print-config", print_config,
               "Print what would be used, as a config file, and end")
      ->configurable(false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return {std::nullopt, app.exit(done)};
  } catch (const CLI::ConfigError& error) {
    return WrongUsage(std::string("--config: there is a key that is no flag (") + error.what() +
                      ")");
  } catch (const CLI::ParseError& error) {
    return WrongUsage(error.what());
  }
  Checker check;
  ServerOptions options = Interpret(raw, check);
  if (!check.error().empty()) return WrongUsage(check.error());
  if (print_config) {
    std::cout << app.config_to_str(true, false);
    return {std::nullopt, 0};
  }
  return {std::move(options), 0};
}

}  // namespace quorate::server
