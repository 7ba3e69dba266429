// Jepsen's and knossos' histories, and porcupine's kv logs: maps with :process, :type, :f, :value.
#include <array>
#include <utility>

#include "jepsen/check/edn.h"
#include "jepsen/check/pairing.h"
#include "jepsen/check/readers.h"

namespace quorate::check {
namespace {

std::optional<Function> FunctionNamed(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Function>, 18> kNames{{
      {"read", Function::kRead},
      {"get", Function::kRead},
      {"r", Function::kRead},
      {"write", Function::kWrite},
      {"put", Function::kWrite},
      {"w", Function::kWrite},
      {"cas", Function::kCas},
      {"append", Function::kAppend},
      {"add", Function::kAdd},
      {"inc", Function::kAdd},
      {"delete", Function::kDelete},
      {"transfer", Function::kTransfer},
      {"acquire", Function::kAcquire},
      {"release", Function::kRelease},
      {"use", Function::kUse},
      {"txn", Function::kTransaction},
      {"lock", Function::kAcquire},
      {"unlock", Function::kRelease},
  }};
  for (const auto& [known, function] : kNames) {
    if (known == name) return function;
  }
  return std::nullopt;
}

class EdnHistory {
 public:
  EdnHistory(ByteStream& stream, const ReadOptions& options)
      : edn_(stream), options_(options), pairing_(history_) {}

  ReadResult Read() {
    const std::uint64_t first_line = edn_.line_number();
    const int open = edn_.PeekDatum();
    const bool enclosed = open == '[' || open == '(';
    if (enclosed) edn_.Open();
    Edn datum;
    bool any = enclosed;
    for (;; any = true) {
      edn_.PeekDatum();
      const std::uint64_t line = edn_.line_number();
      if (!edn_.Next(datum)) break;
      if (!Event(datum, line)) return Malformed(line, error_);
      if (history_.operations.size() > options_.max_operations) {
        return Malformed(line, "more than " + std::to_string(options_.max_operations) +
                                   " operations: raise --max-operations");
      }
    }
    if (!edn_.error().empty()) return Malformed(edn_.line_number(), edn_.error());
    if (!any) return ReadError{ReadError::Kind::kEmpty, {}, 0, "the file has nothing but comments"};
    if (enclosed && !edn_.Close(open == '[' ? ']' : ')')) {
      return Malformed(edn_.line_number(), std::string("the file is cut off: the '") +
                                               static_cast<char>(open) + "' of line " +
                                               std::to_string(first_line) + " is not closed");
    }
    if (edn_.PeekDatum() >= 0 || !edn_.error().empty()) {
      return Malformed(edn_.line_number(), "more follows the end of the history");
    }
    Finish();
    return std::move(history_);
  }

 private:
  bool Says(std::string error) {
    error_ = std::move(error);
    return false;
  }

  bool Event(const Edn& event, std::uint64_t line) {
    if (event.kind != Edn::Kind::kMap)
      return Says("expected an operation: {:process .. :type .. :f ..}");
    const Edn* process = event.Find("process");
    const Edn* type = event.Find("type");
    const Edn* f = event.Find("f");
    if (process == nullptr) return Says("the operation has no :process");
    if (process->kind != Edn::Kind::kInteger) return true;  // :nemesis
    if (type == nullptr || type->kind != Edn::Kind::kKeyword) {
      return Says("the operation has no :type");
    }
    if (f == nullptr || (f->kind != Edn::Kind::kKeyword && f->kind != Edn::Kind::kText)) {
      return Says("the operation has no :f");
    }
    const auto function = FunctionNamed(f->text);
    if (!function) return Says("no model here has an operation :" + f->text);
    const Edn* value = event.Find("value");
    if (type->Is("invoke")) return Invoke(event, *process, *function, value, line);
    if (type->Is("ok")) return Complete(*process, *function, Outcome::kOk, value);
    if (type->Is("fail")) return Complete(*process, *function, Outcome::kFail, value);
    if (type->Is("info")) return Complete(*process, *function, Outcome::kInfo, value);
    return Says("expected :invoke, :ok, :fail or :info as :type, not :" + type->text);
  }

