// Lines of Jepsen's own log, as its etcd tests of 2014 wrote them:
//   INFO  jepsen.util - <process> :<type> :<f> <value>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "jepsen/check/pairing.h"
#include "jepsen/check/readers.h"

namespace quorate::check {
namespace {

constexpr std::string_view kLogger = "jepsen.util";
constexpr std::size_t kMaxWords = 16;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view kSpace = " \t\r[]";
  for (std::size_t at = line.find_first_not_of(kSpace);
       at != std::string_view::npos && words.size() < kMaxWords;) {
    const std::size_t end = std::min(line.find_first_of(kSpace, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(kSpace, end);
  }
  return words;
}

bool ToNumber(std::string_view word, std::int64_t& number) {
  const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc() && stop == word.data() + word.size();
}

class EtcdLog {
 public:
  EtcdLog() : pairing_(history_) {}

  // False: error() says why.
  bool Line(std::string_view line, std::uint64_t number) {
    const std::vector<std::string_view> words = Words(line);
    if (words.empty()) return true;
    if (words.size() < 2 || words[1] != kLogger) {
      return words[0] == "INFO" || words[0] == "WARN" || words[0] == "DEBUG" || words[0] == "ERROR"
                 ? words.size() > 2 || Says("the line is cut off")
                 : Says("expected a line of Jepsen's log: INFO jepsen.util - 0 :invoke :read nil");
    }
    std::int64_t process = 0;
    if (words.size() < 4 || words[2] != "-") return Says("the line is cut off after jepsen.util");
    if (!ToNumber(words[3], process)) return true;  // :nemesis, or a message
    if (words.size() < 7) {
      return Says("expected <process> :<type> :<f> <value>; the line may be cut off");
    }
    return Event(process, words, number);
  }

  History Take() { return std::move(history_); }
  const std::string& error() const { return error_; }

 private:
  bool Says(std::string error) {
    error_ = std::move(error);
    return false;
  }

  // words: INFO jepsen.util - process :type :f value...
  bool Event(std::int64_t process, const std::vector<std::string_view>& words,
             std::uint64_t number) {
    Function function = Function::kRead;
    if (words[5] == ":write") {
      function = Function::kWrite;
    } else if (words[5] == ":cas") {
      function = Function::kCas;
    } else if (words[5] != ":read") {
      return Says("expected :read, :write or :cas, not " + std::string(words[5]));
    }
    const bool timed_out = words[6].front() == ':';
    Value value = kNil;
    if (!timed_out && !ReadValue(function, words, value)) return false;
    if (words[4] == ":invoke") return Invoke(process, function, value, timed_out, number);
    Outcome outcome = Outcome::kInfo;
    if (words[4] == ":ok") {
      if (timed_out) return Says("an :ok has no value");
      outcome = Outcome::kOk;
    } else if (words[4] == ":fail") {
      outcome = Outcome::kFail;
    } else if (words[4] != ":info") {
      return Says("expected :invoke, :ok, :fail or :info, not " + std::string(words[4]));
    }
    Operation* operation = pairing_.Complete(process, function, outcome);
    if (operation == nullptr) return Says(pairing_.error());
    operation->has_result = outcome == Outcome::kOk && function == Function::kRead;
    if (operation->has_result) operation->result = value;
    operation->compared_unequal =
        outcome == Outcome::kFail && function == Function::kCas && !timed_out;
    return true;
  }

  bool Invoke(std::int64_t process, Function function, Value value, bool timed_out,
              std::uint64_t number) {
    if (timed_out) return Says("an :invoke has no value");
    Operation* operation = pairing_.Invoke(process, number);
    if (operation == nullptr) return Says(pairing_.error());
    operation->function = function;
    operation->value = value;
    return true;
  }

  bool ReadValue(Function function, const std::vector<std::string_view>& words, Value& value) {
    const std::size_t expected = function == Function::kCas ? 8 : 7;
    if (words.size() != expected) {
      return Says(function == Function::kCas ? "expected [old new] after :cas"
                                             : "expected one value");
    }
    std::vector<Value> values;
    for (std::size_t i = 6; i < expected; ++i) {
      std::int64_t number = 0;
      if (words[i] == "nil") {
        values.push_back(kNil);
      } else if (ToNumber(words[i], number)) {
        values.push_back(history_.values.Number(number));
      } else {
        return Says("expected a number or nil, not " + std::string(words[i].substr(0, 40)));
      }
    }
    value = function == Function::kCas ? history_.values.List(values) : values.front();
    return true;
  }

  History history_;
  Pairing pairing_;
  std::string error_;
};

}  // namespace

ReadResult ReadEtcdLog(ByteStream& stream, const ReadOptions& options) {
  EtcdLog log;
  std::string_view line;
  std::uint64_t lines = 0;
  while (stream.Line(line)) {
    if (!log.Line(line, stream.line_number() - 1)) {
      return Malformed(stream.line_number() - 1, log.error());
    }
    if (++lines / 2 > options.max_operations) {
      return Malformed(stream.line_number() - 1, "more than " +
                                                     std::to_string(options.max_operations) +
                                                     " operations: raise --max-operations");
    }
  }
  if (!stream.error().empty()) return Malformed(stream.line_number(), stream.error());
  History history = log.Take();
  history.format = Format::kEtcdLog;
  history.model = Model::kRegister;
  return history;
}

}  // namespace quorate::check
