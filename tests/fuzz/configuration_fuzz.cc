// Configurations, as they lie in log entries and segment headers.
#include "raft/assert.h"
#include "raft/configuration.h"
#include "raft/format.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {

void RunOne(std::string_view input) {
  const auto configuration = raft::Configuration::Decode(input);
  if (!configuration) return;
  QUORATE_ASSERT(configuration->Encode() == input, "a configuration has one form");
  (void)raft::ToString(*configuration);
  (void)configuration->AllMembersMet();
  for (const raft::Member& member : configuration->members) {
    QUORATE_ASSERT(configuration->Find(member.id) != nullptr, "members are found by their id");
  }
  for (const raft::NodeId voter : configuration->voters.All()) {
    QUORATE_ASSERT(configuration->IsVoter(voter), "every voter counts as one");
  }
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds{raft::Configuration().Encode()};
  raft::Configuration configuration = raft::Configuration::Bootstrap(
      {{1, {}, "127.0.0.1:7101"}, {2, {}, "127.0.0.1:7102"}, {3, {}, "127.0.0.1:7103"}});
  seeds.push_back(configuration.Encode());
  configuration.incarnation = 0x1122334455667788;
  configuration.members[0].uuid = {1, 2};
  configuration.members.push_back({4, {3, 4}, ""});
  configuration.voters.outgoing = {1, 2};
  configuration.learners = {4};
  configuration.established = true;
  seeds.push_back(configuration.Encode());
  return seeds;
}

}  // namespace quorate::fuzz
