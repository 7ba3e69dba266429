#include "tests/sim/clients.h"

#include <utility>

#include "client/proto/wire.pb.h"
#include "raft/assert.h"

namespace quorate::sim {
namespace {

// Field 1000 of wire::Command, fixed64.
constexpr std::string_view kOperationTag = "\xc1\x3e";

Result ToResult(storage::Outcome outcome) {
  switch (outcome) {
    case storage::Outcome::kDone:
      return Result::kDone;
    case storage::Outcome::kNotFound:
      return Result::kNotFound;
    case storage::Outcome::kCompareFailed:
      return Result::kCompareFailed;
    default:
      break;
  }
  Violate("commands-are-understood", "a client's command was rejected by the state machine");
}

}  // namespace

Bytes EncodeCommand(const Operation& operation) {
  wire::Command command;
  switch (operation.kind) {
    case OperationKind::kPut:
      command.mutable_put()->set_key(operation.key);
      command.mutable_put()->set_value(operation.value);
      break;
    case OperationKind::kDelete:
      command.mutable_delete_()->set_key(operation.key);
      break;
    case OperationKind::kCompareAndSet: {
      wire::CompareAndSet& set = *command.mutable_compare_and_set();
      set.set_key(operation.key);
      set.set_value(operation.value);
      if (operation.expect_index) set.set_mod_index(*operation.expect_index);
      if (operation.expect_value) set.set_expected_value(*operation.expect_value);
      break;
    }
    case OperationKind::kStrongRead:
    case OperationKind::kWeakRead:
      return {};
  }
  std::string encoded = command.SerializeAsString();
  encoded += kOperationTag;
  for (int i = 0; i < 8; ++i) encoded.push_back(static_cast<char>(operation.id >> (8 * i)));
  return Bytes::Copy(encoded);
}

std::uint64_t OperationOf(const Bytes& command) {
  const std::string_view data = command.view();
  QUORATE_ASSERT(data.size() >= 8, "every command ends in the id of its operation");
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    id |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[data.size() - 8 + i]))
          << (8 * i);
  }
  return id;
}

void Client::Start() {
  env_.events.After(random_.Interval(workload_.plan.think_mean), [this] { Next(); });
}

void Client::Next() {
  if (stopped_) return;
  const OperationKind kind = ChooseKind();
  Begin(kind, workload_.plan.deadline, ChooseNeed(kind));
}

OperationKind Client::ChooseKind() {
  if (!random_.Chance(workload_.plan.write_share)) {
    return random_.Chance(workload_.plan.weak_share) ? OperationKind::kWeakRead
                                                     : OperationKind::kStrongRead;
  }
  const std::uint64_t choice = random_.Below(10);
  if (choice < 6) return OperationKind::kPut;
  return choice < 9 ? OperationKind::kCompareAndSet : OperationKind::kDelete;
}

// Every level, alone and combined, with each answer to what is not met.
server::ReadNeed Client::ChooseNeed(OperationKind kind) {
  server::ReadNeed need;
  if (IsWrite(kind)) return need;
  const std::uint64_t unmet = random_.Below(20);
  if (unmet < 5) need.on_unmet = server::OnUnmet::kRefuse;
  if (unmet == 19) need.on_unmet = server::OnUnmet::kServeAnyway;
  if (kind == OperationKind::kStrongRead) {
    need.max_age = SimTime{0};
    if (random_.Chance(0.2)) SetToken(need);
    return need;
  }
  const std::uint64_t level = random_.Below(10);
  if (level < 6) {
    // From 1 ms to 4 s, as many short ones as long ones.
    need.max_age = SimTime{random_.Between(1'000, 2'000) << random_.Below(12)};
    if (random_.Chance(0.3)) need.max_lag = random_.Below(20);
  }
  if (level >= 4 && level < 8) SetToken(need);
  return need;
}

void Client::SetToken(server::ReadNeed& need) {
  need.min_index = token_.index;
  need.min_term = token_.term;
  if (token_.index == 0 || !random_.Chance(0.02)) return;
  // One that was never given.
  if (random_.Chance(0.5)) {
    need.min_index += 1'000'000;
  } else {
    need.min_term += 1'000;
  }
}

raft::NodeId Client::ChooseNode() {
  if (pinned_ != raft::kNoNode) return pinned_;
  if (IsWrite(operation_.kind) && hint_ != raft::kNoNode)
    return std::exchange(hint_, raft::kNoNode);
  return 1 + random_.Below(nodes_.size() - 1);
}

