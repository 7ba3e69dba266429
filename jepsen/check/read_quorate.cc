// Our own format: jepsen/FORMAT.md.
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "jepsen/check/json_scanner.h"
#include "jepsen/check/readers.h"

namespace quorate::check {
namespace {

constexpr std::uint64_t kTypicalLineBytes = 250;

// A number for a name, to switch on: its length, first and last eight bytes. All names of the
// format differ in it.
constexpr std::uint64_t Tag(std::uint64_t first, std::uint64_t last, std::size_t length) {
  return (first * 0x9e3779b97f4a7c15) ^ (last + length);
}

constexpr std::uint64_t Tag(std::string_view name) {
  const auto load = [&](std::size_t from) {
    std::uint64_t bytes = 0;
    for (std::size_t i = from; i < name.size() && i < from + 8; ++i) {
      bytes |= std::uint64_t{static_cast<unsigned char>(name[i])} << (i - from) * 8;
    }
    return bytes;
  };
  return Tag(load(0), load(name.size() > 8 ? name.size() - 8 : 0), name.size());
}

// The same of a name in a line, which has ByteStream::kSlack readable bytes behind it.
std::uint64_t TagInLine(std::string_view name) {
  if constexpr (std::endian::native != std::endian::little) return Tag(name);
  std::uint64_t first = 0;
  std::memcpy(&first, name.data(), 8);
  if (name.size() < 8) first &= (std::uint64_t{1} << name.size() * 8) - 1;
  std::uint64_t last = first;
  if (name.size() > 8) std::memcpy(&last, name.data() + name.size() - 8, 8);
  return Tag(first, last, name.size());
}

template <typename T, std::size_t N>
bool OneOf(JsonScanner& json, const std::array<std::pair<std::string_view, T>, N>& names, T& value,
           const char* expected) {
  std::string_view text;
  if (!json.String(text)) return false;
  for (const auto& [name, named] : names) {
    if (name == text) {
      value = named;
      return true;
    }
  }
  return json.Fail(expected);
}

bool ReadFunction(JsonScanner& json, Function& function) {
  static constexpr std::array<std::pair<std::string_view, Function>, 10> kNames{{
      {"read", Function::kRead},
      {"write", Function::kWrite},
      {"cas", Function::kCas},
      {"append", Function::kAppend},
      {"add", Function::kAdd},
      {"delete", Function::kDelete},
      {"transfer", Function::kTransfer},
      {"acquire", Function::kAcquire},
      {"release", Function::kRelease},
      {"use", Function::kUse},
  }};
  return OneOf(
      json, kNames, function,
      "one of read, write, cas, append, add, delete, transfer, acquire, release, use as \"f\"");
}

bool ReadOutcome(JsonScanner& json, Outcome& outcome) {
  static constexpr std::array<std::pair<std::string_view, Outcome>, 3> kNames{
      {{"ok", Outcome::kOk}, {"fail", Outcome::kFail}, {"info", Outcome::kInfo}}};
  return OneOf(json, kNames, outcome, "ok, fail or info as \"type\"");
}

bool ReadLevel(JsonScanner& json, Level& level) {
  static constexpr std::array<std::pair<std::string_view, Level>, 4> kNames{
      {{"strong", Level::kStrong},
       {"bounded", Level::kBounded},
       {"session", Level::kSession},
       {"eventual", Level::kEventual}}};
  return OneOf(json, kNames, level, "strong, bounded, session or eventual as \"level\"");
}

bool ReadOnUnmet(JsonScanner& json, OnUnmet& on_unmet) {
  static constexpr std::array<std::pair<std::string_view, OnUnmet>, 3> kNames{
      {{"wait", OnUnmet::kWait}, {"refuse", OnUnmet::kRefuse}, {"serve", OnUnmet::kServe}}};
  return OneOf(json, kNames, on_unmet, "wait, refuse or serve as \"on_unmet\"");
}

bool ReadBasis(JsonScanner& json, Basis& basis) {
  static constexpr std::array<std::pair<std::string_view, Basis>, 6> kNames{
      {{"anchor", Basis::kAnchor},
       {"read_index", Basis::kReadIndex},
       {"commit", Basis::kCommit},
       {"lease", Basis::kLease},
       {"none", Basis::kNone},
       {"", Basis::kMissing}}};
  return OneOf(json, kNames, basis, "none, read_index, lease, anchor or commit as \"basis\"");
}

// Differences of two of them must not overflow.
bool ReadTime(JsonScanner& json, Time& time) {
  constexpr Time kMax = Time{1} << 60;
  if (!json.Signed(time)) return false;
  return (time >= -kMax && time <= kMax) || json.Fail("a time in microseconds, below 2^60");
}

bool Small(JsonScanner& json, std::uint32_t& number) {
  std::uint64_t wide = 0;
  if (!json.Unsigned(wide)) return false;
  if (wide > std::numeric_limits<std::uint32_t>::max()) return json.Fail("a number below 2^32");
  number = static_cast<std::uint32_t>(wide);
  return true;
}

// One line, as far as it has been read. What kind it is follows from its names.
class Line {
 public:
  Line(std::string_view text, History& history) : json_(text), history_(history) {}

