#include "src/session_keeper.h"

#include <algorithm>

#include "client/proto/wire.pb.h"
#include "storage/little_endian.h"

namespace quorate::server {
namespace {

// The local clock's rate error, in parts per thousand (D3: rho = 1e-3).
constexpr std::int64_t kClockErrorPerMille = 1;
// Of protobuf's encoding: eight bytes follow.
constexpr char kStampTag = wire::Command::kStampUsFieldNumber << 3 | 1;

}  // namespace

void SessionKeeper::Lead(raft::Term term, std::uint64_t clock_us, raft::Time now) {
  if (term == term_) return;
  term_ = term;
  base_us_ = clock_us;
  base_at_ = now;
  next_look_ = now;
  busy_ = more_ = false;
}

std::uint64_t SessionKeeper::Stamp(raft::Term term, raft::Time now) const {
  if (term == 0 || term != term_) return 0;
  std::int64_t elapsed = std::max<std::int64_t>((now - base_at_).count(), 0);
  elapsed -= (elapsed * kClockErrorPerMille + 999) / 1000;  // it rounds down: never early
  if (raft::Broken(control_, raft::Control::kSessionExpiresEarly)) elapsed *= 2;
  return base_us_ + static_cast<std::uint64_t>(elapsed);
}

bool SessionKeeper::Look(raft::Term term, const storage::SessionStats& stats, raft::Time now) {
  if (term == 0 || term != term_) {
    next_look_ = raft::Time::max();
    return false;
  }
  next_look_ = now + kLookEvery;
  if (busy_ || stats.open + stats.ending == 0) return false;
  busy_ = true;
  return true;
}

std::optional<Bytes> SessionKeeper::Propose(raft::Term term, const std::vector<std::uint64_t>& due,
                                            const storage::SessionStats& stats, raft::Time now) {
  if (term != term_) return std::nullopt;  // Lead() has set busy_ anew, or nobody asks any more
  const std::uint64_t stamp = Stamp(term, now);
  const bool silent = stamp >= stats.clock_us + static_cast<std::uint64_t>(kStampEvery.count());
  busy_ = !due.empty() || silent;
  if (!busy_) return std::nullopt;
  more_ = due.size() == kMaxNamed;
  wire::Command command;
  command.mutable_end_sessions()->mutable_id()->Assign(due.begin(), due.end());
  command.set_stamp_us(stamp);
  return Bytes::Copy(command.SerializeAsString());
}

void SessionKeeper::Proposed(bool executed, const storage::SessionStats& stats, raft::Time now) {
  busy_ = false;
  if (executed && (more_ || stats.ending > 0)) next_look_ = now;
}

std::string EncodeStamp(std::uint64_t stamp_us) {
  std::string field;
  if (stamp_us == 0) return field;
  field.push_back(kStampTag);
  storage::AppendInt(field, stamp_us);
  return field;
}

}  // namespace quorate::server
