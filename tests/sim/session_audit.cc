#include "tests/sim/session_audit.h"

#include <tuple>

#include "tests/sim/session_clients.h"

namespace quorate::sim {
namespace {

std::string Name(std::uint64_t session, std::uint64_t seq) {
  return "command " + std::to_string(seq) + " of session " + std::to_string(session);
}

auto AnswerOf(const storage::Applied& applied) {
  return std::tie(applied.executed.index, applied.executed.term, applied.outcome, applied.found,
                  applied.have, applied.result);
}

}  // namespace

void SessionAudit::OnReply(std::uint64_t session, std::uint64_t seq, SimTime sent,
                           const storage::Applied& applied) {
  if (applied.outcome != storage::Outcome::kSessionExpired) {
    kept_[session].emplace_back(applied.index, sent);
  }
  repeated_ += applied.repeated ? 1 : 0;
  if (seq != 0) replies_.push_back({session, seq, applied});
}

void SessionAudit::Check(const Invariants& log, const ModelState& state) {
  for (raft::Index index = 1; index <= log.committed(); ++index) {
    const raft::Entry& entry = log.EntryAt(index);
    wire::Command command;
    if (entry.kind != raft::EntryKind::kCommand) continue;
    const std::string_view data = entry.data.view();
    if (command.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
      Step(log, index, command);
    }
  }
  std::map<std::pair<std::uint64_t, std::uint64_t>, const Reply*> first;
  for (const Reply& reply : replies_) {
    CheckReply(reply);
    if (verdicts_.at(reply.applied.index).of == 0) continue;  // refused
    const auto [it, added] = first.emplace(std::pair(reply.session, reply.seq), &reply);
    if (!added && AnswerOf(it->second->applied) != AnswerOf(reply.applied)) {
      Violate("one-answer", Name(reply.session, reply.seq) + " was answered differently at " +
                                std::to_string(it->second->applied.index) + " and " +
                                std::to_string(reply.applied.index));
    }
  }
  CheckState(state);
}

void SessionAudit::Step(const Invariants& log, raft::Index index, const wire::Command& command) {
  clock_us_ = std::max<std::uint64_t>(clock_us_, command.stamp_us());
  if (command.has_session()) return StepWrite(index, command);
  switch (command.operation_case()) {
    case wire::Command::kOpenSession: {
      Session& session = sessions_[index];
      session.ttl_us = command.open_session().ttl_us();
      session.deadline_us = clock_us_ + session.ttl_us;
      session.alive = true;
      return;
    }
    case wire::Command::kKeepSession: {
      const std::uint64_t id = command.keep_session().id();
      if (sessions_[id].alive) sessions_[id].deadline_us = clock_us_ + sessions_[id].ttl_us;
      return;
    }
    case wire::Command::kCloseSession:
      return End(command.close_session().id());
    case wire::Command::kEndSessions:
      for (const std::uint64_t id : command.end_sessions().id()) {
        if (!sessions_[id].alive || sessions_[id].deadline_us > clock_us_) continue;
        CheckNotEarly(log, id, index);
        ++expired_;
        End(id);
      }
      return;
    default:
      return;
  }
}

void SessionAudit::StepWrite(raft::Index index, const wire::Command& command) {
  const wire::SessionRef& ref = command.session();
  Verdict& verdict = verdicts_[index];
  if (!sessions_[ref.id()].alive) return;
  Session& session = sessions_[ref.id()];
  session.deadline_us = clock_us_ + session.ttl_us;
  session.acked_below = std::max<std::uint64_t>(session.acked_below, ref.acked_below());
  if (ref.seq() < session.acked_below) return;
  const auto [executed, first] = session.executed.emplace(ref.seq(), index);
  verdict = {first, executed->second};
  if (first) Execute(ref.id(), session, command);
}

// The commands of session_clients.cc, and no others.
void SessionAudit::Execute(std::uint64_t id, Session& session, const wire::Command& command) {
  const std::string entry = std::to_string(command.session().seq()) + ",";
  switch (command.operation_case()) {
    case wire::Command::kIncrement:
      ++session.count;
      return;
    case wire::Command::kAppend:
      session.appended += entry;
      return;
    case wire::Command::kTransaction:
      session.appended += entry;
      if (session.count > 0) ++session.count;
      return;
    case wire::Command::kPut:
      attached_[command.put().key()] = command.put().attach() ? id : 0;
      return;
    default:
      Violate("audit-knows-all-commands", "one of session " + std::to_string(id));
  }
}

void SessionAudit::End(std::uint64_t id) {
  sessions_[id].alive = false;
  std::erase_if(attached_, [id](const auto& key) { return key.second == id; });
}

// No promise rests on the cluster clock: it is about true time, from when the client spoke.
void SessionAudit::CheckNotEarly(const Invariants& log, std::uint64_t id, raft::Index end) const {
  const auto kept = kept_.find(id);
  if (kept == kept_.end()) return;
  const SimTime ttl{static_cast<std::int64_t>(sessions_.at(id).ttl_us)};
  for (const auto& [index, sent] : kept->second) {
    if (index > end || log.CommittedBy(sent + ttl - SimTime{1}) < end) continue;
    Violate("sessions-never-end-early",
            "session " + std::to_string(id) + " was kept at " + std::to_string(sent.count()) +
                " us for " + std::to_string(ttl.count()) + " us, and its end at index " +
                std::to_string(end) + " was committed before that");
  }
}

void SessionAudit::CheckReply(const Reply& reply) const {
  const storage::Applied& applied = reply.applied;
  const auto found = verdicts_.find(applied.index);
  if (found == verdicts_.end()) {
    Violate("answers-are-committed", Name(reply.session, reply.seq) +
                                         " was answered as applied at " +
                                         std::to_string(applied.index) + ", where it is not");
  }
  const Verdict& verdict = found->second;
  const bool refused = applied.outcome == storage::Outcome::kSessionExpired ||
                       applied.outcome == storage::Outcome::kSessionSeqGone;
  const bool right = verdict.of == 0 ? refused
                                     : !refused && applied.repeated != verdict.executed &&
                                           applied.executed.index == verdict.of;
  if (right) return;
  Violate("exactly-once",
          Name(reply.session, reply.seq) + " at " + std::to_string(applied.index) +
              (verdict.of == 0 ? " was not to be executed"
                               : " was to be executed at " + std::to_string(verdict.of)) +
              ", and was answered as outcome " + std::to_string(static_cast<int>(applied.outcome)) +
              " of " + std::to_string(applied.executed.index) +
              (applied.repeated ? ", repeated" : ""));
}

void SessionAudit::CheckState(const ModelState& state) const {
  std::map<std::string, std::string> expected;
  for (const auto& [id, session] : sessions_) {
    if (!session.appended.empty()) expected[LogKey(id)] = session.appended;
    if (session.count > 0) expected[CountKey(id)] = std::to_string(session.count);
  }
  std::map<std::string, std::string> present;
  std::map<std::string, std::uint64_t> attached;
  for (const auto& [key, record] : state.data) {
    if (key.starts_with(kAttachedPrefix)) {
      attached[key] = record.owner;
    } else if (key.starts_with(kSessionPrefix)) {
      present[key] = record.value;
    }
  }
  if (attached != attached_) {
    Violate("attached-keys-go-and-only-they", std::to_string(attached.size()) +
                                                  " keys are left that were attached once, and " +
                                                  std::to_string(attached_.size()) + " should be");
  }
  for (const auto& [key, value] : expected) {
    if (present[key] == value) continue;
    Violate("exactly-once", key + " holds '" + present[key] + "', and not '" + value + "'");
  }
  if (present.size() != expected.size()) Violate("exactly-once", "a key that nobody wrote");
}

}  // namespace quorate::sim