  // False: error() says why.
  bool Read(bool is_first) {
    if (!ReadMembers() || !json_.AtEnd()) return Says(json_.error());
    if (is_header_) return is_first || Says("a second header");
    if (is_first) return Says("expected the header, {\"format\":\"quorate-history-1\",...}");
    if (is_fault_) {
      history_.faults.push_back(std::move(fault_));
      return true;
    }
    return !is_operation_ || Finish();
  }

  const std::string& error() const { return error_; }

 private:
  bool Says(std::string error) {
    error_ = std::move(error);
    return false;
  }

  bool ReadMembers() {
    std::string_view key;
    bool first = true;
    if (!json_.EnterObject()) return false;
    while (json_.NextKey(key, first)) {
      // null is the same as absent, except for a result.
      if (json_.Peek() == 'n' && key != "result") {
        if (!json_.Skip()) return false;
      } else if (!Member(TagInLine(key))) {
        return false;
      }
    }
    return !json_.failed();
  }

  bool Member(std::uint64_t tag) {
    Operation& op = operation_;
    switch (tag) {
      case Tag("op"):
        is_operation_ = true;
        return json_.Unsigned(op.number);
      case Tag("client"):
        has_client_ = true;
        return json_.Signed(op.client);
      case Tag("f"):
        has_function_ = true;
        return ReadFunction(json_, op.function);
      case Tag("key"):
        return json_.Any(history_.values, op.key);
      case Tag("value"):
        return json_.Any(history_.values, op.value);
      case Tag("invoked"):
        has_invoked_ = true;
        return ReadTime(json_, op.invoked);
      case Tag("returned"):
        return ReadTime(json_, op.returned);
      case Tag("type"):
        has_type_ = true;
        return ReadOutcome(json_, op.outcome);
      case Tag("result"):
        op.has_result = true;
        return json_.Any(history_.values, op.result);
      case Tag("revision"):
        return json_.Unsigned(op.revision);
      case Tag("level"):
        return ReadLevel(json_, op.level);
      case Tag("certificate"):
        return ReadCertificate(op.certificate);
      default:
        return RarerMember(tag);
    }
  }

  bool RarerMember(std::uint64_t tag) {
    Operation& op = operation_;
    switch (tag) {
      case Tag("max_age_us"):
        return json_.Unsigned(op.max_age_us);
      case Tag("max_lag"):
        return json_.Unsigned(op.max_lag);
      case Tag("min_index"):
        return json_.Unsigned(op.min_index);
      case Tag("on_unmet"):
        return ReadOnUnmet(json_, op.on_unmet);
      case Tag("node"):
        return Small(json_, op.node);
      case Tag("session"):
        return json_.Unsigned(op.session);
      case Tag("seq"):
        return json_.Unsigned(op.seq);
      case Tag("error"):
        return ReadFailure();
      default:
        return OtherMember(tag);
    }
  }

