// Where checkers put what they find.
#pragma once

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "jepsen/check/index.h"
#include "jepsen/check/report.h"

namespace quorate::check {

class Findings {
 public:
  Findings(const History& history, std::size_t max_listed, Report& report)
      : history_(history), max_listed_(max_listed), report_(report) {}

  // A checker's row in the report, made when it is first asked for.
  CheckerResult& Row(std::string_view checker);

  // `sentence()` is only called for those that are listed. The first operation is the one to look
  // at; kNowhere is left out.
  template <typename Sentence>
  void Violated(std::string_view checker, std::initializer_list<Position> operations,
                const Sentence& sentence) {
    if (Listed(checker)) List(checker, operations, sentence());
  }

 private:
  bool Listed(std::string_view checker);
  void List(std::string_view checker, std::initializer_list<Position> operations,
            std::string sentence);

  const History& history_;
  std::size_t max_listed_;
  Report& report_;
};

// Adds the time of a scope to a checker's row.
class Timed {
 public:
  Timed(Findings& findings, std::string_view checker)
      : findings_(findings), checker_(checker), begun_(std::chrono::steady_clock::now()) {}
  ~Timed();
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  Findings& findings_;
  std::string_view checker_;
  std::chrono::steady_clock::time_point begun_;
};

}  // namespace quorate::check
