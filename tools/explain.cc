#include "tools/explain.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

namespace quorate::tools {
namespace {

using std::chrono::microseconds;

double InMilliseconds(microseconds time) {
  return static_cast<double>(time.count()) / 1000;
}

// "118 ms", "0.4 ms"; rounded up, like all ages.
std::string Time(microseconds time) {
  const double ms = InMilliseconds(time);
  char text[32];
  std::snprintf(text, sizeof(text), ms < 10 ? "%.1f ms" : "%.0f ms",
                ms < 10 ? std::ceil(ms * 10) / 10 : std::ceil(ms));
  return text;
}

std::string Time(const std::optional<microseconds>& time, const std::string& otherwise) {
  return time ? Time(*time) : otherwise;
}

Json ToJson(const std::optional<microseconds>& time) {
  return time ? Json(InMilliseconds(*time)) : Json();
}

std::string_view Outcome(Decision decision) {
  switch (decision) {
    case Decision::kServedLocally:
      return "served by itself";
    case Decision::kWaitedForApply:
      return "served by itself, after applying what was missing";
    case Decision::kConfirmed:
      return "served once the leader had confirmed it";
    case Decision::kServedUnmet:
      return "served although the level was not met";
    case Decision::kRefused:
      return "refused";
  }
  return "refused";
}

// ---- What happened ----

std::string Role(const NodeView& view) {
  if (view.role == "leader") return "leader";
  return view.role + (view.leader != 0 ? " of node " + std::to_string(view.leader)
                                       : std::string(", no leader known"));
}

std::string Knowledge(const NodeView& view) {
  constexpr const char* kIndent = "           ";
  std::string text = kIndent + Role(view) + "; applied " + std::to_string(view.applied) + " of " +
                     std::to_string(std::max(view.commit, view.applied)) + " committed";
  if (!view.caught_up) text += ", not caught up since its start";
  text += "\n" + std::string(kIndent) + "what it has is " + Time(view.local_age, "of unknown age");
  if (view.local_age) text += " old";
  if (view.anchor_age) {
    text += "; newest anchor " + Time(*view.anchor_age) + " old, at index " +
            std::to_string(view.anchor_index);
    if (view.anchor_index > view.applied) {
      text += ", " + std::to_string(view.anchor_index - view.applied) + " entries not applied yet";
    }
  } else {
    text += "; no anchor";
  }
  text += "\n";
  if (view.waited_for_apply.count() > 0) {
    text += kIndent + ("waited " + Time(view.waited_for_apply)) + " for entries to be applied\n";
  }
  if (view.waited_for_confirmation.count() > 0) {
    text += kIndent + ("waited " + Time(view.waited_for_confirmation)) + " for the leader, who " +
            (view.typical_confirmation.count() > 0
                 ? "takes about " + Time(view.typical_confirmation) + " here\n"
                 : "has never answered here yet\n");
  }
  if (!view.reason.empty()) text += kIndent + ("because: " + view.reason) + "\n";
  return text;
}

std::string Describe(const Attempt& attempt) {
  char when[32];
  std::snprintf(when, sizeof(when), "%+8.1f ms", InMilliseconds(attempt.sent));
  std::string text = when;
  text += attempt.node != 0
              ? "  node " + std::to_string(attempt.node) + " (" + attempt.address + ")"
              : "  " + attempt.address;
  if (attempt.rung > 0) text += ", rung " + std::to_string(attempt.rung + 1);
  text += ": ";
  if (attempt.refused) {
    text += "refused " + std::string(ToString(*attempt.refused));
  } else {
    text += attempt.view ? Outcome(attempt.view->decision) : "served";
  }
  text += ", after " + Time(attempt.took) + "\n";
  if (attempt.view) text += Knowledge(*attempt.view);
  if (attempt.refused && !attempt.detail.empty() &&
      (!attempt.view || attempt.view->reason != attempt.detail)) {
    text += "           it says: " + attempt.detail + "\n";
  }
  return text;
}

// ---- What each level would cost at a node ----

// The bound to compare with: the one asked for, else a usual one.
microseconds Bound(const Level& level) {
  return level.bounded() ? *level.max_age : microseconds(100'000);
}

std::string Confirmation(const NodeStatus& status) {
  if (status.leader == 0) return "no leader";
  return status.typical_confirmation.count() > 0 ? "~" + Time(status.typical_confirmation)
                                                 : "a round trip";
}

bool ServesLocally(const NodeStatus& status, microseconds bound) {
  return status.local_bound && *status.local_bound <= bound;
}

std::string BoundCost(const NodeStatus& status, microseconds bound) {
  return ServesLocally(status, bound) ? "nothing" : Confirmation(status);
}

std::string Table(const Explained& explained) {
  const microseconds bound = Bound(explained.level);
  const std::string bounded = ToString(StaleBy(bound));
  char line[256];
  std::snprintf(line, sizeof(line), "%6s  %-13s %10s %10s %10s   %-14s %-18s %s\n", "node", "role",
                "applied", "age now", "can bound", "strong costs", (bounded + " costs").c_str(),
                "eventual costs");
  std::string text = line;
  for (const NodeReport& report : explained.nodes) {
    const std::string id = report.id != 0 ? std::to_string(report.id) : "?";
    if (!report.status) {
      text += "  " + std::string(id.size() < 4 ? 4 - id.size() : 0, ' ') + id +
              "  unreachable: " + report.status.error().detail + "\n";
      continue;
    }
    const NodeStatus& status = *report.status;
    std::snprintf(line, sizeof(line), "%6s  %-13s %10lu %10s %10s   %-14s %-18s %s\n", id.c_str(),
                  status.role.c_str(), status.applied, Time(status.age, "unknown").c_str(),
                  Time(status.local_bound, "nothing").c_str(), Confirmation(status).c_str(),
                  BoundCost(status, bound).c_str(), status.ready ? "nothing" : "may be refused");
    text += line;
  }
  return text;
}

// ---- JSON ----

Json ToJson(const NodeView& view) {
  Json json;
  json["node"] = view.node;
  json["role"] = view.role;
  json["leader"] = view.leader;
  json["decision"] = ToString(view.decision);
  json["reason"] = view.reason;
  json["applied"] = view.applied;
  json["commit"] = view.commit;
  json["local_age_ms"] = ToJson(view.local_age);
  json["anchor_age_ms"] = ToJson(view.anchor_age);
  json["anchor_index"] = view.anchor_index;
  json["waited_for_apply_ms"] = InMilliseconds(view.waited_for_apply);
  json["waited_for_confirmation_ms"] = InMilliseconds(view.waited_for_confirmation);
  json["typical_confirmation_ms"] = InMilliseconds(view.typical_confirmation);
  json["caught_up"] = view.caught_up;
  return json;
}

Json ToJson(const Attempt& attempt) {
  Json json;
  json["address"] = attempt.address;
  json["node"] = attempt.node;
  json["rung"] = attempt.rung;
  json["sent_ms"] = InMilliseconds(attempt.sent);
  json["took_ms"] = InMilliseconds(attempt.took);
  json["refused"] = attempt.refused ? Json(ToString(*attempt.refused)) : Json();
  json["detail"] = attempt.detail;
  json["view"] = attempt.view ? ToJson(*attempt.view) : Json();
  return json;
}

Json ToJson(const NodeReport& report, microseconds bound) {
  Json json;
  json["id"] = report.id != 0 ? Json(report.id) : Json();
  json["address"] = report.address;
  json["reachable"] = report.status.has_value();
  if (!report.status) return json;
  const NodeStatus& status = *report.status;
  json["role"] = status.role;
  json["applied"] = status.applied;
  json["commit"] = status.commit;
  json["age_ms"] = ToJson(status.age);
  json["local_bound_ms"] = ToJson(status.local_bound);
  // What a read would wait for there; null: it cannot be had there now, or nobody knows.
  const Json confirmation = status.leader != 0 && status.typical_confirmation.count() > 0
                                ? Json(InMilliseconds(status.typical_confirmation))
                                : Json();
  json["cost_ms"]["strong"] = confirmation;
  json["cost_ms"][ToString(StaleBy(bound))] = ServesLocally(status, bound) ? Json(0) : confirmation;
  json["cost_ms"]["eventual"] = status.ready ? Json(0) : Json();
  return json;
}

}  // namespace

std::string Describe(const Explained& explained) {
  std::string text = "how it went (" + explained.name + "):\n";
  if (explained.explanation == nullptr || explained.explanation->attempts.empty()) {
    text += "           no node was asked\n";
  } else {
    for (const Attempt& attempt : explained.explanation->attempts) text += Describe(attempt);
  }
  return text + "the nodes now, and what a read would wait for there:\n" + Table(explained);
}

Json ToJson(const Explained& explained) {
  Json json;
  json["attempts"] = Json::array();
  if (explained.explanation != nullptr) {
    for (const Attempt& attempt : explained.explanation->attempts) {
      json["attempts"].push_back(ToJson(attempt));
    }
  }
  json["nodes"] = Json::array();
  for (const NodeReport& report : explained.nodes) {
    json["nodes"].push_back(ToJson(report, Bound(explained.level)));
  }
  return json;
}

}  // namespace quorate::tools
