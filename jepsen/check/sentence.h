// Words for people.
#pragma once

#include <chrono>
#include <string>

#include "jepsen/check/history.h"

namespace quorate::check {

// "read #812 on node 3", "write #790".
std::string Called(const History& history, const Operation& operation);
// "read #812 by client 3 returned 7", "write #9 of 4 by client 2".
std::string Describe(const History& history, const Operation& operation);
// "1.93 s", "0.20 s", "310 us".
std::string Duration(Time microseconds);
// A key as it was written, without quotes.
std::string PlainText(const ValueTable& values, Value value);

double MillisecondsSince(std::chrono::steady_clock::time_point begun);

}  // namespace quorate::check
