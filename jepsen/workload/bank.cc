// Transfers between accounts, by transaction: money is neither made nor lost.
#include "jepsen/workload/workload.h"

namespace quorate::workload {
namespace {

constexpr std::uint64_t kAccounts = 8;
constexpr std::int64_t kEach = 100;
constexpr int kTries = 20;

std::string Account(std::uint64_t number) {
  return "account" + std::to_string(number);
}

std::vector<std::string> AllAccounts() {
  std::vector<std::string> accounts;
  for (std::uint64_t i = 0; i < kAccounts; ++i) accounts.push_back(Account(i));
  return accounts;
}

awaitable<void> ReadBank(Worker& worker, bool strong) {
  Operation operation = worker.Begin("read", "");
  ReadOptions options;
  if (strong) {
    operation["level"] = "strong";
  } else {
    options = worker.ChooseRead(operation);
  }
  options.timeout = worker.run().settings.timeout;
  const auto accounts = AllAccounts();
  const auto got = co_await worker.client().AsyncMultiGet(accounts, options, use_awaitable);
  if (!got) co_return worker.Fail(std::move(operation), got.error());
  Operation balances = Operation::object();
  for (const Item& item : got->items) balances[item.key] = std::stoll(item.value);
  operation["result"] = std::move(balances);
  worker.Succeed(std::move(operation), got->certificate);
}

// Not enough in the account, as a strong read found, is as good as a comparison that failed. Else
// the transaction asks that nobody has touched the account since that read.
awaitable<void> Transfer(Worker& worker) {
  Operation operation = worker.Begin("transfer", "");
  Chance& chance = worker.chance();
  const std::uint64_t source = chance.Below(kAccounts);
  const std::string from = Account(source);
  const std::string to = Account((source + 1 + chance.Below(kAccounts - 1)) % kAccounts);
  const auto amount = static_cast<std::int64_t>(1 + chance.Below(30));
  operation["value"] = {from, to, amount};
  ReadOptions read;
  read.timeout = worker.run().settings.timeout;
  for (int i = 0; i < kTries; ++i) {
    const auto got = co_await worker.client().AsyncGet(from, read, use_awaitable);
    if (!got) co_return worker.Fail(std::move(operation), got.error());
    if (!got->found || std::stoll(got->value) < amount) {
      co_return worker.Refuse(std::move(operation), "COMPARE_FAILED", "not enough in " + from);
    }
    Transaction transaction;
    transaction.When(Compare::Revision(from, Relation::kEqual, got->revision))
        .Then(Change::Increment(from, -amount))
        .Then(Change::Increment(to, amount));
    const WriteOptions options = co_await worker.ChooseWrite(operation);
    const auto reply = co_await worker.client().AsyncExecute(transaction, options, use_awaitable);
    if (!reply) co_return worker.Fail(std::move(operation), reply.error());
    if (reply->succeeded) co_return worker.Succeed(std::move(operation), reply->write);
  }
  worker.Refuse(std::move(operation), "CONFLICT", "others were faster every time");
}

class Bank : public Workload {
 public:
  awaitable<std::string> Prepare(Worker& worker) override {
    Transaction transaction;
    for (const std::string& account : AllAccounts()) {
      transaction.Then(Change::Put(account, std::to_string(kEach)));
    }
    WriteOptions options;
    options.timeout = std::chrono::seconds(20);
    const auto reply = co_await worker.client().AsyncExecute(transaction, options, use_awaitable);
    co_return reply ? std::string() : reply.error().detail;
  }

  awaitable<void> Next(Worker& worker) override {
    if (worker.chance().Of(0.5)) {
      co_await ReadBank(worker, false);
    } else {
      co_await Transfer(worker);
    }
  }

  awaitable<void> Conclude(Worker& worker) override { co_await ReadBank(worker, true); }

  void Describe(Operation& header) const override { header["total"] = kEach * kAccounts; }
};

}  // namespace

std::unique_ptr<Workload> MakeBank() {
  return std::make_unique<Bank>();
}

}  // namespace quorate::workload
