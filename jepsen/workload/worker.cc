#include "jepsen/workload/worker.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <cinttypes>
#include <cstdio>

namespace quorate::workload {
namespace {

constexpr std::chrono::milliseconds kSessionTtl{10'000};

Operation ToJson(const Certificate& certificate) {
  char incarnation[17];
  std::snprintf(incarnation, sizeof incarnation, "%016" PRIx64, certificate.incarnation);
  Operation json = {{"node", certificate.node},
                    {"term", certificate.term},
                    {"index", certificate.applied_index},
                    {"entry_term", certificate.entry_term},
                    {"incarnation", incarnation}};
  if (certificate.age) json["age_us"] = certificate.age->count();
  json["lag"] = certificate.lag;
  json["basis"] = ToString(certificate.basis);
  json["fresh_index"] = certificate.fresh_index;
  json["waited_us"] = certificate.waited.count();
  json["via_leader"] = certificate.via_leader;
  return json;
}

Operation ToJson(const Error& error) {
  Operation json = {{"code", ToString(error.code)},
                    {"class", ToString(error.error_class)},
                    {"detail", error.detail}};
  if (error.have != 0 || error.want != 0) {
    json["have"] = error.have;
    json["want"] = error.want;
  }
  if (error.age) json["age_us"] = error.age->count();
  if (error.because) json["because"] = ToString(*error.because);
  return json;
}

const char* Name(OnUnmet on_unmet) {
  constexpr const char* kNames[] = {"wait", "refuse", "serve"};
  return kNames[static_cast<std::size_t>(on_unmet)];
}

std::vector<std::string> Rotated(std::vector<std::string> endpoints, int by) {
  std::rotate(endpoints.begin(), endpoints.begin() + by % std::ssize(endpoints), endpoints.end());
  return endpoints;
}

}  // namespace

Worker::Worker(Run& run, int number)
    : run_(run),
      number_(number),
      chance_(run.settings.seed * 1'000'003 + static_cast<std::uint64_t>(number)),
      process_(run.next_process++),
      client_(Connect()),
      timer_(run.io) {}

std::unique_ptr<Client> Worker::Connect() {
  Options options;
  options.endpoints = Rotated(run_.settings.endpoints, number_);
  options.name = "quorate-workload " + std::to_string(number_);
  options.timeout = run_.settings.timeout;
  return std::make_unique<Client>(run_.io, options);
}

Operation Worker::Begin(const char* function, const std::string& key) {
  Operation operation = {{"op", run_.recorder.NextNumber()}, {"client", process_}, {"f", function}};
  if (!key.empty()) operation["key"] = key;
  operation["invoked"] = run_.recorder.Now();
  return operation;
}

void Worker::Succeed(Operation operation, const Certificate& certificate) {
  operation["returned"] = run_.recorder.Now();
  operation["type"] = "ok";
  operation["certificate"] = ToJson(certificate);
  run_.recorder.End(operation);
}

void Worker::Succeed(Operation operation, const WriteReply& reply) {
  operation["revision"] = reply.revision;
  Succeed(std::move(operation), reply.certificate);
}

void Worker::Fail(Operation operation, const Error& error) {
  const bool unknown = error.maybe_applied();
  operation["returned"] = run_.recorder.Now();
  operation["type"] = unknown ? "info" : "fail";
  operation["attempts"] = error.attempts;
  operation["error"] = ToJson(error);
  run_.recorder.End(operation);
  if (unknown) process_ = run_.next_process++;
}

void Worker::Refuse(Operation operation, const char* code, const std::string& detail) {
  operation["returned"] = run_.recorder.Now();
  operation["type"] = "fail";
  operation["error"] = {{"code", code}, {"class", "final"}, {"detail", detail}};
  run_.recorder.End(operation);
}

ReadOptions Worker::ChooseRead(Operation& operation) {
  const Settings& settings = run_.settings;
  const ReadLevel& chosen = settings.levels[chance_.Below(settings.levels.size())];
  const bool session = chosen.name == "session";
  ReadOptions options;
  options.timeout = settings.timeout;
  options.level = chosen.level;
  options.session_guarantees = false;
  operation["level"] = chosen.name;
  if (session) {
    const Token seen = client_->Seen();
    operation["min_index"] = seen.index;
    // The library's own guarantee, and a token that is asked for, must come to the same.
    options.session_guarantees = chance_.Of(0.5);
    if (seen && !*options.session_guarantees) options.level = AtLeast(seen);
  }
  if (options.level.max_age) operation["max_age_us"] = options.level.max_age->count();
  if (options.level.max_lag > 0) operation["max_lag"] = options.level.max_lag;
  if (options.level.bounded() || (session && options.level.token)) {
    const double choice = chance_.Uniform();
    if (choice < 0.2) options.level.on_unmet = OnUnmet::kRefuse;
    if (choice > 0.9) options.level.on_unmet = OnUnmet::kServeAnyway;
    operation["on_unmet"] = Name(options.level.on_unmet);
  }
  if (settings.nodes > 0 && chance_.Of(chosen.name == "strong" ? 0.5 : 0.75)) {
    options.node = 1 + chance_.Below(settings.nodes);
    operation["node"] = options.node;
  }
  return options;
}

awaitable<void> Worker::Read(std::string key, Form form, bool strong) {
  Operation operation = Begin("read", key);
  ReadOptions options;
  if (strong) {
    operation["level"] = "strong";
    options.timeout = run_.settings.timeout;
  } else {
    options = ChooseRead(operation);
  }
  const auto got = co_await client_->AsyncGet(key, options, use_awaitable);
  if (!got) co_return Fail(std::move(operation), got.error());
  if (!got->found) {
    operation["result"] = nullptr;
  } else if (form == Form::kNumber) {
    operation["result"] = std::stoll(got->value);
  } else {
    operation["result"] = got->value;
  }
  operation["revision"] = got->revision;
  Succeed(std::move(operation), got->certificate);
}

awaitable<WriteOptions> Worker::ChooseWrite(Operation& operation) {
  WriteOptions options;
  options.timeout = run_.settings.timeout;
  if (number_ % 2 == 0) co_return options;
  options.session = co_await OpenSession(kSessionTtl);
  if (options.session) {
    options.timeout *= 3;
    NameCommand(operation, options.session);
  }
  co_return options;
}

awaitable<Session> Worker::OpenSession(std::chrono::milliseconds ttl) {
  if (session_ && !session_.lost()) co_return session_;
  SessionOptions options;
  options.ttl = ttl;
  CallOptions call;
  call.timeout = run_.settings.timeout;
  const auto opened = co_await client_->AsyncOpenSession(options, call, use_awaitable);
  session_ = opened ? *opened : Session();
  next_seq_ = 1;
  co_return session_;
}

void Worker::NameCommand(Operation& operation, const Session& session) {
  operation["session"] = session.id();
  operation["seq"] = next_seq_++;
}

void Worker::Forget() {
  client_ = Connect();
  session_ = {};
}

awaitable<void> Worker::Sleep(std::chrono::microseconds time) {
  if (run_.stopping) co_return;
  boost::system::error_code ignored;
  timer_.expires_after(time);
  co_await timer_.async_wait(boost::asio::redirect_error(use_awaitable, ignored));
}

}  // namespace quorate::workload