  // Of the header, of faults and of the end.
  bool OtherMember(std::uint64_t tag) {
    std::string_view text;
    switch (tag) {
      case Tag("format"):
        is_header_ = true;
        if (!json_.String(text)) return false;
        return text == "quorate-history-1" || json_.Fail("the format quorate-history-1");
      case Tag("workload"):
        if (!json_.String(text)) return false;
        history_.model = ModelNamed(text);
        return true;
      case Tag("model"):
        if (!json_.String(text)) return false;
        history_.model = ModelNamed(text);
        return history_.model != Model::kUnknown || json_.Fail("a known model");
      case Tag("total"): {
        std::int64_t total = 0;
        if (!json_.Signed(total)) return false;
        history_.total = total;
        return true;
      }
      case Tag("fault"):
        is_fault_ = true;
        if (!json_.String(text)) return false;
        fault_.name = text;
        return true;
      case Tag("id"):
        return is_fault_ ? json_.Unsigned(fault_.id) : json_.Skip();
      case Tag("at"):
        return ReadTime(json_, fault_.at);
      case Tag("until"):
        return ReadTime(json_, fault_.until);
      case Tag("nodes"):
        return json_.Peek() == '[' ? ReadNodes() : Small(json_, history_.nodes);
      case Tag("detail"):
        if (json_.Peek() != '"') return json_.Skip();
        if (!json_.String(text)) return false;
        fault_.detail = text;
        return true;
      case Tag("end"):
        return ReadTime(json_, history_.end);
      default:
        return json_.Skip();
    }
  }

  bool ReadNodes() {
    Value list = kNil;
    if (!json_.Any(history_.values, list)) return false;
    for (const Value item : history_.values.items(list)) {
      std::int64_t node = 0;
      if (history_.values.AsNumber(item, node) && node > 0 &&
          node <= std::numeric_limits<std::uint32_t>::max()) {
        fault_.nodes.push_back(static_cast<std::uint32_t>(node));
      }
    }
    return true;
  }

  bool ReadCertificate(Certificate& certificate) {
    std::string_view key;
    bool first = true;
    certificate.present = true;
    if (!json_.EnterObject()) return false;
    while (json_.NextKey(key, first)) {
      if (json_.Peek() == 'n' ? !json_.Skip() : !CertificateMember(TagInLine(key), certificate)) {
        return false;
      }
    }
    return !json_.failed();
  }

  bool CertificateMember(std::uint64_t tag, Certificate& certificate) {
    switch (tag) {
      case Tag("node"):
        return Small(json_, certificate.node);
      case Tag("term"):
        return json_.Unsigned(certificate.term);
      case Tag("index"):
        return json_.Unsigned(certificate.index);
      case Tag("entry_term"):
        return json_.Unsigned(certificate.entry_term);
      case Tag("incarnation"):
        return json_.Any(history_.values, certificate.incarnation);
      case Tag("age_us"):
        return json_.Unsigned(certificate.age_us);
      case Tag("lag"):
        return json_.Unsigned(certificate.lag);
      case Tag("basis"):
        return ReadBasis(json_, certificate.basis);
      case Tag("via_leader"):
        return json_.Bool(certificate.via_leader);
      default:
        return json_.Skip();
    }
  }

  bool ReadFailure() {
    Failure failure;
    std::string_view key;
    bool first = true;
    if (!json_.EnterObject()) return false;
    while (json_.NextKey(key, first)) {
      if (json_.Peek() == 'n' ? !json_.Skip() : !FailureMember(TagInLine(key), failure))
        return false;
    }
    operation_.failure = static_cast<std::uint32_t>(history_.failures.size());
    history_.failures.push_back(failure);
    return !json_.failed();
  }

