// What tests of the client library share.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/fake_node.h"

namespace quorate::testing {

inline Options At(std::vector<std::string> endpoints) {
  Options options;
  options.endpoints = std::move(endpoints);
  return options;
}

class Stopwatch {
 public:
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start_);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline Script Refuse(wire::Code code) {
  return
      [code](FakeSession& session, const FakeRequest& request) { session.Refuse(request, code); };
}

// A successful reply of a node whose state is `age_us` old at most, by an anchor.
inline wire::ReplyHeader Aged(std::uint64_t node, std::uint64_t index, std::uint64_t age_us) {
  wire::ReplyHeader header = Success(node, index);
  header.mutable_certificate()->set_age_us(age_us);
  header.mutable_certificate()->set_basis(wire::ANCHOR);
  return header;
}

inline Script Answer(const wire::ReplyHeader& header) {
  return [header](FakeSession& session, const FakeRequest& request) {
    session.Reply(request, header);
  };
}

inline Script Stale(std::uint64_t age_us) {
  return [age_us](FakeSession& session, const FakeRequest& request) {
    wire::ReplyHeader header;
    header.mutable_error()->set_code(wire::STALE);
    header.mutable_error()->set_message("too old");
    header.mutable_error()->set_age_us(age_us);
    header.mutable_error()->set_because(wire::NO_LEADER);
    session.Reply(request, header);
  };
}

inline void Silence(FakeSession& /*session*/, const FakeRequest& /*request*/) {}

}  // namespace quorate::testing
