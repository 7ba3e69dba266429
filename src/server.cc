#include "src/server.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <cstdlib>
#include <random>
#include <utility>

#include "src/clock.h"

namespace quorate::server {
namespace {

constexpr raft::Duration kSweepEvery{1'000'000};
// Graceful shutdown: how long to look for a successor, then for answers; and when to stop being
// graceful.
constexpr raft::Duration kHandOver{1'000'000};
constexpr raft::Duration kDrain{2'000'000};
constexpr raft::Duration kGiveUp{30'000'000};
constexpr std::chrono::milliseconds kShutdownStep{5};

std::uint64_t RandomWord() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random() | 1;
}

}  // namespace

storage::Result<std::unique_ptr<Server>> Server::Open(const ServerOptions& options, Logger& log) {
  std::unique_ptr<Server> server(new Server(options, log));
  if (auto bound = server->Bind(); !bound) return tl::make_unexpected(bound.error());
  if (auto assembled = server->Assemble(); !assembled) {
    return tl::make_unexpected(assembled.error());
  }
  return server;
}

Server::Server(const ServerOptions& options, Logger& log)
    : options_(options),
      log_(log),
      cluster_id_(ClusterId(options.cluster_name, options.cluster)),
      started_(BootTime()),
      signals_(loop_.io()),
      shutdown_timer_(loop_.io()) {}

// Workers first: what they are doing refers to the replica's log and state machine.
Server::~Server() {
  loop_.JoinWorkers();
}

storage::Status Server::Bind() {
  const auto bind = [this](const HostPort& address, const char* flag,
                           std::unique_ptr<Listener>& out) -> storage::Status {
    auto bound = Listener::Bind(loop_.io(), address, flag);
    if (!bound) return tl::make_unexpected(bound.error());
    out = std::move(*bound);
    return {};
  };
  auto status = bind(options_.peer_address, "--peer-addr", listeners_.peer);
  if (status) status = bind(options_.client_address, "--client-addr", listeners_.client);
  if (status) status = bind(options_.http_address, "--http-addr", listeners_.http);
  return status;
}

storage::Status Server::Assemble() {
  auto recovered = Recover(options_, cluster_id_, log_);
  if (!recovered) return tl::make_unexpected(recovered.error());
  recovered_ = std::move(*recovered);

  const PeerIdentity self{.cluster_id = cluster_id_,
                          .node_id = options_.id,
                          .uuid = recovered_.directory->identity().uuid,
                          .boot_id = RandomWord(),
                          .client_address = options_.advertised_client_address.ToString(),
                          .origin = recovered_.directory->identity().origin};
  client_addresses_[options_.id] = self.client_address;
  replica_ = std::make_unique<Replica>(
      options_.replica, raft::Self{options_.id, self.uuid, self.boot_id},
      ReplicaStorage{*recovered_.files, *recovered_.directory, std::move(recovered_.log),
                     std::move(recovered_.state), recovered_.open},
      static_cast<Host&>(*this), RandomWord());
  replica_->Observe({[this](raft::Duration sync, std::size_t entries, std::size_t bytes) {
                       metrics_.log_sync.Observe(static_cast<std::uint64_t>(sync.count()));
                       metrics_.log_batch_entries.Observe(entries);
                       metrics_.log_batch_bytes.Observe(bytes);
                     },
                     [this](raft::Duration took, std::size_t entries) {
                       metrics_.apply.Observe(static_cast<std::uint64_t>(took.count()));
                       metrics_.apply_batch_entries.Observe(entries);
                     },
                     [this](ReplicaObserver::News news, const std::string& text) {
                       if (news == ReplicaObserver::News::kBad) return log_.Warn(text);
                       log_.Info(text);
                     }});
  std::map<raft::NodeId, HostPort> peers = options_.peer_routes;
  peers.insert(options_.cluster.begin(), options_.cluster.end());  // where there is no route
  transport_ =
      std::make_unique<PeerTransport>(loop_, log_, self, peers, static_cast<PeerEvents&>(*this));
  service_ = std::make_unique<Service>(
      Service::Surroundings{loop_, log_, metrics_, *replica_, client_addresses_,
                            [this] { return NodeStatus(); }},
      ServiceIdentity{cluster_id_, options_.id}, options_.service);
  http_ =
      std::make_unique<HttpServer>(loop_, [this](std::string_view path) { return OnHttp(path); });
  return {};
}

storage::Status Server::Run() {
  if (auto started = StartAll(); !started) return started;
  WatchSignals();
  next_sweep_ = BootTime() + kSweepEvery;
  loop_.PumpSoon();
  loop_.Run({[this] { replica_->Pump(); }, [this] { return NextDeadline(); },
             [this](raft::Time now) { OnDeadline(now); }});
  loop_.JoinWorkers();
  log_.Info("stopped");
  return {};
}

storage::Status Server::StartAll() {
  auto status = transport_->Start(std::move(listeners_.peer));
  if (status) status = service_->Start(std::move(listeners_.client));
  if (status) status = http_->Start(std::move(listeners_.http));
  if (!status) return status;
  log_.Info("serving", {{"version", QUORATE_VERSION},
                        {"cluster", options_.cluster_name},
                        {"cluster_id", fmt::format("{:016x}", cluster_id_)},
                        {"peers", options_.peer_address.ToString()},
                        {"clients", options_.client_address.ToString()},
                        {"http", options_.http_address.ToString()}});
  return {};
}

void Server::WatchSignals() {
  boost::system::error_code ignored;
  signals_.add(SIGTERM, ignored);
  signals_.add(SIGINT, ignored);
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    BeginShutdown();
    signals_.async_wait([](const boost::system::error_code& failed, int) {
      if (!failed) _exit(EXIT_FAILURE);
    });
  });
}