  bool FailureMember(std::uint64_t tag, Failure& failure) {
    switch (tag) {
      case Tag("code"):
        return json_.Any(history_.values, failure.code);
      case Tag("class"):
        return json_.Any(history_.values, failure.kind);
      case Tag("have"):
        return json_.Unsigned(failure.have);
      case Tag("want"):
        return json_.Unsigned(failure.want);
      case Tag("age_us"):
        return json_.Unsigned(failure.age_us);
      default:
        return json_.Skip();
    }
  }

  // The operation as a whole.
  bool Finish() {
    Operation& op = operation_;
    const auto lacks = [&](const char* name) {
      return Says("operation #" + std::to_string(op.number) + " has no \"" + name + '"');
    };
    if (!has_client_) return lacks("client");
    if (!has_function_) return lacks("f");
    if (!has_invoked_) return lacks("invoked");
    if (!has_type_) return lacks("type");
    if (op.outcome == Outcome::kOk && op.returned == kNever) return lacks("returned");
    if (op.returned < op.invoked) {
      return Says("operation #" + std::to_string(op.number) + " returned before it was invoked");
    }
    if (op.outcome == Outcome::kInfo) op.returned = kNever;  // giving up says nothing
    if (op.function == Function::kCas && history_.values.item_count(op.value) != 2) {
      return Says("expected [old, new] as \"value\" of cas #" + std::to_string(op.number));
    }
    if (op.outcome == Outcome::kFail && op.failure != 0) {
      op.compared_unequal = history_.values.text(history_.failure(op).code) == "COMPARE_FAILED";
    }
    history_.operations.push_back(op);
    return true;
  }

  JsonScanner json_;
  History& history_;
  Operation operation_;
  Fault fault_;
  std::string error_;
  bool is_header_ = false;
  bool is_operation_ = false;
  bool is_fault_ = false;
  bool has_client_ = false;
  bool has_function_ = false;
  bool has_invoked_ = false;
  bool has_type_ = false;
};

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

std::string Describe(std::string_view text, const std::string& error, bool ended) {
  if (!ended && nlohmann::json::parse(text, nullptr, false).is_discarded()) {
    return "the file is cut off in this line: " + error;
  }
  return error;
}

// Operation numbers name operations in results: two of one number would mix them up.
std::optional<std::uint64_t> Repeated(const std::vector<Operation>& operations) {
  std::uint64_t largest = 0;
  for (const Operation& op : operations) largest = std::max(largest, op.number);
  if (largest / 64 <= operations.size()) {
    std::vector<bool> seen(largest + 1);
    for (const Operation& op : operations) {
      if (seen[op.number]) return op.number;
      seen[op.number] = true;
    }
    return std::nullopt;
  }
  std::vector<std::uint64_t> numbers;
  numbers.reserve(operations.size());
  for (const Operation& op : operations) numbers.push_back(op.number);
  std::sort(numbers.begin(), numbers.end());
  const auto twice = std::adjacent_find(numbers.begin(), numbers.end());
  return twice == numbers.end() ? std::nullopt : std::optional(*twice);
}

}  // namespace

ReadResult ReadQuorate(ByteStream& stream, const ReadOptions& options) {
  History history;
  history.format = Format::kQuorate;
  // Growing would copy, and touch, all of it several times.
  history.operations.reserve(
      std::min<std::uint64_t>(stream.size_hint() / kTypicalLineBytes, options.max_operations));
  std::string_view text;
  bool is_first = true;
  while (stream.Line(text)) {
    if (IsBlank(text)) continue;
    Line line(text, history);
    if (!line.Read(is_first)) {
      return Malformed(stream.line_number() - 1,
                       Describe(text, line.error(), stream.line_was_ended()));
    }
    is_first = false;
    if (history.operations.size() > options.max_operations) {
      return Malformed(stream.line_number() - 1, "more than " +
                                                     std::to_string(options.max_operations) +
                                                     " operations: raise --max-operations");
    }
  }
  if (!stream.error().empty()) return Malformed(stream.line_number(), stream.error());
  if (const auto number = Repeated(history.operations)) {
    return Malformed(0, "two operations have the number " + std::to_string(*number));
  }
  return history;
}

}  // namespace quorate::check
