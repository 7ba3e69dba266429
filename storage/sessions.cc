#include "storage/sessions.h"

#include <algorithm>
#include <array>
#include <utility>

#include "client/proto/frame.h"
#include "raft/assert.h"
#include "storage/little_endian.h"
#include "storage/varint.h"

namespace quorate::storage {
namespace {

constexpr std::string_view kAttached = "session/attached/";
constexpr std::string_view kClock = Sessions::RowsBegin();
constexpr std::string_view kHead = "session/head/";
constexpr std::string_view kResult = "session/result/";
// Results up to this many bytes lie in the session's own row.
constexpr std::size_t kShortResult = 64;
// What an answer takes besides its result, about.
constexpr std::size_t kAnswerOverhead = 96;

std::string EncodeTtl(std::uint64_t ttl_us) {
  wire::WriteResult result;
  result.set_ttl_us(ttl_us);
  return result.SerializeAsString();
}

void AppendId(std::string& out, std::uint64_t id) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(id >> shift));
}

// Takes what AppendId() has put from the front of `in`.
std::optional<std::uint64_t> TakeId(std::string_view& in) {
  if (in.size() < 8) return std::nullopt;
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < 8; ++i) id = (id << 8) | static_cast<unsigned char>(in[i]);
  in.remove_prefix(8);
  return id;
}

std::string Name(std::string_view kind, std::uint64_t id) {
  std::string name(kind);
  AppendId(name, id);
  return name;
}

std::string ResultName(std::uint64_t id, std::uint64_t seq) {
  std::string name = Name(kResult, id);
  AppendId(name, seq);
  return name;
}

std::uint64_t SaturatingAdd(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? ~std::uint64_t{0} : sum;
}

std::size_t BytesOf(const SessionAnswer& answer) {
  return answer.result.size() + kAnswerOverhead;
}

void AppendAnswer(std::string& out, std::uint64_t seq, const SessionAnswer& answer) {
  AppendVarint(out, seq);
  AppendVarint(out, answer.executed.index);
  AppendVarint(out, answer.executed.term);
  AppendVarint(out, static_cast<std::uint64_t>(answer.outcome) << 1 | (answer.found ? 1 : 0));
  AppendVarint(out, answer.have);
  AppendVarint(out, answer.result.size());
  if (answer.result.size() <= kShortResult) out += answer.result;
}

std::string EncodeHead(const Session& session) {
  std::string out;
  out.reserve(48 + session.answers.size() * 16);
  for (const std::uint64_t number :
       {session.ttl_us, session.deadline_us, session.acked_below, session.last_seq,
        std::uint64_t{session.ended ? 1U : 0U}, std::uint64_t{session.answers.size()}}) {
    AppendVarint(out, number);
  }
  for (const auto& [seq, answer] : session.answers) AppendAnswer(out, seq, answer);
  return out;
}

template <std::size_t count>
bool TakeNumbers(std::string_view& in, std::array<std::uint64_t, count>& numbers) {
  for (std::uint64_t& number : numbers) {
    const auto taken = TakeVarint(in);
    if (!taken) return false;
    number = *taken;
  }
  return true;
}

bool TakeAnswer(std::string_view& in, Session& session) {
  std::array<std::uint64_t, 6> numbers{};
  if (!TakeNumbers(in, numbers)) return false;
  const auto [seq, index, term, outcome, have, bytes] = numbers;
  if ((outcome >> 1) > static_cast<std::uint64_t>(Outcome::kTooManySessions)) return false;
  SessionAnswer answer{
      {index, term}, static_cast<Outcome>(outcome >> 1), outcome % 2 == 1, have, {}};
  if (bytes <= kShortResult) {
    if (in.size() < bytes) return false;
    answer.result = in.substr(0, bytes);
    in.remove_prefix(bytes);
  }
  session.answer_bytes += BytesOf(answer);
  return session.answers.emplace(seq, std::move(answer)).second;
}

std::optional<Session> DecodeHead(std::string_view in) {
  std::array<std::uint64_t, 6> numbers{};
  if (!TakeNumbers(in, numbers)) return std::nullopt;
  const auto [ttl, deadline, acked_below, last_seq, ended, answers] = numbers;
  Session session;
  session.ttl_us = ttl;
  session.deadline_us = deadline;
  session.acked_below = acked_below;
  session.last_seq = last_seq;
  session.ended = ended != 0;
  for (std::uint64_t left = answers; left > 0; --left) {
    if (!TakeAnswer(in, session)) return std::nullopt;
  }
  return in.empty() ? std::optional(std::move(session)) : std::nullopt;
}

}  // namespace

// ---- Rows ----

std::string Sessions::AttachedRow(std::uint64_t id, std::string_view key) {
  return Name(kAttached, id).append(key);
}

