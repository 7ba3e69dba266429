#include "storage/execute_transaction.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "raft/assert.h"

namespace quorate::storage {
namespace {

// What the operations of one transaction have done so far: the keys see it when all of it is done.
class Staged final : public KeySpace {
 public:
  explicit Staged(KeySpace& keys) : keys_(keys) {}

  Result<std::optional<Record>> Get(std::string_view key) override {
    const auto it = records_.find(key);
    return it == records_.end() ? keys_.Get(key) : it->second;
  }
  void Put(std::string_view key, raft::Index mod_index, std::uint64_t owner,
           std::string_view value) override {
    records_.insert_or_assign(std::string(key), Record{mod_index, owner, std::string(value)});
  }
  void Delete(std::string_view key) override {
    records_.insert_or_assign(std::string(key), std::nullopt);
  }
  Result<std::vector<std::string>> Keys(std::string_view, std::string_view, std::size_t) override {
    QUORATE_ASSERT(false, "no operation of a transaction lists keys");
  }
  void PutRow(std::string_view name, std::string_view value) override {
    rows_.insert_or_assign(std::string(name), std::string(value));
  }
  void DeleteRow(std::string_view name) override {
    rows_.insert_or_assign(std::string(name), std::nullopt);
  }
  Result<std::vector<std::string>> RowNames(std::string_view, std::size_t) override {
    QUORATE_ASSERT(false, "no operation of a transaction lists rows");
  }

  void Commit() const {
    for (const auto& [key, record] : records_) {
      if (record) {
        keys_.Put(key, record->mod_index, record->owner, record->value);
      } else {
        keys_.Delete(key);
      }
    }
    for (const auto& [name, value] : rows_) {
      if (value) {
        keys_.PutRow(name, *value);
      } else {
        keys_.DeleteRow(name);
      }
    }
  }

 private:
  KeySpace& keys_;
  std::map<std::string, std::optional<Record>, std::less<>> records_;
  std::map<std::string, std::optional<std::string>, std::less<>> rows_;
};

template <typename T>
bool Related(const T& present, wire::Compare::Relation relation, const T& given) {
  switch (relation) {
    case wire::Compare::EQUAL:
      return present == given;
    case wire::Compare::NOT_EQUAL:
      return present != given;
    case wire::Compare::LESS:
      return present < given;
    case wire::Compare::GREATER:
      return present > given;
    default:
      return false;
  }
}

Result<bool> Holds(const wire::Compare& compare, KeySpace& keys) {
  const Result<std::optional<Record>> present = keys.Get(compare.key());
  if (!present) return Forward(present);
  if (compare.target_case() == wire::Compare::kModIndex) {
    return Related<std::uint64_t>(*present ? (*present)->mod_index : 0, compare.relation(),
                                  compare.mod_index());
  }
  if (!*present) return compare.relation() == wire::Compare::NOT_EQUAL;
  return Related<std::string>((*present)->value, compare.relation(), compare.value());
}

bool WellFormed(const wire::Transaction& command) {
  for (const wire::Compare& compare : command.compare()) {
    if (compare.target_case() == wire::Compare::TARGET_NOT_SET) return false;
    if (!wire::Compare::Relation_IsValid(compare.relation())) return false;
  }
  return true;
}

Result<Part> Execute(const wire::Operation& operation, const Change& change) {
  switch (operation.operation_case()) {
    case wire::Operation::kPut:
      return Execute(operation.put(), change);
    case wire::Operation::kDelete:
      return Execute(operation.delete_(), change);
    case wire::Operation::kIncrement:
      return Execute(operation.increment(), change);
    case wire::Operation::kAppend:
      return Execute(operation.append(), change);
    case wire::Operation::kGet: {
      Result<std::optional<Record>> present = change.keys.Get(operation.get());
      if (!present) return Forward(present);
      Part part{.found = present->has_value()};
      if (*present) {
        part.mod_index = (*present)->mod_index;
        part.value = std::move((*present)->value);
      }
      return part;
    }
    default:
      return Part{.outcome = Outcome::kRejected};
  }
}

}  // namespace

Result<Part> Execute(const wire::Transaction& command, const Change& change,
                     wire::WriteResult& result) {
  if (!WellFormed(command)) return Part{.outcome = Outcome::kRejected};
  bool holds = true;
  for (const wire::Compare& compare : command.compare()) {
    const Result<bool> one = Holds(compare, change.keys);
    if (!one) return Forward(one);
    holds = holds && *one;
  }
  Staged staged(change.keys);
  const Change inside{staged, change.index, change.session};
  std::size_t bytes = 0;
  for (const wire::Operation& operation : holds ? command.then() : command.otherwise()) {
    Result<Part> part = Execute(operation, inside);
    if (!part) return Forward(part);
    const bool failed = part->outcome != Outcome::kDone && part->outcome != Outcome::kNotFound;
    bytes += part->value.size();
    if (failed || bytes > kMaxTransactionResultBytes) {
      result.Clear();
      if (failed) return part;
      return Part{.outcome = Outcome::kResultTooLarge, .have = bytes};
    }
    wire::OperationResult& told = *result.add_results();
    told.set_found(part->found);
    told.set_mod_index(part->mod_index);
    told.set_value(std::move(part->value));
  }
  staged.Commit();
  result.set_succeeded(holds);
  return Part{};
}

}  // namespace quorate::storage
