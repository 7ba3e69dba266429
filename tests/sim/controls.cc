#include "tests/sim/controls.h"

#include <algorithm>
#include <array>

namespace quorate::sim {
namespace {

using raft::Control;

constexpr std::array kControls = {
    ControlCase{"ack-before-sync", "entries count as durable before the disk has them",
                Control::kAckBeforeSync, WorldControl::kNone, Profile::kGeneral, 20},
    ControlCase{"vote-not-persisted", "a vote is sent before it is durable",
                Control::kVoteNotPersisted, WorldControl::kNone, Profile::kGeneral, 20},
    ControlCase{"read-before-noop",
                "a leader serves reads before an entry of its term has committed",
                Control::kReadBeforeNoop, WorldControl::kNone, Profile::kLeaderChanges, 100},
    ControlCase{"in-flight-round-ack", "acks of a round already in flight confirm a read",
                Control::kInFlightRoundAck, WorldControl::kNone, Profile::kLeaderChanges, 100},
    ControlCase{"unverified-commit",
                "a heartbeat's commit index is believed beyond the verified prefix",
                Control::kUnverifiedCommit, WorldControl::kNone, Profile::kReordering, 100},
    ControlCase{"token-by-position", "durability is reported by (term, index) alone",
                Control::kTokenByPosition, WorldControl::kNone, Profile::kSlowTails, 200},
    ControlCase{"no-dedupe", "a retried write of a session is executed again", Control::kNoDedupe,
                WorldControl::kNone, Profile::kGeneral, 20},
    ControlCase{"dedupe-by-highest-seq", "a session's writes up to the last seq count as executed",
                Control::kDedupeByHighestSeq, WorldControl::kNone, Profile::kGeneral, 20},
    ControlCase{"session-expires-early", "the leader's stamps run ahead of time",
                Control::kSessionExpiresEarly, WorldControl::kNone, Profile::kGeneral, 50},
    ControlCase{"wrong-error-class",
                "a write whose fate is open is reported as not executed when leadership is lost",
                Control::kWrongErrorClass, WorldControl::kNone, Profile::kLeaderChanges, 50},
    ControlCase{"cut-unflushed", "the log is cut up to the applied index, not the flushed one",
                Control::kCutUnflushed, WorldControl::kNone, Profile::kSnapshots, 20},
    ControlCase{"apply-undurable",
                "committed entries are applied before this node's own log has them",
                Control::kApplyUndurable, WorldControl::kNone, Profile::kGeneral, 50},
    ControlCase{"install-not-atomic",
                "a snapshot becomes the database before it is synced and checked",
                Control::kInstallNotAtomic, WorldControl::kNone, Profile::kSnapshots, 200},
    ControlCase{"old-snapshot", "a snapshot older than the committed log is installed all the same",
                Control::kOldSnapshot, WorldControl::kNone, Profile::kSnapshots, 200},
    ControlCase{"trust-page-cache",
                "opening the log believes what the page cache shows to be on the disk",
                Control::kTrustPageCache, WorldControl::kNone, Profile::kCrashes, 100},
    ControlCase{"anchor-any-term",
                "anchors although no entry of the leader's own term has committed",
                Control::kAnchorAnyTerm, WorldControl::kNone, Profile::kLeaderChanges, 100},
    ControlCase{"anchor-short-quorum", "anchors with one acknowledgement of the quorum too few",
                Control::kAnchorShortQuorum, WorldControl::kNone, Profile::kLeaderChanges, 20},
    ControlCase{"anchor-late-clocks", "anchors with clocks read after their round had started",
                Control::kAnchorLateClocks, WorldControl::kNone, Profile::kLeaderChanges, 100},
    ControlCase{"anchor-unapplied", "an anchor bounds the age of a state that has not applied it",
                Control::kAnchorUnapplied, WorldControl::kNone, Profile::kLeaderChanges, 20},
    ControlCase{"last-contact", "the bound is the time since the leader was last heard",
                Control::kLastContact, WorldControl::kNone, Profile::kLeaderChanges, 20},
    ControlCase{"wild-clocks",
                "the rates of clocks differ by a fifth (shows what breaks beyond rho)",
                Control::kNone, WorldControl::kWildClocks, Profile::kLeaderChanges, 20},
    ControlCase{"lying-disk", "the disk confirms syncs and does nothing (tests the crash checks)",
                Control::kNone, WorldControl::kLyingDisk, Profile::kGeneral, 20},
    ControlCase{"stale-read", "a strong read returns an older value (tests the history check)",
                Control::kNone, WorldControl::kStaleRead, Profile::kGeneral, 20},
    ControlCase{"needless-refusal",
                "bounded reads that could be served are refused (tests the audit of refusals)",
                Control::kNone, WorldControl::kNeedlessRefusal, Profile::kGeneral, 20},
    ControlCase{"forgotten-flush",
                "eventual reads after a restart are served unchecked (tests that check)",
                Control::kNone, WorldControl::kForgottenFlush, Profile::kGeneral, 100},
    ControlCase{"wiped-voter",
                "a replaced directory claims the uuid of the old one (tests that identity matters)",
                Control::kNone, WorldControl::kWipedVoter, Profile::kGeneral, 300},
};

}  // namespace

std::span<const ControlCase> AllControls() {
  return kControls;
}

const ControlCase* FindControl(std::string_view name) {
  const auto it = std::find_if(kControls.begin(), kControls.end(),
                               [name](const ControlCase& control) { return control.name == name; });
  return it == kControls.end() ? nullptr : &*it;
}

Plan MakePlan(std::uint64_t seed, const ControlCase& control) {
  Plan plan = MakePlan(seed, control.profile);
  plan.raft.control = control.control;
  plan.world_control = control.world_control;
  const auto favour = [&plan](Fault fault) {
    plan.faults.weights[static_cast<std::size_t>(fault)] = 10;
  };
  if (control.control == Control::kTrustPageCache) {
    plan.disk.forgets_unsynced = true;
    favour(Fault::kSyncError);
  }
  if (control.world_control == WorldControl::kWildClocks) plan.drift_ppm_max = 200'000;
  const bool bounds = control.world_control == WorldControl::kWildClocks ||
                      control.control == Control::kAnchorUnapplied ||
                      control.control == Control::kLastContact;
  if (bounds) plan.clients.weak_share = 0.8;
  const bool sessions = control.control == Control::kNoDedupe ||
                        control.control == Control::kDedupeByHighestSeq ||
                        control.control == Control::kSessionExpiresEarly;
  if (sessions) plan.clients.sessions = 3;
  if (control.world_control == WorldControl::kWipedVoter) {
    plan.nodes = 3;
    favour(Fault::kWipe);
    favour(Fault::kIsolate);
  }
  return plan;
}

}  // namespace quorate::sim
