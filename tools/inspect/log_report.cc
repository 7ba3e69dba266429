#include "tools/inspect/log_report.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "client/proto/wire.pb.h"
#include "raft/format.h"
#include "storage/entry_codec.h"
#include "storage/log_scan.h"

namespace quorate::inspect {
namespace {

using storage::FoundSegment;
using storage::LogRecord;
using storage::LogScan;
using storage::Place;
using storage::RecordType;

constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::size_t kMaxValueBytes = 32;

std::optional<raft::Index> ParseIndex(std::string_view text) {
  raft::Index index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return index;
}

Json Describe(Place place) {
  return {{"segment", storage::SegmentName(place.segment)}, {"offset", place.offset}};
}

// ---- Entries ----

void AddValue(Json& json, std::string_view value) {
  json["value_bytes"] = value.size();
  json["value"] = Abbreviate(value, kMaxValueBytes);
}

void AddCommand(Json& json, std::string_view data) {
  wire::Command command;
  if (!command.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    json["command"] = "not a command";
    return;
  }
  if (command.has_put()) {
    json["command"] = "put";
    json["key"] = Abbreviate(command.put().key(), kMaxKeyBytes);
    AddValue(json, command.put().value());
  } else if (command.has_delete_()) {
    json["command"] = "delete";
    json["key"] = Abbreviate(command.delete_().key(), kMaxKeyBytes);
  } else if (command.has_compare_and_set()) {
    const wire::CompareAndSet& set = command.compare_and_set();
    json["command"] = "compare-and-set";
    json["key"] = Abbreviate(set.key(), kMaxKeyBytes);
    AddValue(json, set.value());
    json["expects"] = set.has_expected_value()
                          ? "value " + Abbreviate(set.expected_value(), kMaxValueBytes)
                          : "index " + std::to_string(set.mod_index());
  } else {
    json["command"] = "unknown";
  }
}

Json Describe(const raft::Entry& entry, Place place) {
  Json json;
  json["index"] = entry.index;
  json["term"] = entry.term;
  json["kind"] = raft::ToString(entry.kind);
  json["bytes"] = entry.data.size();
  json["segment"] = storage::SegmentName(place.segment);
  json["offset"] = place.offset;
  if (entry.kind == raft::EntryKind::kCommand) AddCommand(json, entry.data.view());
  if (entry.kind == raft::EntryKind::kConfiguration) {
    const auto configuration = raft::Configuration::Decode(entry.data.view());
    if (configuration) json["configuration"] = raft::ToString(*configuration);
  }
  return json;
}

// Those that count in the end: one that replaces others takes them off the list.
class EntryList {
 public:
  explicit EntryList(const std::optional<EntryRange>& range) : range_(range) {}

  void Add(const raft::Entry& entry, Place place) {
    if (!range_) return;
    listed_.erase(listed_.lower_bound(entry.index), listed_.end());
    if (entry.index < range_->first || entry.index > range_->last) return;
    if (listed_.size() < range_->limit) listed_.emplace(entry.index, Describe(entry, place));
  }

  void Put(const raft::LogContents& contents, Json& out) {
    if (!range_) return;
    listed_.erase(listed_.begin(), listed_.upper_bound(contents.start.index));
    Json list = Json::array();
    for (auto& [index, json] : listed_) list.push_back(std::move(json));
    const raft::Index first = std::max(range_->first, contents.start.index + 1);
    const raft::Index last = std::min(range_->last, contents.last);
    const std::uint64_t wanted = last < first ? 0 : last - first + 1;
    out["entries"] = std::move(list);
    if (wanted > listed_.size()) out["entries_not_listed"] = wanted - listed_.size();
  }

 private:
  const std::optional<EntryRange> range_;
  std::map<raft::Index, Json> listed_;
};

// ---- Segments ----

struct SegmentCounts {
  std::uint64_t records = 0;
  std::uint64_t entries = 0;
  raft::Index lowest = 0;
  raft::Index highest = 0;
  std::uint64_t end = 0;  // of its last record that could be read
};

// Counts what the scan reads.
class Counter {
 public:
  explicit Counter(const std::optional<EntryRange>& range) : list_(range) {}

  void See(Place place, const LogRecord& record) {
    SegmentCounts& counts = segments_[place.segment];
    ++counts.records;
    counts.end = place.offset + record.bytes;
    if (record.type != RecordType::kEntry) return;
    std::string_view payload = record.payload;
    const auto entry = storage::TakeEntry(payload);
    if (!entry) return;
    if (counts.entries++ == 0) counts.lowest = counts.highest = entry->index;
    counts.lowest = std::min(counts.lowest, entry->index);
    counts.highest = std::max(counts.highest, entry->index);
    list_.Add(*entry, place);
  }

  const SegmentCounts& Of(std::uint32_t segment) { return segments_[segment]; }
  EntryList& list() { return list_; }

