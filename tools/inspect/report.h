// What an inspection found: one JSON object, which is printed as it is or as text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "raft/configuration.h"
#include "raft/types.h"
#include "storage/result.h"

namespace quorate::inspect {

using Json = nlohmann::ordered_json;  // keys in the order they were added

class Report {
 public:
  Json& body() { return body_; }

  void AddDamage(const std::string& where, const std::string& what);
  void AddDamage(const std::string& where, const storage::Error& error) {
    AddDamage(where, error.message);
  }
  bool damaged() const { return !damage_.empty(); }

  // The body, and last the damage if there is any.
  Json ToJson() const;

 private:
  Json body_;
  Json damage_ = Json::array();
};

// Objects as lines "name: value", lists of objects as tables; nothing that could disturb a
// terminal.
std::string ToText(const Json& json);

Json ToJson(raft::Position position);
Json ToJson(const raft::HardState& state);
Json ToJson(const raft::Configuration& configuration);
// As people write identifiers: 16 digits for each 64 bits.
std::string Hex(std::uint64_t value);
std::string Hex(raft::Uuid uuid);
// Bytes that may be anything, escaped as `quorate scan` does, at most `max_bytes` of them.
std::string Abbreviate(std::string_view bytes, std::size_t max_bytes);

}  // namespace quorate::inspect
