#include "raft/configuration.h"

#include <algorithm>

namespace quorate::raft {
namespace {

constexpr std::uint8_t kEncodingVersion = 1;
constexpr std::uint32_t kMaxListed = 1024;  // members, voters, learners: far above any real group
constexpr std::uint32_t kMaxAddressBytes = 1024;

template <typename T>
void Put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
}

void PutIds(std::string& out, const std::vector<NodeId>& ids) {
  Put(out, static_cast<std::uint32_t>(ids.size()));
  for (NodeId id : ids) Put(out, id);
}

// Takes fields off the front; after the first short or oversized one everything reads as zero and
// ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}

  template <typename T>
  T Take() {
    if (data_.size() < sizeof(T)) return Fail<T>();
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(data_[i])) << (8 * i);
    }
    data_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }

  std::string TakeString() {
    const auto size = Take<std::uint32_t>();
    if (size > kMaxAddressBytes || size > data_.size()) return Fail<std::string>();
    std::string value(data_.substr(0, size));
    data_.remove_prefix(size);
    return value;
  }

  std::uint32_t TakeCount() {
    const auto count = Take<std::uint32_t>();
    return count > kMaxListed ? Fail<std::uint32_t>() : count;
  }

  std::vector<NodeId> TakeIds() {
    std::vector<NodeId> ids(TakeCount());
    for (NodeId& id : ids) id = Take<NodeId>();
    return ids;
  }

  bool done() const { return ok_ && data_.empty(); }

 private:
  template <typename T>
  T Fail() {
    ok_ = false;
    data_ = {};
    return T{};
  }

  std::string_view data_;
  bool ok_ = true;
};

}  // namespace

const Member* Configuration::Find(NodeId id) const {
  const auto it =
      std::find_if(members.begin(), members.end(), [id](const Member& m) { return m.id == id; });
  return it == members.end() ? nullptr : &*it;
}

bool Configuration::AllMembersMet() const {
  return std::none_of(members.begin(), members.end(),
                      [](const Member& m) { return m.uuid.empty(); });
}

std::string Configuration::Encode() const {
  std::string out;
  Put(out, kEncodingVersion);
  Put(out, incarnation);
  Put(out, feature_version);
  Put(out, static_cast<std::uint32_t>(members.size()));
  for (const Member& member : members) {
    Put(out, member.id);
    Put(out, member.uuid.high);
    Put(out, member.uuid.low);
    Put(out, static_cast<std::uint32_t>(member.address.size()));
    out += member.address;
  }
  PutIds(out, voters.incoming);
  PutIds(out, voters.outgoing);
  PutIds(out, learners);
  Put(out, static_cast<std::uint8_t>(established));
  return out;
}

std::optional<Configuration> Configuration::Decode(std::string_view data) {
  Reader in(data);
  if (in.Take<std::uint8_t>() != kEncodingVersion) return std::nullopt;
  Configuration configuration;
  configuration.incarnation = in.Take<std::uint64_t>();
  configuration.feature_version = in.Take<std::uint32_t>();
  configuration.members.resize(in.TakeCount());
  for (Member& member : configuration.members) {
    member.id = in.Take<NodeId>();
    member.uuid.high = in.Take<std::uint64_t>();
    member.uuid.low = in.Take<std::uint64_t>();
    member.address = in.TakeString();
  }
  configuration.voters.incoming = in.TakeIds();
  configuration.voters.outgoing = in.TakeIds();
  configuration.learners = in.TakeIds();
  const auto established = in.Take<std::uint8_t>();
  if (!in.done() || established > 1) return std::nullopt;
  configuration.established = established == 1;
  return configuration;
}

Configuration Configuration::Bootstrap(std::vector<Member> members) {
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  Configuration configuration;
  configuration.feature_version = 1;
  for (const Member& member : members) configuration.voters.incoming.push_back(member.id);
  configuration.members = std::move(members);
  return configuration;
}

}  // namespace quorate::raft
