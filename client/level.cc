#include "client/level.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "client/errors.h"
#include "client/proto/frame.h"
#include "client/seen.h"

namespace quorate {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

using internal::InvalidError;

constexpr std::size_t kMaxRungs = 8;
constexpr microseconds kMaxAge{wire::kMaxAgeUs};

// What "everything that two tokens of different histories have seen" becomes: nothing has it.
constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
constexpr Token kImpossible{
    .cluster_id = kNever, .incarnation = kNever, .term = kNever, .index = kNever};

int Strictness(OnUnmet what) {
  switch (what) {
    case OnUnmet::kRefuse:
      return 2;
    case OnUnmet::kWait:
      return 1;
    case OnUnmet::kServeAnyway:
      return 0;
  }
  return 0;
}

}  // namespace

Level operator&(const Level& a, const Level& b) {
  Level both = a;
  if (!a.max_age || (b.max_age && *b.max_age < *a.max_age)) both.max_age = b.max_age;
  // A lag is one part of a bound: what has no bound does not ask for a smaller one.
  if (a.bounded() && b.bounded()) {
    both.max_lag = std::min(a.max_lag, b.max_lag);
  } else {
    both.max_lag = a.bounded() ? a.max_lag : b.max_lag;
  }
  if (!both.bounded()) both.max_lag = 0;
  if (!a.token || (b.token && internal::SameHistory(*a.token, *b.token))) {
    both.token = a.token && b.token ? internal::Later(*a.token, *b.token) : b.token;
  } else if (b.token) {
    both.token = kImpossible;
  }
  if (Strictness(b.on_unmet) > Strictness(a.on_unmet)) both.on_unmet = b.on_unmet;
  return both;
}

namespace internal {

std::optional<std::string> Wrong(const Level& level) {
  if (level.max_age && level.max_age->count() < 0) return "a negative age; use 0 or more";
  if (level.max_age && *level.max_age > kMaxAge) {
    return "an age of more than a day; use an eventual read";
  }
  if (level.max_lag > 0 && !level.bounded()) {
    return "a lag without an age above 0: all but so many entries of what was committed when?";
  }
  if (level.token == kImpossible) {
    return "tokens of two different clusters, or of one before and after it was restored: nothing "
           "has seen both";
  }
  return std::nullopt;
}

bool Implies(const Level& level, const Level& weaker) {
  if (weaker.max_age) {
    if (!level.max_age || *level.max_age > *weaker.max_age) return false;
    if (level.max_lag > weaker.max_lag && !level.strong()) return false;
  }
  if (!weaker.token || !*weaker.token) return true;
  return level.token && SameHistory(*level.token, *weaker.token) &&
         level.token->index >= weaker.token->index;
}

std::optional<std::string> Wrong(const Sla& sla) {
  if (sla.empty() || sla.size() > kMaxRungs) {
    return std::to_string(sla.size()) + " steps; an SLA has 1 to " + std::to_string(kMaxRungs);
  }
  for (std::size_t i = 0; i < sla.size(); ++i) {
    const std::string step = "step " + std::to_string(i + 1) + " (" + ToString(sla[i].level) + ")";
    if (const auto wrong = Wrong(sla[i].level)) return step + ": " + *wrong;
    const bool last = i + 1 == sla.size();
    if (sla[i].within.count() < 0) return step + ": a negative time";
    if (sla[i].within.count() == 0 && !last) {
      return step +
             ": no time to try it in, as in strong@20ms; only the last step may take the rest";
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (sla[j].level.on_unmet == OnUnmet::kServeAnyway) {
        return step + " is never reached: step " + std::to_string(j + 1) + " serves anyway";
      }
      if (Implies(sla[i].level, sla[j].level)) {
        return step + " asks for all that step " + std::to_string(j + 1) + " (" +
               ToString(sla[j].level) + ") asks for: it could never be met";
      }
    }
  }
  return std::nullopt;
}

std::string_view KindOf(const Level& level) {
  if (level.strong()) return "strong";
  if (level.bounded()) return "bounded";
  return level.token && *level.token ? "session" : "eventual";
}

}  // namespace internal

// ---- As text ----

namespace {

struct Unit {
  std::string_view name;
  std::int64_t us;
};
// The longest first: what a time is printed in.
constexpr Unit kUnits[] = {
    {"h", 3'600'000'000}, {"m", 60'000'000}, {"s", 1'000'000}, {"ms", 1'000}, {"us", 1}};

std::string DurationText(microseconds time) {
  if (time.count() == 0) return "0us";
  for (const Unit& unit : kUnits) {
    if (time.count() % unit.us == 0) {
      return std::to_string(time.count() / unit.us) + std::string(unit.name);
    }
  }
  return std::to_string(time.count()) + "us";
}

std::string Quoted(std::string_view text) {
  constexpr std::size_t kMostShown = 100;
  return "'" + std::string(text.substr(0, kMostShown)) + (text.size() > kMostShown ? "..." : "") +
         "'";
}

tl::unexpected<Error> Refuse(std::string detail) {
  return tl::make_unexpected(InvalidError(std::move(detail)));
}

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "200ms", "1.5s".
Result<microseconds> ParseTime(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) {
    return Refuse(Quoted(text) + " is not a time like 200ms");
  }
  if (number < 0) return Refuse(Quoted(text) + " is negative");
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Unit& unit : kUnits) {
    if (name != unit.name) continue;
    const double us = std::ceil(number * static_cast<double>(unit.us));
    if (us > static_cast<double>(kMaxAge.count())) {
      return Refuse(Quoted(text) + " is more than a day");
    }
    return microseconds(static_cast<std::int64_t>(us));
  }
  return Refuse(Quoted(text) + (name.empty() ? " has no unit" : " has an unknown unit") +
                ": us, ms, s, m or h");
}

