#include "jepsen/workload/registers.h"

#include <utility>

namespace quorate::workload {
namespace {

// No value is written twice: it names its operation.
std::string NewValue(const Operation& operation) {
  return "v" + std::to_string(operation.at("op").get<std::uint64_t>());
}

}  // namespace

void LastWritten::Note(const std::string& key, Value value) {
  Value& kept = values_[key];
  if (value.revision > kept.revision) kept = std::move(value);
}

LastWritten::Value LastWritten::Of(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? Value{} : found->second;
}

awaitable<void> Write(Worker& worker, std::string key, LastWritten& last) {
  Operation operation = worker.Begin("write", key);
  const std::string value = NewValue(operation);
  operation["value"] = value;
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const auto reply = co_await worker.client().AsyncPut(key, value, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  LastWritten::Value written{value, reply->revision, true};
  last.Note(key, std::move(written));
  worker.Succeed(std::move(operation), *reply);
}

awaitable<void> Delete(Worker& worker, std::string key, LastWritten& last) {
  Operation operation = worker.Begin("delete", key);
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const auto reply = co_await worker.client().AsyncDelete(key, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  LastWritten::Value written{{}, reply->revision, false};
  last.Note(key, std::move(written));
  worker.Succeed(std::move(operation), *reply);
}

awaitable<void> CompareAndSet(Worker& worker, std::string key, LastWritten& last) {
  Operation operation = worker.Begin("cas", key);
  LastWritten::Value old = last.Of(key);
  const bool by_revision = old.present && worker.chance().Of(0.5);
  if (!by_revision && worker.chance().Of(0.1)) old = {"never written", 0, true};
  const std::string value = NewValue(operation);
  operation["value"] = {old.present ? Operation(old.text) : Operation(nullptr), value};
  Expectation expect = Absent{};
  if (by_revision) {
    expect = AtRevision{old.revision};
  } else if (old.present) {
    expect = WithValue{old.text};
  }
  const WriteOptions options = co_await worker.ChooseWrite(operation);
  const auto reply =
      co_await worker.client().AsyncCompareAndSet(key, expect, value, options, use_awaitable);
  if (!reply) co_return worker.Fail(std::move(operation), reply.error());
  LastWritten::Value written{value, reply->revision, true};
  last.Note(key, std::move(written));
  worker.Succeed(std::move(operation), *reply);
}

}  // namespace quorate::workload