  bool Invoke(const Edn& event, const Edn& process, Function function, const Edn* value,
              std::uint64_t line) {
    Operation* operation = pairing_.Invoke(process.integer, line);
    if (operation == nullptr) return Says(pairing_.error());
    operation->function = function;
    if (const Edn* key = event.Find("key")) {
      operation->key = ToValue(*key);
      has_keys_ = true;
    }
    value = Untupled(value, *operation);
    if (value != nullptr && function != Function::kRead) operation->value = ToValue(*value);
    if (function == Function::kCas && history_.values.items(operation->value).size() != 2) {
      return Says("expected [old new] as :value of :cas");
    }
    Note(function);
    return true;
  }

  bool Complete(const Edn& process, Function function, Outcome outcome, const Edn* value) {
    Operation* operation = pairing_.Complete(process.integer, function, outcome);
    if (operation == nullptr) return Says(pairing_.error());
    if (outcome != Outcome::kOk) return true;
    value = Untupled(value, *operation);
    if (function == Function::kRead || function == Function::kTransaction) {
      operation->has_result = true;
      if (value != nullptr) operation->result = ToValue(*value);
      reads_lists_ = reads_lists_ || (value != nullptr && value->kind == Edn::Kind::kVector);
    }
    if (function == Function::kTransaction) operation->value = operation->result;
    return true;
  }

  // The value of an operation on one of many independent objects names the object.
  const Edn* Untupled(const Edn* value, Operation& operation) {
    if (value == nullptr || !value->is_tuple) return value;
    operation.key = ToValue(value->items[0]);
    return &value->items[1];
  }

  Value ToValue(const Edn& datum) {
    switch (datum.kind) {
      case Edn::Kind::kNothing:
        return kNil;
      case Edn::Kind::kInteger:
        return history_.values.Number(datum.integer);
      case Edn::Kind::kText:
        return history_.values.Text(datum.text);
      case Edn::Kind::kKeyword:
      case Edn::Kind::kSymbol:
        return history_.values.Text(':' + datum.text);
      case Edn::Kind::kVector:
      case Edn::Kind::kMap:
        break;
    }
    std::vector<Value> items;
    const bool is_map = datum.kind == Edn::Kind::kMap;
    for (std::size_t i = 0; i < datum.items.size(); i += is_map ? 2 : 1) {
      const Value item = ToValue(datum.items[i]);
      items.push_back(is_map ? history_.values.List({item, ToValue(datum.items[i + 1])}) : item);
    }
    return history_.values.List(items);
  }

  void Note(Function function) { seen_ |= 1U << static_cast<unsigned>(function); }
  bool Saw(Function function) const { return (seen_ >> static_cast<unsigned>(function) & 1U) != 0; }

  Model Recognised() const {
    if (Saw(Function::kTransaction)) return Model::kMultiRegister;
    if (Saw(Function::kAppend) || (has_keys_ && !Saw(Function::kCas))) return Model::kKv;
    if (Saw(Function::kTransfer)) return Model::kBank;
    if (Saw(Function::kAcquire) || Saw(Function::kRelease)) return Model::kLock;
    if (Saw(Function::kAdd)) return reads_lists_ ? Model::kSet : Model::kCounter;
    return Model::kRegister;
  }

  void Finish() {
    history_.format = Format::kEdn;
    history_.model = options_.model == Model::kUnknown ? Recognised() : options_.model;
    switch (history_.model) {
      case Model::kRegister:
      case Model::kMultiRegister:
        history_.initial = history_.values.Number(0);
        history_.nil_reads_are_unknown = true;
        break;
      case Model::kKv:
        history_.initial = history_.values.Text("");
        break;
      default:
        break;
    }
  }

  EdnReader edn_;
  const ReadOptions& options_;
  History history_;
  Pairing pairing_;
  std::string error_;
  std::uint32_t seen_ = 0;
  bool has_keys_ = false;
  bool reads_lists_ = false;
};

}  // namespace

ReadResult ReadEdn(ByteStream& stream, const ReadOptions& options) {
  return EdnHistory(stream, options).Read();
}

}  // namespace quorate::check