void Client::Begin(OperationKind kind, SimTime deadline, const server::ReadNeed& need) {
  busy_ = true;
  operation_ = {};
  operation_.id = workload_.next_operation++;
  operation_.kind = kind;
  operation_.key =
      "k" + std::to_string(random_.Below(static_cast<std::uint64_t>(workload_.plan.keys)));
  if (kind == OperationKind::kPut || kind == OperationKind::kCompareAndSet) {
    operation_.value = "v" + std::to_string(operation_.id) + ".";
    operation_.value.append(random_.Below(workload_.plan.value_bytes_max), '.');
  }
  if (kind == OperationKind::kCompareAndSet) {
    const Observed& seen = seen_[operation_.key];
    if (seen.mod_index != 0 && random_.Chance(0.5)) {
      operation_.expect_value = seen.value;
    } else {
      operation_.expect_index = seen.mod_index;
    }
  }
  operation_.invoked = env_.events.now();
  operation_.need = need;
  give_up_ = operation_.invoked + deadline;
  request_ = {.kind = kind,
              .key = operation_.key,
              .command = EncodeCommand(operation_),
              .need = need,
              .deadline = deadline};
  outstanding_ = false;
  env_.events.After(deadline, [this, id = operation_.id] {
    if (busy_ && id == operation_.id) OnDeadline();
  });
  Attempt();
}

void Client::Attempt() {
  const std::uint64_t attempt = ++attempt_;
  const raft::NodeId target = ChooseNode();
  outstanding_ = true;
  if (!LinkLoses()) {
    env_.events.After(LinkDelay(), [this, target, attempt] { Arrive(target, attempt); });
  }
  if (IsWrite(operation_.kind)) return;  // a second attempt might execute it twice
  env_.events.After(workload_.plan.read_retry, [this, attempt] {
    if (busy_ && attempt == attempt_) Attempt();
  });
}

void Client::Arrive(raft::NodeId target, std::uint64_t attempt) {
  if (attempt != attempt_) return;  // a read that has been sent again meanwhile
  request_.deadline = give_up_ - env_.events.now();
  nodes_[target]->Submit(request_, [this, attempt](const Reply& reply) {
    if (LinkLoses()) return;
    env_.events.After(LinkDelay(), [this, attempt, reply] { OnReply(attempt, reply); });
  });
}

void Client::OnReply(std::uint64_t attempt, const Reply& reply) {
  if (!busy_ || attempt != attempt_) return;
  outstanding_ = false;
  if (reply.leader != raft::kNoNode) hint_ = reply.leader;
  if (reply.status == ReplyStatus::kNotExecuted) {
    const std::uint64_t refused = ++attempt_;
    env_.events.After(SimTime{random_.Between(1'000, 50'000)}, [this, refused] {
      if (busy_ && refused == attempt_) Attempt();
    });
    return;
  }
  if (!IsWrite(operation_.kind)) {
    // Served although it could not be confirmed: it promises no more than its certificate.
    if (!reply.met) operation_.kind = OperationKind::kWeakRead;
    NoteRead(reply.read);
    return Finish(Result::kDone);
  }
  operation_.index = reply.applied.index;
  if (reply.applied.index > token_.index) token_ = {reply.applied.index, reply.applied.term};
  const Result result = ToResult(reply.applied.outcome);
  if (result == Result::kDone) {
    const bool removed = operation_.kind == OperationKind::kDelete;
    seen_[operation_.key] = removed ? Observed{} : Observed{operation_.index, operation_.value};
  } else {
    seen_[operation_.key].mod_index = reply.applied.have;
  }
  Finish(result);
}

void Client::NoteRead(const storage::ReadOutcome& read) {
  operation_.index = read.at.index;
  if (read.at.index > token_.index) token_ = read.at;
  if (read.record) operation_.observed = {read.record->mod_index, read.record->value};
  seen_[operation_.key] = operation_.observed;
}

void Client::OnDeadline() {
  const bool unknown = outstanding_ || !IsWrite(operation_.kind);
  Finish(unknown ? Result::kUnknown : Result::kNotExecuted);
}

void Client::Finish(Result result) {
  busy_ = false;
  ++attempt_;
  operation_.result = result;
  operation_.returned = env_.events.now();
  env_.trace.Event(
      env_.events.now(), raft::kNoNode, "client",
      {operation_.id, static_cast<std::uint64_t>(result), operation_.index}, [this, result] {
        constexpr const char* kKinds[] = {"put", "delete", "cas", "strong-read", "weak-read"};
        constexpr const char* kResults[] = {"unknown", "not-executed", "done", "not-found",
                                            "compare-failed"};
        return std::to_string(id_) + " " + kKinds[static_cast<int>(operation_.kind)] + " #" +
               std::to_string(operation_.id) + " " + operation_.key + " -> " +
               kResults[static_cast<int>(result)] + " at " + std::to_string(operation_.index);
      });
  workload_.history.push_back(operation_);
  if (pinned_ == raft::kNoNode && !stopped_) Start();
}

void Client::RunOnce(OperationKind kind, raft::NodeId first, SimTime deadline,
                     const server::ReadNeed& need) {
  stopped_ = true;
  pinned_ = IsWrite(kind) ? raft::kNoNode : first;
  hint_ = first;
  Begin(kind, deadline, need);
}

}  // namespace quorate::sim
