#include "tests/sim/node.h"

#include <iterator>
#include <utility>
#include <variant>

#include "raft/assert.h"
#include "raft/format.h"
#include "tests/sim/tracked_log.h"

namespace quorate::sim {
namespace {

constexpr char kDirectory[] = "/node/data";
constexpr std::uint64_t kClusterId = 0x5155'4f52'4154'4531ULL;

raft::Configuration Founders(int nodes) {
  std::vector<raft::Member> members;
  for (int id = 1; id <= nodes; ++id) {
    members.push_back({static_cast<raft::NodeId>(id), {}, "node" + std::to_string(id)});
  }
  return raft::Configuration::Bootstrap(std::move(members));
}

const char* NameOf(const raft::Message& message) {
  constexpr const char* kNames[] = {"vote request",   "vote reply",         "append",
                                    "append reply",   "heartbeat",          "heartbeat reply",
                                    "snapshot offer", "read index request", "read index reply",
                                    "timeout now"};
  static_assert(std::size(kNames) == std::variant_size_v<raft::MessageBody>);
  return kNames[message.body.index()];
}

}  // namespace

Node::Node(const Environment& environment, raft::NodeId id, Random random)
    : env_(environment),
      id_(id),
      random_(random),
      clock_(raft::Time{random_.Between(0, 1'000'000'000'000)},
             random_.Between(-env_.plan.drift_ppm_max, env_.plan.drift_ppm_max)),
      disk_(env_.plan.disk, random_.Fork()),
      files_(disk_, NodeSubject, [this](const std::string& point) { Pass(point); }),
      state_files_(disk_, StateSubject, [this](const std::string& point) { Pass(point); }) {
  if (env_.plan.world_control == WorldControl::kLyingDisk) disk_.BreakSyncs();
}

Node::~Node() {
  EndProcess();
}

void Node::Note(std::string_view what, const std::string& detail) {
  env_.trace.Event(env_.events.now(), id_, what, {}, [&detail] { return detail; });
}

// --- The life of the process
// ------------------------------------------------------------------------------------------

void Node::Start() {
  if (state_ != State::kDown || quarantined_) return;
  state_ = State::kBooting;
  Note("start");
  disk_.Begin(env_.events.now());
  failures_at_start_ = disk_.failures();
  refusals_at_start_ = disk_.refusals();
  Survives([this] { Boot(); }, [this] { return disk_.End(); });
}

void Node::Pass(const std::string& point) {
  if (dying_ || wiped_) return;
  env_.crash_points.Pass(state_ == State::kBooting ? "boot: " + point : point);
}

bool Node::Survives(const std::function<void()>& work, const std::function<SimTime()>& when) {
  try {
    work();
    return true;
  } catch (const Crash& crash) {
    Note("dies", std::string(crash.point));
    dying_ = true;
    if (when() <= env_.events.now()) {
      Die();
    } else {
      env_.events.At(when(), [this, life = life_] {
        if (life == life_) Die();
      });
    }
    return false;
  }
}

void Node::Die() {
  if (random_.Chance(0.5)) {
    CutPower();
  } else {
    Kill();
  }
  env_.on_ended(id_);
}

std::unique_ptr<storage::DataDir> Node::OpenDirectory() {
  const storage::DataDir::Expected expected{kClusterId, id_};
  auto opened = storage::DataDir::Open(files_, kDirectory, expected);
  if (opened) return std::move(*opened);
  const bool first_boot = opened.error().code == storage::ErrorCode::kNotFound && !bootstrapped_;
  if (!first_boot) {
    RefuseToStart("directory-survives", opened.error());
    return nullptr;
  }
  const bool impostor = wiped_ && env_.plan.world_control == WorldControl::kWipedVoter;
  const raft::Uuid uuid = impostor ? uuid_ : raft::Uuid{random_.Next(), random_.Next()};
  const auto make_log = [this](const std::string& path) {
    return storage::Log::Create(files_, path, {env_.plan.segment_bytes, random_.Next()},
                                {{}, Founders(env_.plan.nodes)});
  };
  auto made = storage::DataDir::Bootstrap(files_, kDirectory, expected, uuid, make_log);
  if (made) return std::move(*made);
  RefuseToStart("first-boot-succeeds", made.error());
  return nullptr;
}

void Node::RefuseToStart(const char* invariant, const storage::Error& error) {
  const bool damage = error.code == storage::ErrorCode::kCorrupt ||
                      error.code == storage::ErrorCode::kMismatch ||
                      error.code == storage::ErrorCode::kNotFound;
  const bool quarantined = rotten_ && damage;
  if (!quarantined && !DiskFailed() && !DiskRefused())
    Violate(invariant, "node " + std::to_string(id_) + ": " + error.message);
  Note(quarantined ? "quarantined" : "does not start", error.message);
  quarantined_ = quarantined;
  EndProcess();
  disk_.KillProcess(env_.events.now());
  env_.on_ended(id_);
}

// What damage inside the last batch leaves looks like a torn write (D4), and nobody can know more.
// A node whose disk is known to rot, and that lacks just that, stays out of the run.
bool Node::TailRotted(const storage::LogRecovery& recovery) const {
  const DurableRecord& record = env_.invariants.record(id_);
  return rotten_ && record.Contradiction(recovery) && record.LacksLastSyncOnly(recovery);
}

storage::Result<std::unique_ptr<storage::StateMachine>> Node::OpenState(
    const std::string& directory) {
  const auto on_apply = [this](const raft::Entry& entry, std::uint64_t hash) {
    env_.trace.Event(env_.events.now(), id_, "apply", {entry.index, entry.term, hash}, [&entry] {
      return std::to_string(entry.index) + " term " + std::to_string(entry.term) + " " +
             raft::ToString(entry.kind);
    });
    if (!wiped_) env_.invariants.OnApply(env_.events.now(), id_, entry, hash);
  };
  auto opened = ModelStateMachine::Open(
      {disk_, state_files_, [this] { return env_.events.now(); },
       [this](const std::string& point) { Pass(point); }, on_apply, env_.plan.raft.control},
      directory);
  if (!opened) return storage::Forward(opened);
  env_.invariants.OnOpenState(id_, (*opened)->applied(), (*opened)->hash());
  return std::move(*opened);
}

void Node::Boot() {
  directory_ = OpenDirectory();
  if (directory_ == nullptr) return;
  const storage::LogOptions options{env_.plan.segment_bytes, random_.Next(),
                                    env_.plan.raft.control};
  auto recovered = storage::RecoverNode(
      files_, *directory_, options, [this](const std::string& path) { return OpenState(path); });
  // Crashes tear and lose what was not synced; none of that may be taken for damage.
  if (!recovered) return RefuseToStart("a-crash-is-not-corruption", recovered.error());
  if (TailRotted(recovered->log.recovery)) {
    return RefuseToStart("", {storage::ErrorCode::kCorrupt, "the last batch has rotted away"});
  }
  auto found = std::make_shared<storage::RecoveredNode>(std::move(*recovered));
  env_.events.At(disk_.End(), [this, life = life_, found] {
    if (life == life_ && !dying_) FinishBoot(std::move(*found));
  });
}

void Node::FinishBoot(storage::RecoveredNode recovered) {
  bootstrapped_ = true;
  uuid_ = directory_->identity().uuid;
  const std::uint64_t boot_id = random_.Next();
  const storage::LogRecovery& recovery = recovered.log.recovery;
  env_.invariants.OnStart(id_, boot_id, recovery, recovered.state->applied());
  env_.audit.OnStart(id_);
  Note("up", "term " + std::to_string(recovery.hard_state.term) + " log " +
                 std::to_string(recovery.contents.start.index + 1) + " to " +
                 std::to_string(recovery.contents.last) + " applied " +
                 std::to_string(recovered.state->applied().index) + " cut " +
                 std::to_string(recovery.cut_bytes) + (recovery.clean_shutdown ? " clean" : "") +
                 (recovered.finished_install ? ", finished an install" : ""));
  recovered.log.log =
      std::make_unique<TrackedLog>(std::move(recovered.log.log), id_, disk_, env_.invariants,
                                   [this] { return replica_->state().flushed().index; });
  server::ReplicaOptions options = env_.plan.replica;
  options.raft = env_.plan.raft;
  options.snapshots.control = options.raft.control;
  replica_ = std::make_unique<server::Replica>(
      options, raft::Self{id_, uuid_, boot_id},
      server::ReplicaStorage{files_, *directory_, std::move(recovered.log),
                             std::move(recovered.state),
                             [this](const std::string& path) { return OpenState(path); }},
      static_cast<server::Host&>(*this), random_.Next());
  replica_->Observe({{}, {}, [this](server::ReplicaObserver::News, const std::string& text) {
                       Note("news", text);
                     }});
  state_ = State::kUp;
  PumpSoon();
  ScheduleFlush(env_.events.now());
}

void Node::EndProcess() {
  ++life_;
  state_ = State::kDown;
  for (LaneQueue& lane : lanes_) lane = {};
  inbox_.clear();
  waiting_.clear();
  replica_.reset();
  directory_.reset();
  pump_due_ = leaving_ = ended_ = dying_ = false;
  tick_at_.reset();
  checked_freshness_.reset();
  paused_until_ = SimTime{0};
}

void Node::Kill() {
  Note("killed");
  EndProcess();
  disk_.KillProcess(env_.events.now());
  env_.invariants.record(id_).Killed(env_.events.now());
}

void Node::CutPower() {
  Note("power-cut");
  EndProcess();
  disk_.CutPower(env_.events.now());
  env_.invariants.record(id_).PowerCut(env_.events.now());
}

void Node::Wipe() {
  QUORATE_ASSERT(down(), "only a directory that is not in use is replaced");
  Note("wiped");
  disk_.Wipe();
  bootstrapped_ = false;
  wiped_ = true;
  env_.invariants.OnWipe(id_);
}

void Node::Rot() {
  CutPower();
  if (const auto where = disk_.Rot()) {
    Note("rotten", *where);
    rotten_ = true;
  }
}

void Node::ShutDown() {
  OnLoop([this] {
    Note("shutting-down");
    leaving_ = true;
    replica_->Shutdown([this] {
      Note("shut-down");
      ended_ = true;
    });
  });
}

void Node::Pause(SimTime duration) {
  if (!up()) return;
  Note("pause", std::to_string(duration.count()) + " us");
  paused_until_ = std::max(paused_until_, env_.events.now() + duration);
  env_.events.At(paused_until_, [this, life = life_] {
    if (life == life_ && env_.events.now() >= paused_until_) Resume();
  });
}

void Node::Resume() {
  paused_until_ = SimTime{0};
  resumed_ = env_.events.now();
  Note("resume", std::to_string(inbox_.size()) + " events waiting");
  // Everything that piled up arrives in one burst.
  std::deque<std::function<void()>> burst = std::exchange(inbox_, {});
  for (std::uint64_t life = life_; !burst.empty() && life == life_; burst.pop_front()) {
    RunOnLoop(burst.front());
  }
}

// --- The loop
// ---------------------------------------------------------------------------------------------------------

void Node::OnLoop(std::function<void()> action) {
  if (!up()) return;
  if (paused_until_ > env_.events.now()) {
    inbox_.push_back(std::move(action));
  } else {
    RunOnLoop(action);
  }
}

void Node::OnLoopAt(SimTime when, std::function<void()> action) {
  env_.events.At(when, [this, life = life_, action = std::move(action)]() mutable {
    if (life == life_) OnLoop(std::move(action));
  });
}

void Node::RunOnLoop(const std::function<void()>& action) {
  if (Survives(action, [this] { return env_.events.now(); })) AfterEvent();
}

void Node::AfterEvent() {
  if (!up()) return;
  if (ended_) {
    Kill();
    env_.on_ended(id_);
    return;
  }
  if (!wiped_) {
    env_.invariants.OnEvent(env_.events.now(), core());
    CheckFreshness();
  }
  ScheduleTick();
}

void Node::CheckFreshness() {
  const auto& fresh = core().freshness();
  if (!fresh || fresh->at == checked_freshness_) return;
  checked_freshness_ = fresh->at;
  // Within one microsecond of the clock the order of events is not known to the node.
  const SimTime at = clock_.FirstMoment(fresh->at) - SimTime{1};
  env_.invariants.OnFreshness(id_, at, fresh->index);
  env_.audit.OnAnchor(env_.events.now(), id_, at, fresh->index);
}

void Node::ScheduleTick() {
  if (pump_due_) return;  // what is due may be settled by it
  const SimTime due = std::max(clock_.FirstMoment(replica_->NextDeadline()), env_.events.now());
  if (tick_at_ && *tick_at_ <= due) return;
  tick_at_ = due;
  OnLoopAt(due, [this, due] {
    if (tick_at_ != due) return;
    tick_at_.reset();
    if (Now() >= replica_->NextDeadline()) replica_->Tick();
  });
}

// One at a time: the next begins after the one before has ended.
void Node::ScheduleFlush(SimTime after) {
  OnLoopAt(after + random_.Interval(env_.plan.flush_mean), [this] {
    // As RocksDB does by itself when its memory is full; an error shows at the next apply.
    disk_.Begin(env_.events.now());
    const auto flush = [this] {
      static_cast<void>(const_cast<ModelStateMachine&>(state_machine()).Flush());
    };
    if (Survives(flush, [this] { return disk_.End(); })) ScheduleFlush(disk_.End());
  });
}

void Node::PumpSoon() {
  if (std::exchange(pump_due_, true)) return;
  OnLoopAt(env_.events.now() + SimTime{random_.Between(1, 20)}, [this] {
    pump_due_ = false;
    replica_->Pump();
  });
}

void Node::Run(server::Lane lane, std::function<void()> work, std::function<void()> done) {
  LaneQueue& queue = lanes_[static_cast<std::size_t>(lane)];
  queue.jobs.push_back({std::move(work), std::move(done)});
  if (!queue.busy) StartJob(static_cast<std::size_t>(lane));
}

// The work happens in one moment and its syncs count when their time has passed; until then a crash
// undoes them.
void Node::StartJob(std::size_t lane) {
  lanes_[lane].busy = true;
  const SimTime wake_up{random_.Between(1, 40)};
  OnLoopAt(env_.events.now() + wake_up, [this, lane] {
    disk_.Begin(env_.events.now());
    const auto moment = [this] { return disk_.End(); };
    if (!Survives([this, lane] { lanes_[lane].jobs.front().work(); }, moment)) return;
    const SimTime end = disk_.End() + SimTime{random_.Between(1, 60)};
    env_.trace.Event(env_.events.now(), id_, "work",
                     {lane, static_cast<std::uint64_t>(end.count())}, [this, lane, end] {
                       return "lane " + std::to_string(lane) + " takes " +
                              std::to_string((end - env_.events.now()).count()) + " us";
                     });
    OnLoopAt(end, [this, lane] {
      LaneQueue& queue = lanes_[lane];
      const Job job = std::move(queue.jobs.front());
      queue.jobs.pop_front();
      queue.busy = false;
      job.done();
      if (!queue.busy && !queue.jobs.empty()) StartJob(lane);
    });
  });
}

void Node::Fatal(const std::string& why) {
  Note("fatal", why);
  // A disk that fails is the one good reason; a damaged one another. A full one is none.
  if (!lost() && !DiskFailed())
    Violate("healthy-nodes-run-on", "node " + std::to_string(id_) + ": " + why);
  ended_ = true;
}

void Node::OnSoftState(const raft::SoftState& state) {
  env_.trace.Event(env_.events.now(), id_, "role",
                   {static_cast<std::uint64_t>(state.role), state.term, state.leader}, [&state] {
                     return std::string(raft::ToString(state.role)) + " term " +
                            std::to_string(state.term) + " leader " + std::to_string(state.leader);
                   });
  if (state.role == raft::Role::kLeader && wiped_) {
    Violate("replaced-directory-never-leads",
            "node " + std::to_string(id_) + " leads term " + std::to_string(state.term));
  }
  if (state.role == raft::Role::kLeader && env_.on_leader) env_.on_leader(id_);
}

// --- Messages
// ---------------------------------------------------------------------------------------------------------

void Node::Send(raft::Message message) {
  env_.invariants.record(id_).Covered(state_machine().flushed().index);
  env_.invariants.OnSend(env_.events.now(), core(), message);
  const std::string point = std::string("send ") + NameOf(message);
  Pass("before " + point);
  env_.network.Send(std::move(message));
  Pass("after " + point);
}

void Node::SendSnapshot(raft::NodeId to, server::SnapshotMessage message) {
  const bool request = std::holds_alternative<server::SnapshotRequest>(message);
  const std::string point = request ? "send snapshot request" : "send snapshot reply";
  Pass("before " + point);
  env_.network.SendSnapshot(id_, to, std::move(message));
  Pass("after " + point);
}

void Node::DeliverSnapshot(raft::NodeId from, server::SnapshotMessage message) {
  OnLoop([this, from, message = std::move(message)] { replica_->ReceiveSnapshot(from, message); });
}

void Node::Deliver(raft::Message message) {
  OnLoop([this, message = std::move(message)]() mutable {
    env_.trace.Event(env_.events.now(), id_, "receive", {Digest(message)},
                     [&message] { return raft::ToString(message); });
    replica_->Receive(std::move(message));
  });
}

void Node::TransferLeadership(raft::NodeId target) {
  OnLoop([this, target] {
    Note("transfer", "to " + std::to_string(target));
    replica_->TransferLeadership(target);
  });
}

void Node::ConnectionBroke(raft::NodeId peer) {
  OnLoop([this, peer] { replica_->OnUnreachable(peer); });
}

// --- Clients
// ----------------------------------------------------------------------------------------------------------

void Node::Submit(const Request& request, ReplyTo reply) {
  OnLoop([this, request, reply = std::move(reply)] {
    const SimTime now = env_.events.now();
    Waiting waiting{
        request, reply, {id_, now, env_.invariants.committed(), env_.invariants.served(id_)}};
    if (!IsWrite(request.kind)) return TakeUpRead(std::move(waiting));
    const std::uint64_t ticket = next_ticket_++;
    waiting_.emplace(ticket, std::move(waiting));
    replica_->Write(request.command.view(), request.stamping, ticket);
  });
}

void Node::OnWrite(std::uint64_t ticket, const server::WriteResult& result) {
  const Waiting waiting = std::move(waiting_.extract(ticket).mapped());
  const bool applied = result.status == server::WriteStatus::kApplied;
  waiting.reply({applied ? ReplyStatus::kOk : ReplyStatus::kNotExecuted,
                 core().leader(),
                 result.applied,
                 {},
                 true});
}

void Node::TakeUpRead(Waiting waiting) {
  server::Read read;
  read.ticket = next_ticket_++;
  read.need = waiting.request.need;
  read.deadline = Now() + waiting.request.deadline;
  waiting_.emplace(read.ticket, std::move(waiting));
  const bool decided = replica_->DecideRead(read, Now());
  const bool eventual = !read.need.max_age && read.need.min_index == 0;
  if (eventual && env_.plan.world_control == WorldControl::kForgottenFlush &&
      !replica_->reads().CaughtUp(state_machine().applied().index)) {
    read.decision = server::Decision::kServedLocally;
    return OnRead(read);
  }
  if (env_.plan.world_control == WorldControl::kNeedlessRefusal && decided && read.need.max_age &&
      !read.refused()) {
    read.decision = server::Decision::kRefused;
    read.refusal = {.code = server::Refused::kStale, .because = server::Refused::kNoLeader};
  }
  if (decided) return OnRead(read);
  replica_->WaitForRead(read);
}

void Node::OnRead(const server::Read& read) {
  const bool paused = resumed_ >= waiting_.at(read.ticket).asked.at;
  if (Now() > read.deadline + Millis(10) && !paused) {
    Violate("no-read-outlives-its-deadline", "node " + std::to_string(id_) + " decides a read " +
                                                 std::to_string((Now() - read.deadline).count()) +
                                                 " us after its deadline");
  }
  if (read.refused()) return RefuseRead(read);
  if (random_.Chance(0.3)) return ReadOnLane(read);
  const SimTime judged = env_.events.now();
  OnLoopAt(judged + SimTime{random_.Between(0, 50)},
           [this, read, judged] { ServeRead(read, judged, ReadState(waiting_.at(read.ticket))); });
}

// As what is not in memory: the state is read at some later moment, and known later still.
void Node::ReadOnLane(const server::Read& read) {
  struct Work {
    SimTime read_at{0};
    raft::Time clock{0};
    storage::ReadOutcome outcome;
  };
  auto work = std::make_shared<Work>();
  Run(
      server::Lane::kRead,
      [this, work, ticket = read.ticket] {
        work->read_at = env_.events.now();
        work->clock = Now();
        work->outcome = ReadState(waiting_.at(ticket));
      },
      [this, work, read = server::Read(read)]() mutable {
        if (!replica_->reads().DecideAgain(read, work->outcome.at.index, work->clock)) {
          return replica_->WaitForRead(read);
        }
        if (read.refused()) return RefuseRead(read);
        read.judged = work->clock;
        ServeRead(read, work->read_at, work->outcome);
      });
}

void Node::ServeRead(server::Read read, SimTime read_at, const storage::ReadOutcome& outcome) {
  if (Now() >= read.deadline) {
    read.refusal = {.code = server::Refused::kDeadline};
    return RefuseRead(read);
  }
  const Waiting waiting = std::move(waiting_.extract(read.ticket).mapped());
  const server::Proof proof = replica_->reads().ProofOf(read, outcome.at.index, read.judged);
  const bool met = read.decision != server::Decision::kServedUnmet;
  if (!wiped_) env_.audit.OnServed(waiting.asked, read, proof, outcome.at, read_at);
  // What is served anyway may go back.
  const bool may_go_back = !met || read.need.strong();
  env_.invariants.OnServed(id_, outcome.at.index, may_go_back ? 0 : waiting.asked.served);
  waiting.reply({ReplyStatus::kOk, core().leader(), {}, outcome, met});
}

void Node::RefuseRead(const server::Read& read) {
  const Waiting waiting = std::move(waiting_.extract(read.ticket).mapped());
  if (!wiped_) {
    env_.audit.OnRefused(env_.events.now(), waiting.asked, read, state_machine().applied().index,
                         Now() >= read.deadline);
  }
  waiting.reply({ReplyStatus::kNotExecuted, core().leader(), {}, {}, false});
}

std::optional<raft::Duration> Node::Age() {
  if (!up()) return std::nullopt;
  return replica_->reads().AgeAt(state_machine().applied().index, Now());
}

storage::ReadOutcome Node::ReadState(const Waiting& waiting) const {
  const std::string& key = waiting.request.key;
  auto read = state_machine().Get(key, storage::StateMachine::Cost::kMemoryOnly);
  QUORATE_ASSERT(read && *read, "the model always answers from memory");
  if (env_.plan.world_control == WorldControl::kStaleRead && waiting.request.need.strong()) {
    const ModelState& old = state_machine().flushed_state();
    const auto record = old.data.find(key);
    (*read)->record = record == old.data.end() ? std::nullopt : std::optional(record->second);
  }
  return **read;
}

}  // namespace quorate::sim
