#include "raft/quorum.h"

#include <algorithm>

namespace quorate::raft {
namespace {

bool Has(const std::vector<NodeId>& ids, NodeId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

std::size_t Majority(const std::vector<NodeId>& voters) {
  return voters.size() / 2 + 1;
}

VoteResult Tally(const std::vector<NodeId>& voters, const std::function<int(NodeId)>& answer) {
  std::size_t yes = 0;
  std::size_t open = 0;
  for (NodeId id : voters) {
    const int a = answer(id);
    if (a > 0) ++yes;
    if (a == 0) ++open;
  }
  if (yes >= Majority(voters)) return VoteResult::kWon;
  return yes + open >= Majority(voters) ? VoteResult::kPending : VoteResult::kLost;
}

std::uint64_t MajorityValue(const std::vector<NodeId>& voters,
                            const std::function<std::uint64_t(NodeId)>& value) {
  if (voters.empty()) return 0;
  std::vector<std::uint64_t> values;
  values.reserve(voters.size());
  for (NodeId id : voters) values.push_back(value(id));
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(Majority(voters) - 1);
  std::nth_element(values.begin(), nth, values.end(), std::greater<>());
  return *nth;
}

}  // namespace

bool VoterSet::Contains(NodeId id) const {
  return Has(incoming, id) || Has(outgoing, id);
}

bool VoterSet::IsSole(NodeId id) const {
  return All() == std::vector<NodeId>{id};
}

std::vector<NodeId> VoterSet::All() const {
  std::vector<NodeId> all = incoming;
  all.insert(all.end(), outgoing.begin(), outgoing.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

VoteResult TallyVotes(const VoterSet& voters, const std::function<int(NodeId)>& answer) {
  const VoteResult incoming = Tally(voters.incoming, answer);
  if (voters.outgoing.empty() || incoming == VoteResult::kLost) return incoming;
  const VoteResult outgoing = Tally(voters.outgoing, answer);
  if (outgoing == VoteResult::kLost) return outgoing;
  return incoming == VoteResult::kWon ? outgoing : incoming;
}

std::uint64_t QuorumValue(const VoterSet& voters,
                          const std::function<std::uint64_t(NodeId)>& value) {
  const std::uint64_t incoming = MajorityValue(voters.incoming, value);
  if (voters.outgoing.empty()) return incoming;
  return std::min(incoming, MajorityValue(voters.outgoing, value));
}

}  // namespace quorate::raft
