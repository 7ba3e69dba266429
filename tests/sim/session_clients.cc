#include "tests/sim/session_clients.h"

#include <utility>

#include "storage/execute.h"

namespace quorate::sim {
namespace {

constexpr std::size_t kWindow = 6;

std::string AttachedKey(std::uint64_t session, std::uint64_t number) {
  return std::string(kAttachedPrefix) + std::to_string(session) + "." + std::to_string(number);
}

Request ToRequest(const wire::Command& command) {
  return {.kind = OperationKind::kPut,
          .key = {},
          .command = Bytes::Copy(command.SerializeAsString()),
          .stamping = server::Replica::Stamping::kStamped};
}

}  // namespace

std::string LogKey(std::uint64_t session) {
  return std::string(kSessionPrefix) + "log " + std::to_string(session);
}

std::string CountKey(std::uint64_t session) {
  return std::string(kSessionPrefix) + "count " + std::to_string(session);
}

bool IsPlainWrite(const Bytes& command) {
  wire::Command parsed;
  const std::string_view data = command.view();
  if (!parsed.ParseFromArray(data.data(), static_cast<int>(data.size()))) return true;
  return !parsed.has_session() && !storage::IsSessionOperation(parsed);
}

void SessionClient::Stop() {
  stopped_ = true;
  session_ = 0;
  open_.clear();
}

void SessionClient::NextAfter(SimTime mean) {
  env_.events.After(random_.Interval(mean), [this] { Next(); });
}

// Mostly it writes; now and then it is silent, for so long that the session is near its end.
void SessionClient::Next() {
  if (stopped_) return;
  const std::uint64_t choice = random_.Below(200);
  if (session_ == 0) {
    if (!opening_) OpenSession();
  } else if (choice < 3) {
    const std::int64_t ttl = plan_.session_ttl.count();
    env_.events.After(SimTime{random_.Between(ttl / 2, ttl * 5 / 4)}, [this] { Next(); });
    return;
  } else if (choice < 5) {
    wire::Command command;
    command.mutable_close_session()->set_id(session_);
    Tell(std::move(command));
    session_ = 0;  // it ends by itself if that gets lost
    open_.clear();
  } else if (choice < 15) {
    wire::Command command;
    command.mutable_keep_session()->set_id(session_);
    Tell(std::move(command));
  } else if (open_.size() < kWindow) {
    Write();
  }
  NextAfter(plan_.think_mean);
}

// Not sent again as it is: each that arrives opens one.
void SessionClient::OpenSession() {
  opening_ = true;
  wire::Command command;
  command.mutable_open_session()->set_ttl_us(static_cast<std::uint64_t>(plan_.session_ttl.count()));
  Tell(std::move(command));
  env_.events.After(plan_.deadline, [this] { opening_ = false; });
}

void SessionClient::Tell(wire::Command command) {
  const std::uint64_t session = command.has_open_session() ? 0 : session_;
  Send(session, 0, ToRequest(command));
}

void SessionClient::Write() {
  const std::uint64_t seq = next_seq_++;
  wire::Command command = ChooseCommand(seq);
  wire::SessionRef& ref = *command.mutable_session();
  ref.set_id(session_);
  ref.set_seq(seq);
  // Not always at once: others may be sent again meanwhile.
  if (random_.Chance(0.7)) ref.set_acked_below(open_.empty() ? seq : open_.begin()->first);
  open_[seq] = ToRequest(command);
  SendUntilAnswered(session_, seq);
}

wire::Command SessionClient::ChooseCommand(std::uint64_t seq) {
  wire::Command command;
  wire::Increment increment;
  increment.set_key(CountKey(session_));
  increment.set_by(1);
  wire::Append append;
  append.set_key(LogKey(session_));
  append.set_value(std::to_string(seq) + ",");
  const std::uint64_t choice = random_.Below(10);
  if (choice < 4) {
    *command.mutable_increment() = increment;
  } else if (choice < 7) {
    *command.mutable_append() = append;
  } else if (choice < 8) {
    wire::Transaction& transaction = *command.mutable_transaction();
    wire::Compare& compare = *transaction.add_compare();
    compare.set_key(CountKey(session_));
    compare.set_relation(wire::Compare::GREATER);
    compare.set_mod_index(0);
    *transaction.add_then()->mutable_append() = append;
    *transaction.add_then()->mutable_increment() = increment;
    *transaction.add_otherwise()->mutable_append() = append;
  } else {
    command.mutable_put()->set_key(AttachedKey(session_, random_.Below(4)));
    command.mutable_put()->set_attach(choice < 9 || random_.Chance(0.5));
  }
  return command;
}

raft::NodeId SessionClient::ChooseNode() {
  if (hint_ != raft::kNoNode && random_.Chance(0.8)) return hint_;
  return 1 + random_.Below(nodes_.size() - 1);
}

void SessionClient::SendUntilAnswered(std::uint64_t session, std::uint64_t seq) {
  const auto open = open_.find(seq);
  if (session != session_ || open == open_.end()) return;
  Send(session, seq, open->second);
  const SimTime again = Millis(30) + random_.Interval(plan_.read_retry);
  env_.events.After(again, [this, session, seq] { SendUntilAnswered(session, seq); });
}

// Some arrive twice, and late.
void SessionClient::Send(std::uint64_t session, std::uint64_t seq, const Request& request) {
  const SimTime sent = env_.events.now();
  const auto send = [&](SimTime delay) {
    env_.events.After(delay, [this, session, seq, request, sent, target = ChooseNode()] {
      nodes_[target]->Submit(request, [this, session, seq, sent](const Reply& reply) {
        if (LinkLoses()) return;
        env_.events.After(
            LinkDelay(), [this, session, seq, sent, reply] { OnReply(session, seq, sent, reply); });
      });
    });
  };
  if (!LinkLoses()) send(LinkDelay());
  if (seq != 0 && random_.Chance(0.1)) send(random_.Interval(Millis(200)));
}

void SessionClient::OnReply(std::uint64_t session, std::uint64_t seq, SimTime sent,
                            const Reply& reply) {
  hint_ = reply.leader;
  if (reply.status == ReplyStatus::kNotExecuted) return;
  const storage::Applied& applied = reply.applied;
  if (session == 0) {
    audit_.OnReply(applied.index, 0, sent, applied);
    return OnOpened(applied);
  }
  audit_.OnReply(session, seq, sent, applied);
  if (session != session_) return;
  if (applied.outcome == storage::Outcome::kSessionExpired) {
    session_ = 0;
    open_.clear();
  } else if (seq != 0) {
    open_.erase(seq);
  }
}

void SessionClient::OnOpened(const storage::Applied& applied) {
  opening_ = false;
  if (stopped_ || session_ != 0) return;  // another was faster; this one ends by itself
  session_ = applied.index;
  next_seq_ = 1;
}

}  // namespace quorate::sim