// ---- Host ----

raft::Time Server::Now() {
  return BootTime();
}

void Server::Send(raft::Message message) {
  transport_->Send(message);
}

void Server::SendSnapshot(raft::NodeId to, SnapshotMessage message) {
  transport_->Send(to, message);
}

void Server::Run(Lane lane, std::function<void()> work, std::function<void()> done) {
  loop_.RunOn(lane, std::move(work), std::move(done));
}

void Server::Fatal(const std::string& why) {
  log_.Error("this node must not go on", {{"reason", why}});
  log_.Flush();
  std::abort();
}

void Server::OnWrite(std::uint64_t ticket, const WriteResult& result) {
  service_->OnWrite(ticket, result);
}

void Server::OnRead(std::uint64_t ticket, const ReadGrant& grant) {
  service_->OnRead(ticket, grant);
}

void Server::OnSoftState(const raft::SoftState& state) {
  log_.SetTerm(state.term);
  if (state.leader != soft_.leader && state.leader != raft::kNoNode) ++metrics_.leader_changes;
  if (state.role != soft_.role || state.leader != soft_.leader) {
    log_.Info("role", {{"role", raft::ToString(state.role)}, {"leader", state.leader}});
  }
  soft_ = state;
}

// ---- PeerEvents ----

void Server::OnPeerMessage(raft::Message message) {
  replica_->Receive(std::move(message));
}

void Server::OnPeerSnapshot(raft::NodeId from, const SnapshotMessage& message) {
  replica_->ReceiveSnapshot(from, message);
}

void Server::OnPeerUnreachable(raft::NodeId peer) {
  replica_->OnUnreachable(peer);
}

void Server::OnPeerMet(raft::NodeId peer, const std::string& client_address) {
  if (!client_address.empty()) client_addresses_[peer] = client_address;
}

const raft::Configuration& Server::PeerConfiguration() const {
  return replica_->core().configuration();
}

// ---- Time ----

raft::Time Server::NextDeadline() const {
  return std::min({replica_->NextDeadline(), service_->NextDeadline(), next_sweep_});
}

void Server::OnDeadline(raft::Time now) {
  if (now >= replica_->NextDeadline()) replica_->Tick();
  service_->OnDeadline(now);
  if (now < next_sweep_) return;
  next_sweep_ = now + kSweepEvery;
  service_->Sweep(now);
  transport_->Sweep(now);
}

// ---- Operators ----

wire::NodeStatus Server::NodeStatus() {
  return BuildStatus({*replica_, *transport_, *service_, cluster_id_, started_}, BootTime());
}

HttpReply Server::OnHttp(std::string_view path) {
  if (path == "/metrics") {
    PeerQueues queues;
    for (const auto& [id, address] : options_.cluster) {
      if (id != options_.id) queues[id] = transport_->QueuedBytes(id);
    }
    metrics_.client_memory_bytes = service_->memory().used;
    metrics_.client_memory_limit_bytes = service_->memory().limit;
    return {200, "text/plain; version=0.0.4; charset=utf-8",
            FormatMetrics(metrics_, NodeStatus(), queues)};
  }
  if (path == "/healthz") {
    if (!replica_->core().DiskStuck(BootTime())) return {.body = "ok\n"};
    return {.status = 503, .body = "the log's disk has not completed a write for too long\n"};
  }
  if (path == "/readyz") {
    const wire::NodeStatus status = NodeStatus();
    if (stage_ != Stage::kServing) return {.status = 503, .body = "shutting down\n"};
    if (status.ready()) return {.body = "ready\n"};
    return {.status = 503, .body = status.not_ready_reason() + "\n"};
  }
  if (path == "/status") return {200, "application/json", ToJson(NodeStatus())};
  return {.status = 404, .body = "not found; there are /metrics /healthz /readyz /status\n"};
}

// ---- Shutdown ----

void Server::Shutdown() {
  boost::asio::post(loop_.io(), [this] { BeginShutdown(); });
}

void Server::BeginShutdown() {
  if (stage_ != Stage::kServing) return;
  log_.Info("shutting down");
  shutdown_started_ = BootTime();
  stage_ = Stage::kHandingOver;
  service_->StopAccepting();
  const raft::NodeId successor = Successor();
  if (successor != raft::kNoNode) replica_->TransferLeadership(successor);
  ContinueShutdown();
}

// The voter that lacks least: it is handed the rest before it campaigns.
raft::NodeId Server::Successor() const {
  const raft::Raft& core = replica_->core();
  if (core.role() != raft::Role::kLeader) return raft::kNoNode;
  raft::NodeId best = raft::kNoNode;
  raft::Index match = 0;
  for (const auto& [id, progress] : core.progress()) {
    if (!core.configuration().IsVoter(id) || !transport_->Connected(id)) continue;
    if (best != raft::kNoNode && progress.match <= match) continue;
    best = id;
    match = progress.match;
  }
  return best;
}

void Server::ContinueShutdown() {
  const raft::Duration since = BootTime() - shutdown_started_;
  if (since > kGiveUp) {
    log_.Error("the disk did not finish within 30 s; ending without a clean mark");
    log_.Flush();
    _exit(EXIT_FAILURE);
  }
  if (stage_ == Stage::kHandingOver && (Successor() == raft::kNoNode || since > kHandOver)) {
    stage_ = Stage::kDraining;
  }
  if (stage_ == Stage::kDraining && (service_->in_flight() == 0 || since > kDrain)) {
    stage_ = Stage::kFlushing;
    service_->Finish();
    replica_->Shutdown([this] {
      http_->Stop();
      transport_->Stop();
      loop_.Stop();
    });
  }
  shutdown_timer_.expires_after(kShutdownStep);
  shutdown_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) ContinueShutdown();
  });
}

}  // namespace quorate::server
