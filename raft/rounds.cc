#include "raft/rounds.h"

#include <utility>

namespace quorate::raft {

Round& Rounds::Start(Time now, Index commit, bool own_term, bool take_reads) {
  std::vector<WaitingRead> reads;
  if (in_flight.size() == kMaxInFlight) {
    // Whatever confirms a later round would have confirmed the last one: its reads may wait for the
    // new one without harm. The oldest stay, since their answers are about to come.
    reads = std::move(in_flight.back().reads);
    in_flight.pop_back();
  }
  if (take_reads) {
    for (WaitingRead& read : waiting) {
      read.index = commit;
      reads.push_back(read);
    }
    waiting.clear();
  }
  in_flight.push_back({.number = ++last_number,
                       .started = now,
                       .commit = commit,
                       .own_term = own_term,
                       .clocks = {},
                       .reads = std::move(reads)});
  return in_flight.back();
}

std::vector<Round> Rounds::Confirm(std::uint64_t number) {
  std::vector<Round> confirmed;
  while (!in_flight.empty() && in_flight.front().number <= number) {
    confirmed.push_back(std::move(in_flight.front()));
    in_flight.pop_front();
    last_confirmed = confirmed.back().started;
  }
  return confirmed;
}

}  // namespace quorate::raft
