#include "tools/inspect/report.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>
#include <vector>

#include "tools/output.h"

namespace quorate::inspect {
namespace {

constexpr std::size_t kMaxInlineMembers = 3;

std::string Words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

bool IsTable(const Json& json) {
  return json.is_array() && !json.empty() && json.front().is_object();
}

// A few plain values, such as a position, fit into a line.
bool IsInline(const Json& json) {
  if (!json.is_object()) return !IsTable(json);
  return json.size() <= kMaxInlineMembers &&
         std::all_of(json.begin(), json.end(),
                     [](const Json& value) { return value.is_primitive(); });
}

std::string Inline(const Json& json) {
  if (json.is_null()) return "-";
  if (json.is_boolean()) return json.get<bool>() ? "yes" : "no";
  if (json.is_string()) return json.get<std::string>();
  if (json.is_primitive()) return json.dump();
  std::string out;
  for (const auto& [name, value] : json.items()) {
    if (!out.empty()) out += ", ";
    out += json.is_object() ? Words(name) + " " + Inline(value) : Inline(value);
  }
  return out.empty() ? "none" : out;
}

class Printer {
 public:
  std::string Take() && { return std::move(out_); }

  void Print(const Json& object, std::size_t indent) {
    std::size_t width = 0;
    for (const auto& [name, value] : object.items()) {
      if (IsInline(value)) width = std::max(width, name.size());
    }
    for (const auto& [name, value] : object.items()) {
      if (IsInline(value)) {
        const std::string label = Words(name) + ":";
        Line(indent, label + std::string(width + 2 - label.size(), ' ') + Inline(value));
      } else {
        Line(indent, Words(name));
        IsTable(value) ? PrintTable(value, indent + 2) : Print(value, indent + 2);
      }
    }
  }

 private:
  using Row = std::vector<std::string>;

  void PrintTable(const Json& rows, std::size_t indent) {
    std::vector<std::string> columns;
    for (const Json& row : rows) {
      for (const auto& [name, value] : row.items()) {
        if (std::find(columns.begin(), columns.end(), name) == columns.end())
          columns.push_back(name);
      }
    }
    std::vector<Row> cells(1);
    for (const std::string& column : columns) cells.front().push_back(Words(column));
    for (const Json& row : rows) {
      Row line;
      for (const std::string& column : columns) {
        line.push_back(row.contains(column) ? Inline(row[column]) : "");
      }
      cells.push_back(std::move(line));
    }
    PrintCells(cells, indent);
  }

  void PrintCells(const std::vector<Row>& rows, std::size_t indent) {
    std::vector<std::size_t> widths(rows.front().size());
    for (const Row& row : rows) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const Row& row : rows) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += row[i] + std::string(widths[i] + 2 - row[i].size(), ' ');
      }
      Line(indent, line);
    }
  }

  void Line(std::size_t indent, std::string text) {
    text.erase(text.find_last_not_of(' ') + 1);
    out_ += std::string(indent, ' ') + text + "\n";
  }

  std::string out_;
};

}  // namespace

void Report::AddDamage(const std::string& where, const std::string& what) {
  damage_.push_back({{"where", where}, {"what", what}});
}

Json Report::ToJson() const {
  Json all = body_;
  if (damaged()) all["damage"] = damage_;
  return all;
}

std::string ToText(const Json& json) {
  Printer printer;
  printer.Print(json, 0);
  return std::move(printer).Take();
}

Json ToJson(raft::Position position) {
  return {{"index", position.index}, {"term", position.term}};
}

Json ToJson(const raft::HardState& state) {
  return {{"term", state.term}, {"vote", state.vote}};
}

Json ToJson(const raft::Configuration& configuration) {
  Json json;
  json["incarnation"] = Hex(configuration.incarnation);
  json["feature_version"] = configuration.feature_version;
  json["established"] = configuration.established;
  json["voters"] = configuration.voters.incoming;
  if (!configuration.voters.outgoing.empty()) {
    json["outgoing_voters"] = configuration.voters.outgoing;
  }
  if (!configuration.learners.empty()) json["learners"] = configuration.learners;
  Json members = Json::array();
  for (const raft::Member& member : configuration.members) {
    members.push_back({{"id", member.id},
                       {"address", Abbreviate(member.address, member.address.size())},
                       {"uuid", member.uuid.empty() ? Json() : Json(Hex(member.uuid))}});
  }
  json["members"] = std::move(members);
  return json;
}

std::string Hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, value);
  return text;
}

std::string Hex(raft::Uuid uuid) {
  return Hex(uuid.high) + Hex(uuid.low);
}

std::string Abbreviate(std::string_view bytes, std::size_t max_bytes) {
  std::string text = tools::Escape(bytes.substr(0, max_bytes));
  if (bytes.size() > max_bytes) text += "...";
  return text;
}

}  // namespace quorate::inspect
