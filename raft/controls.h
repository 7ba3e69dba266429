// Known bugs of real systems that a control build can bring back, so that the checkers are seen to
// catch them (D10). In every other build Broken() is the constant false and the bugs do not exist
// in the binary.
#pragma once

namespace quorate::raft {

enum class Control {
  kNone,
  kAckBeforeSync,       // entries count as durable, and are acknowledged, before the disk has them
  kVoteNotPersisted,    // a vote is sent before it is durable
  kReadBeforeNoop,      // the leader serves reads before an entry of its term has committed (etcd
                        // #7331)
  kUnconfirmedRead,     // the leader serves strong reads although no quorum has confirmed that it
                        // leads
  kInFlightRoundAck,    // acks of a round already in flight confirm a read
  kUnverifiedCommit,    // a heartbeat's commit index is believed beyond the verified prefix
  kTokenByPosition,     // durability is reported by (term, index) alone (ClickHouse Keeper #102629)
  kCutUnflushed,        // the log is cut up to the applied index, not the flushed one
  kApplyUndurable,      // committed entries are applied before this node's own log has them
  kInstallNotAtomic,    // a snapshot's database becomes current before it is whole and checked
  kOldSnapshot,         // a snapshot older than the committed log is installed all the same
  kTrustPageCache,      // opening the log believes what the page cache shows to be on the disk
  kAnchorAnyTerm,       // anchors without the own-term test
  kAnchorShortQuorum,   // anchors with one acknowledgement of the quorum too few
  kAnchorLateClocks,    // anchors with the clocks of their round's confirmation, not of its start
  kAnchorUnapplied,     // an anchor bounds the age of a state that has not applied its index
  kLastContact,         // the bound is the time since the leader was last heard (Consul, rqlite)
  kWrongErrorClass,     // a write whose fate is open is reported as not executed when leadership is
                        // lost (RedisRaft #23)
  kNoDedupe,            // a retried write of a session is executed again (RedisRaft #13)
  kDedupeByHighestSeq,  // a session's writes up to the last seq count as executed
  kSessionExpiresEarly,  // the leader's stamps run ahead of time
};

#ifdef QUORATE_CONTROLS
inline bool Broken(Control active, Control bug) {
  return active == bug;
}
#else
constexpr bool Broken(Control, Control) {
  return false;
}
#endif

}  // namespace quorate::raft
