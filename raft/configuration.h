// Who takes part in the group. It lives in the log from the first entry on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raft/quorum.h"
#include "raft/types.h"

namespace quorate::raft {

struct Member {
  NodeId id = kNoNode;
  Uuid uuid;            // empty until a leader has met the member and recorded it
  std::string address;  // host:port for peers; opaque to the core

  friend bool operator==(const Member&, const Member&) = default;
};

// A plain value. While `outgoing` is not empty the configuration is joint: every decision needs a
// majority of `incoming` and one of `outgoing` (thesis 4.3). Learners receive entries and count
// nowhere.
struct Configuration {
  std::uint64_t incarnation = 0;      // drawn by the first leader; a restored backup gets another
  std::uint32_t feature_version = 0;  // the oldest feature set that every member must understand
  std::vector<Member> members;        // everyone named below, ordered by id
  VoterSet voters;                    // incoming and outgoing majorities
  std::vector<NodeId> learners;
  // Every member holds every uuid durably. Before that, a member whose log is still empty could
  // elect itself together with a wiped one, so the cluster does not call itself ready (D4).
  bool established = false;

  const Member* Find(NodeId id) const;
  bool IsVoter(NodeId id) const { return voters.Contains(id); }
  // True once every member's uuid is on record.
  bool AllMembersMet() const;

  // Little-endian, versioned; the form in a kConfiguration entry and in the log's segment headers.
  std::string Encode() const;
  // Nothing if `data` is not exactly one encoded configuration.
  static std::optional<Configuration> Decode(std::string_view data);

  // The configuration of a new cluster: all members vote, none is met, no incarnation.
  static Configuration Bootstrap(std::vector<Member> members);

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

}  // namespace quorate::raft