Status Sessions::RemoveRow(std::string_view row, KeySpace& keys) {
  if (row.starts_with(kAttached)) {
    std::string_view key = row.substr(kAttached.size());
    if (const auto id = TakeId(key)) {
      const Result<std::optional<Record>> record = keys.Get(key);
      if (!record) return Forward(record);
      if (*record && (*record)->owner == *id) keys.Delete(key);
    }
  }
  keys.DeleteRow(row);
  return {};
}

void Sessions::Clear() {
  table_.clear();
  open_ = clock_us_ = answer_bytes_ = 0;
  touched_.clear();
  clock_moved_ = false;
}

bool Sessions::LoadRow(std::string_view name, std::string_view value) {
  if (name == kClock) {
    if (value.size() != sizeof(clock_us_)) return false;
    clock_us_ = LoadInt<std::uint64_t>(value);
    return true;
  }
  const bool head = name.starts_with(kHead);
  if (!head && !name.starts_with(kResult)) return false;
  name.remove_prefix(head ? kHead.size() : kResult.size());
  const auto id = TakeId(name);
  if (!id) return false;
  if (head) {
    std::optional<Session> session = DecodeHead(value);
    if (!session || !name.empty()) return false;
    open_ += session->ended ? 0 : 1;
    answer_bytes_ += session->answer_bytes;
    return table_.emplace(*id, std::move(*session)).second;
  }
  const auto seq = TakeId(name);
  const auto session = table_.find(*id);
  if (!seq || !name.empty() || session == table_.end()) return false;
  const auto answer = session->second.answers.find(*seq);
  if (answer == session->second.answers.end() || !answer->second.result.empty()) return false;
  answer->second.result = value;
  session->second.answer_bytes += value.size();
  answer_bytes_ += value.size();
  return true;
}

void Sessions::WriteRows(KeySpace& rows) {
  if (std::exchange(clock_moved_, false)) {
    std::string value;
    AppendInt(value, clock_us_);
    rows.PutRow(kClock, value);
  }
  if (touched_.empty()) return;
  std::sort(touched_.begin(), touched_.end());
  touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
  for (const std::uint64_t id : touched_) {
    const auto session = table_.find(id);
    if (session == table_.end()) {
      rows.DeleteRow(Name(kHead, id));
    } else {
      rows.PutRow(Name(kHead, id), EncodeHead(session->second));
    }
  }
  touched_.clear();
}

std::vector<std::uint64_t> Sessions::Due(std::uint64_t clock_us, std::size_t max) const {
  std::vector<std::uint64_t> due;
  for (const auto& [id, session] : table_) {
    if (session.ended || session.deadline_us <= clock_us) due.push_back(id);
  }
  std::sort(due.begin(), due.end());  // the oldest first, and not as the table happens to lie
  if (due.size() > max) due.resize(max);
  return due;
}

// ---- The commands of a session ----

void Sessions::AdvanceClock(std::uint64_t stamp_us) {
  if (stamp_us <= clock_us_) return;
  clock_us_ = stamp_us;
  clock_moved_ = true;
}

Session* Sessions::FindOpen(std::uint64_t id) {
  const auto it = table_.find(id);
  return it == table_.end() || it->second.ended ? nullptr : &it->second;
}

void Sessions::Touch(std::uint64_t id, Session& session) {
  session.deadline_us = SaturatingAdd(clock_us_, session.ttl_us);
  if (touched_.empty() || touched_.back() != id) touched_.push_back(id);
}

void Sessions::Refuse(Applied& applied, Outcome outcome, std::uint64_t have) const {
  applied.outcome = outcome;
  applied.have = have;
}

void Sessions::Forget(std::uint64_t id, std::uint64_t seq, const SessionAnswer& answer,
                      Session& session, KeySpace& rows) {
  session.answer_bytes -= BytesOf(answer);
  answer_bytes_ -= BytesOf(answer);
  if (answer.result.size() > kShortResult) rows.DeleteRow(ResultName(id, seq));
}

void Sessions::Acknowledge(std::uint64_t id, Session& session, std::uint64_t below,
                           KeySpace& rows) {
  if (below <= session.acked_below) return;
  session.acked_below = below;
  const auto end = session.answers.lower_bound(below);
  for (auto it = session.answers.begin(); it != end; ++it) {
    Forget(id, it->first, it->second, session, rows);
  }
  session.answers.erase(session.answers.begin(), end);
}

bool Sessions::TooManyPending(const Session& session, Applied& applied) const {
  if (session.answers.size() >= wire::kMaxSessionPending) {
    Refuse(applied, Outcome::kTooManyPending, session.answers.size());
    return true;
  }
  if (session.answer_bytes >= kMaxSessionAnswerBytes || answer_bytes_ >= kMaxAllAnswerBytes) {
    Refuse(applied, Outcome::kTooManyPending, session.answer_bytes);
    return true;
  }
  return false;
}