 private:
  std::map<std::uint32_t, SegmentCounts> segments_;
  EntryList list_;
};

Json Describe(const FoundSegment& found, const SegmentCounts& counts) {
  Json json;
  json["name"] = storage::SegmentName(found.segment.sequence);
  json["sequence"] = found.segment.sequence;
  json["file_bytes"] = found.size;
  if (found.header) {
    json["capacity"] = found.header->capacity;
    json["begins_after"] = ToJson(found.header->last);
    json["term"] = found.header->hard_state.term;
    json["vote"] = found.header->hard_state.vote;
  }
  json["records"] = counts.records;
  json["entries"] = counts.entries;
  if (counts.entries > 0) {
    json["lowest"] = counts.lowest;
    json["highest"] = counts.highest;
  }
  json["end"] = counts.end;
  return json;
}

Json DescribeSegments(LogScan& scan, Counter& counter) {
  Json list = Json::array();
  for (std::size_t i = 0; i < scan.segments().size(); ++i) {
    const FoundSegment& found = scan.segments()[i];
    Json json = Describe(found, counter.Of(found.segment.sequence));
    if (i < scan.first()) json["note"] = "does not count, goes at the next start";
    list.push_back(std::move(json));
  }
  return list;
}

Json DescribeTotal(LogScan& scan, Counter& counter) {
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  std::uint64_t entries = 0;
  std::uint64_t used = 0;
  for (const FoundSegment& found : scan.segments()) {
    const SegmentCounts& counts = counter.Of(found.segment.sequence);
    bytes += found.size;
    records += counts.records;
    entries += counts.entries;
    used += counts.end;
  }
  return {{"segments", scan.segments().size()},
          {"file_bytes", bytes},
          {"used_bytes", used},
          {"records", records},
          {"entry_records", entries}};
}

// ---- What it adds up to ----

Json DescribeTerms(const raft::LogContents& contents) {
  Json runs = Json::array();
  for (std::size_t i = 0; i < contents.terms.size(); ++i) {
    const bool is_last = i + 1 == contents.terms.size();
    runs.push_back({{"term", contents.terms[i].term},
                    {"first", contents.terms[i].first},
                    {"last", is_last ? contents.last : contents.terms[i + 1].first - 1}});
  }
  return runs;
}

Json DescribeContents(LogScan& scan) {
  const storage::Replay& replay = *scan.replay();
  const raft::LogContents& contents = replay.contents();
  Json json;
  json["starts_after"] = ToJson(contents.start);
  json["first"] = contents.last == contents.start.index ? Json() : Json(contents.start.index + 1);
  json["last"] = contents.last;
  json["entries"] = contents.last - contents.start.index;
  json["hard_state"] = ToJson(replay.hard_state());
  json["terms"] = DescribeTerms(contents);
  const auto& changes = replay.configurations().changes();
  json["configuration_index"] = changes.empty() ? Json() : Json(changes.back().first);
  json["configuration"] = ToJson(replay.configurations().InForce());
  return json;
}

std::string TailState(const LogScan& scan) {
  if (scan.damage()) return "damaged";
  if (scan.cut_records() > 0) return "torn: what follows had not been synced and does not count";
  if (scan.replay()->clean()) return "clean: the node was stopped in order";
  return "open: the node is running, or was killed";
}

Json DescribeTail(const LogScan& scan) {
  Json json;
  json["state"] = TailState(scan);
  json["end"] = Describe(scan.end());
  json["known_durable_up_to"] = Describe(scan.replay()->synced_to());
  if (scan.cut_records() > 0) json["records_behind_the_tear"] = scan.cut_records();
  return json;
}

}  // namespace

std::optional<EntryRange> ParseEntryRange(const std::string& text) {
  EntryRange range;
  const std::size_t dots = text.find("..");
  const std::string first = text.substr(0, dots);
  const std::string last = dots == std::string::npos ? text : text.substr(dots + 2);
  for (const auto& [part, bound] : {std::pair{first, &range.first}, std::pair{last, &range.last}}) {
    if (part.empty()) continue;
    const auto index = ParseIndex(part);
    if (!index) return std::nullopt;
    *bound = *index;
  }
  return range;
}

storage::Status ReportLog(storage::FileSystem& files, const std::string& directory,
                          const std::optional<EntryRange>& entries, Report& report) {
  Counter counter(entries);
  LogScan scan(files, directory, storage::OpenMode::kReadOnly,
               [&counter](Place place, const LogRecord& record) { counter.See(place, record); });
  QUORATE_RETURN_IF_ERROR(scan.Run());
  Json& body = report.body();
  body["segments"] = DescribeSegments(scan, counter);
  body["total"] = DescribeTotal(scan, counter);
  if (scan.replay()) {
    body["log"] = DescribeContents(scan);
    body["tail"] = DescribeTail(scan);
    counter.list().Put(scan.replay()->contents(), body);
  }
  if (const auto& damage = scan.damage()) {
    report.AddDamage(directory + "/" + storage::SegmentName(damage->place.segment) + " at offset " +
                         std::to_string(damage->place.offset),
                     damage->what);
  }
  return {};
}

}  // namespace quorate::inspect
