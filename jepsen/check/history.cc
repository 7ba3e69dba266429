#include "jepsen/check/history.h"

#include <array>
#include <utility>

namespace quorate::check {
namespace {

constexpr std::array<std::pair<std::string_view, Model>, 11> kModels{{
    {"register", Model::kRegister},
    {"append", Model::kAppend},
    {"counter", Model::kCounter},
    {"set", Model::kSet},
    {"bank", Model::kBank},
    {"lock", Model::kLock},
    {"kv", Model::kKv},
    {"multi-register", Model::kMultiRegister},
    // Other names of the same.
    {"cas-register", Model::kRegister},
    {"mutex", Model::kLock},
    {"cas", Model::kRegister},
}};
constexpr std::size_t kOwnNames = 8;

}  // namespace

Value Made(const ValueTable& values, const Operation& op) {
  if (op.function == Function::kCas) return values.item(op.value, 1);
  return op.function == Function::kDelete ? kNil : op.value;
}

std::string_view Name(Function function) {
  constexpr std::array<std::string_view, 11> kNames = {"read",    "write", "cas",        "delete",
                                                       "append",  "add",   "transfer",   "acquire",
                                                       "release", "use",   "transaction"};
  return kNames[static_cast<std::size_t>(function)];
}

std::string_view Name(Level level) {
  constexpr std::array<std::string_view, 4> kNames = {"strong", "bounded", "session", "eventual"};
  return kNames[static_cast<std::size_t>(level)];
}

std::string_view Name(Model model) {
  for (const auto& [name, named] : kModels) {
    if (named == model) return name;
  }
  return "unknown";
}

Model ModelNamed(std::string_view name) {
  for (const auto& [known, model] : kModels) {
    if (known == name) return model;
  }
  return Model::kUnknown;
}

std::string ModelNames() {
  std::string names;
  for (std::size_t i = 0; i < kOwnNames; ++i) {
    if (i > 0) names += ", ";
    names += kModels[i].first;
  }
  return names;
}

}  // namespace quorate::check