Result<Level> ParseBound(std::string_view text) {
  const Result<microseconds> age = ParseTime(text);
  if (!age) return Refuse("bounded: " + age.error().detail);
  if (age->count() == 0) return Refuse("bounded by 0 is strong: say so");
  return StaleBy(*age);
}

// One part of a level, added to those before it.
Result<Level> AddPart(const Level& before, std::string_view part) {
  if (part == "strong") return before & kStrong;
  if (part == "eventual") return before & kEventual;
  if (TakePrefix(part, "bounded:")) {
    const Result<Level> bound = ParseBound(part);
    return bound ? Result<Level>(before & *bound) : bound;
  }
  if (TakePrefix(part, "session:")) {
    const Result<Token> token = ParseToken(part);
    if (!token) return Refuse("session: " + token.error().detail);
    return before & AtLeast(*token);
  }
  if (TakePrefix(part, "lag=")) {
    Level level = before;
    const auto [end, error] =
        std::from_chars(part.data(), part.data() + part.size(), level.max_lag);
    if (error != std::errc() || end != part.data() + part.size()) {
      return Refuse("lag: " + Quoted(part) + " is not a number of entries");
    }
    if (!level.bounded()) return Refuse("lag: only behind bounded:TIME");
    return level;
  }
  return Refuse(Quoted(part) +
                " is not a level: strong, eventual, bounded:200ms, bounded:200ms,lag=10, "
                "session:TOKEN, or some of them with commas between");
}

}  // namespace

Result<Level> ParseLevel(std::string_view text) {
  std::string plain(Trim(text));
  if (plain.substr(0, 8) == "bounded(") {
    const std::size_t close = plain.find(')');
    if (close == std::string::npos) return Refuse(Quoted(text) + ": ')' is missing");
    plain.erase(close, 1);
    plain[7] = ':';
  }
  if (plain.empty()) return AddPart({}, plain);
  Level level;
  for (std::string_view rest = plain;;) {
    const std::size_t comma = rest.find(',');
    Result<Level> with = AddPart(level, Trim(rest.substr(0, comma)));
    if (!with) return with;
    level = *with;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (const auto wrong = internal::Wrong(level)) return Refuse(Quoted(text) + ": " + *wrong);
  return level;
}

std::string ToString(const Level& level) {
  std::string text;
  if (level.strong()) text = "strong";
  if (level.bounded()) text = "bounded:" + DurationText(*level.max_age);
  if (level.bounded() && level.max_lag > 0) text += ",lag=" + std::to_string(level.max_lag);
  if (level.token && *level.token) {
    text += (text.empty() ? "session:" : ",session:") + ToString(*level.token);
  }
  return text.empty() ? "eventual" : text;
}

Result<Sla> ParseSla(std::string_view text) {
  Sla sla;
  for (std::string_view rest = text;;) {
    const std::size_t end = rest.find('>');
    std::string_view step = Trim(rest.substr(0, end));
    const std::string where = "step " + std::to_string(sla.size() + 1) + ": ";
    Rung rung;
    if (const std::size_t at = step.rfind('@'); at != std::string_view::npos) {
      const Result<microseconds> within = ParseTime(Trim(step.substr(at + 1)));
      if (!within) return Refuse(where + within.error().detail);
      rung.within = std::chrono::ceil<milliseconds>(*within);
      if (rung.within.count() == 0) return Refuse(where + "no time to try it in");
      step = step.substr(0, at);
    }
    const Result<Level> level = ParseLevel(step);
    if (!level) return Refuse(where + level.error().detail);
    rung.level = *level;
    sla.push_back(rung);
    if (end == std::string_view::npos) break;
    if (sla.size() == kMaxRungs) {
      return Refuse("more than " + std::to_string(kMaxRungs) + " steps");
    }
    rest.remove_prefix(end + 1);
  }
  if (const auto wrong = internal::Wrong(sla)) return Refuse(*wrong);
  return sla;
}

std::string ToString(const Sla& sla) {
  std::string text;
  for (const Rung& rung : sla) {
    if (!text.empty()) text += " > ";
    text += ToString(rung.level);
    if (rung.within.count() > 0) text += "@" + DurationText(rung.within);
  }
  return text;
}

}  // namespace quorate