bool Sessions::Admit(const wire::SessionRef& ref, KeySpace& rows, Applied& applied) {
  if (ref.seq() == 0 || ref.acked_below() > ref.seq()) {
    Refuse(applied, Outcome::kRejected);
    return false;
  }
  Session* session = FindOpen(ref.id());
  if (session == nullptr) {
    Refuse(applied, Outcome::kSessionExpired);
    return false;
  }
  Touch(ref.id(), *session);
  Acknowledge(ref.id(), *session, ref.acked_below(), rows);
  if (ref.seq() < session->acked_below) {
    Refuse(applied, Outcome::kSessionSeqGone, session->acked_below);
    return false;
  }
  const auto kept = session->answers.find(ref.seq());
  if (kept != session->answers.end() && !raft::Broken(control_, raft::Control::kNoDedupe)) {
    const SessionAnswer& answer = kept->second;
    applied.repeated = true;
    applied.executed = answer.executed;
    applied.outcome = answer.outcome;
    applied.found = answer.found;
    applied.have = answer.have;
    applied.result = answer.result;
    return false;
  }
  if (raft::Broken(control_, raft::Control::kDedupeByHighestSeq) &&
      ref.seq() <= session->last_seq) {
    applied.repeated = true;  // it was not: a retried 1 after 2
    return false;
  }
  if (ref.ordered() && ref.seq() != session->last_seq + 1) {
    Refuse(applied, Outcome::kOutOfOrder, session->last_seq);
    return false;
  }
  return !TooManyPending(*session, applied);
}

void Sessions::Keep(const wire::SessionRef& ref, KeySpace& rows, const Applied& applied) {
  Session* session = FindOpen(ref.id());
  if (session == nullptr) return;
  SessionAnswer answer{applied.executed, applied.outcome, applied.found, applied.have,
                       applied.result};
  session->last_seq = std::max(session->last_seq, ref.seq());
  session->answer_bytes += BytesOf(answer);
  answer_bytes_ += BytesOf(answer);
  if (answer.result.size() > kShortResult) {
    rows.PutRow(ResultName(ref.id(), ref.seq()), answer.result);
  }
  const bool first = session->answers.insert_or_assign(ref.seq(), std::move(answer)).second;
  QUORATE_ASSERT(first || raft::Broken(control_, raft::Control::kNoDedupe),
                 "of one session, no seq is executed twice");
}

// ---- Open, keep, close, end ----

Status Sessions::Execute(const wire::Command& command, KeySpace& keys, Applied& applied) {
  std::size_t budget = kMaxEndedKeys;
  switch (command.operation_case()) {
    case wire::Command::kOpenSession:
      Open(command.open_session(), applied);
      return {};
    case wire::Command::kKeepSession: {
      const std::uint64_t id = command.keep_session().id();
      Session* session = FindOpen(id);
      if (session == nullptr) {
        Refuse(applied, Outcome::kSessionExpired);
        return {};
      }
      Touch(id, *session);
      applied.result = EncodeTtl(session->ttl_us);
      return {};
    }
    case wire::Command::kCloseSession: {
      const std::uint64_t id = command.close_session().id();
      if (FindOpen(id) != nullptr) return End(id, keys, budget);
      Refuse(applied, Outcome::kSessionExpired);
      return {};
    }
    case wire::Command::kEndSessions:
      for (const std::uint64_t id : command.end_sessions().id()) {
        const auto it = table_.find(id);
        if (it == table_.end()) continue;
        if (!it->second.ended && it->second.deadline_us > clock_us_) continue;  // kept meanwhile
        QUORATE_RETURN_IF_ERROR(End(id, keys, budget));
        if (budget == 0) break;
      }
      return {};
    default:
      Refuse(applied, Outcome::kRejected);
      return {};
  }
}

void Sessions::Open(const wire::OpenSession& command, Applied& applied) {
  if (command.ttl_us() < wire::kMinSessionTtlUs || command.ttl_us() > wire::kMaxSessionTtlUs) {
    return Refuse(applied, Outcome::kRejected);
  }
  if (table_.size() >= wire::kMaxSessions) {
    return Refuse(applied, Outcome::kTooManySessions, table_.size());
  }
  Session session;
  session.ttl_us = command.ttl_us();
  Touch(applied.index, session);
  table_.emplace(applied.index, std::move(session));
  ++open_;
  applied.result = EncodeTtl(command.ttl_us());
}

Status Sessions::End(std::uint64_t id, KeySpace& keys, std::size_t& budget) {
  Session& session = table_.find(id)->second;
  if (!std::exchange(session.ended, true)) {
    --open_;
    Acknowledge(id, session, ~std::uint64_t{0}, keys);
  }
  touched_.push_back(id);
  const Result<std::vector<std::string>> rows = keys.RowNames(AttachedRow(id, {}), budget);
  if (!rows) return Forward(rows);
  for (const std::string& row : *rows) QUORATE_RETURN_IF_ERROR(RemoveRow(row, keys));
  const bool done = rows->size() < budget;
  budget -= rows->size();
  if (!done) return {};
  --budget;  // the session counts as well: many without keys are as much work
  table_.erase(id);
  return {};
}

}  // namespace quorate::storage
