// bench: how many requests a second, and how long they take.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tools/bulk_writer.h"
#include "tools/command.h"
#include "tools/load.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/read_arguments.h"
#include "tools/workload.h"

namespace quorate::tools {
namespace {

constexpr std::chrono::milliseconds kInterruptCheck{100};

struct BenchArguments {
  WorkloadSettings workload;
  int clients = 64;
  int connections = 8;
  int threads = 1;
  double rate = 0;
  std::size_t max_in_flight = 10'000;
  std::string duration = "10s";
  std::string warmup = "1s";
  std::string interval = "0s";  // none is reported
  ReadArguments read;
  bool preload = false;  // neither of the two: if the workload reads
  bool no_preload = false;
};

// The first request leaves at `start`; what starts between begin and end counts.
struct Schedule {
  LoadClock::time_point start;
  LoadClock::time_point begin;
  LoadClock::time_point end;
};

using Threads = std::vector<std::unique_ptr<LoadThread>>;

double Seconds(LoadClock::duration time) {
  return std::chrono::duration<double>(time).count();
}

Schedule MakeSchedule(const BenchArguments& arguments) {
  // A little later than now, so that all threads are there.
  const auto start = LoadClock::now() + std::chrono::milliseconds(50);
  const auto begin = start + ParseDuration(arguments.warmup).value_or(std::chrono::microseconds(0));
  const auto end = begin + ParseDuration(arguments.duration).value_or(std::chrono::microseconds(0));
  return {.start = start, .begin = begin, .end = end};
}

// False: it failed, or was interrupted; says why.
bool Preload(const Settings& settings, Interrupt& interrupt, const BenchArguments& arguments,
             const Workload& workload, ExitCode& code) {
  Client client(settings.client_options());
  BulkWriter writer(client);
  interrupt.SetHandler([&writer] { writer.Stop(); });
  const std::uint64_t record_bytes = sizeof(KeyName) + arguments.workload.value_bytes;
  Progress progress("loading keys", workload.keys() * record_bytes, settings.verbose);
  Random random(arguments.workload.seed);
  for (std::uint64_t i = 0; i < workload.keys(); ++i) {
    const Record record{.key = std::string(KeyName(i).view()),
                        .value = std::string(workload.Value(random))};
    if (!writer.Add(record)) break;
    if (i % 64 == 0) progress.Update(i, i * record_bytes);
  }
  writer.Finish();
  progress.Clear();
  interrupt.SetHandler(nullptr);
  const BulkResult result = writer.result();
  code = kExitOk;
  if (result.first_error) {
    code = Report(settings, Json(), *result.first_error);
  } else if (interrupt.raised()) {
    PrintError("interrupted while loading keys");
    code = kExitInterrupted;
  }
  return code == kExitOk;
}

// `share` of `all` for thread `index` of `threads`.
int Share(int all, int threads, int index) {
  return all / threads + (index < all % threads ? 1 : 0);
}

Threads MakeThreads(const Settings& settings, const BenchArguments& arguments,
                    const Workload& workload, const Schedule& schedule) {
  const int count = std::min({arguments.threads, arguments.clients, arguments.connections});
  Threads threads;
  for (int i = 0; i < count; ++i) {
    threads.push_back(std::make_unique<LoadThread>(
        LoadPlan{.workload = &workload,
                 .client = settings.client_options(),
                 .clients = Share(arguments.clients, count, i),
                 .connections = Share(arguments.connections, count, i),
                 .rate = arguments.rate / count,
                 .max_in_flight = arguments.max_in_flight / static_cast<std::size_t>(count),
                 .read = arguments.read.options(settings),
                 .write = {.node = settings.node},
                 .seed = arguments.workload.seed * 1'000'003 + static_cast<std::uint64_t>(i),
                 .start = schedule.start,
                 .begin = schedule.begin,
                 .end = schedule.end}));
  }
  return threads;
}

double Microseconds(std::uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / 1000;
}

void AddQuantiles(Json& json, const Histogram& histogram) {
  json["p50_us"] = Microseconds(histogram.Quantile(0.5));
  json["p90_us"] = Microseconds(histogram.Quantile(0.9));
  json["p99_us"] = Microseconds(histogram.Quantile(0.99));
  json["p999_us"] = Microseconds(histogram.Quantile(0.999));
  json["max_us"] = Microseconds(histogram.max());
  json["mean_us"] = histogram.mean() / 1000;
}

void PrintLatencies(const char* name, const Histogram& histogram, double seconds) {
  if (histogram.count() == 0) return;
  std::printf(
      "%-8s %10s/s   p50 %8.0f   p90 %8.0f   p99 %8.0f   p99.9 %8.0f   max %8.0f us\n", name,
      Grouped(static_cast<std::uint64_t>(static_cast<double>(histogram.count()) / seconds)).c_str(),
      Microseconds(histogram.Quantile(0.5)), Microseconds(histogram.Quantile(0.9)),
      Microseconds(histogram.Quantile(0.99)), Microseconds(histogram.Quantile(0.999)),
      Microseconds(histogram.max()));
}

// What was settled since the last call, by all threads.
Histogram TakeRecent(const Threads& threads) {
  Histogram sum;
  for (const auto& thread : threads) sum.Merge(thread->TakeRecent());
  return sum;
}

bool Reports(const BenchArguments& arguments) {
  return *ParseDuration(arguments.interval) > std::chrono::seconds(0);
}

void PrintInterval(const Settings& settings, const BenchArguments& arguments, double at,
                   double seconds, const Histogram& recent) {
  const double rate = static_cast<double>(recent.count()) / seconds;
  if (!Reports(arguments)) {
    std::fprintf(stderr, "%4.0f s  %10s/s\n", at,
                 Grouped(static_cast<std::uint64_t>(rate)).c_str());
  } else if (settings.json) {
    Json json;
    json["at"] = at;
    json["ops_per_sec"] = rate;
    AddQuantiles(json, recent);
    PrintJson(json);
  } else {
    std::printf("%6.1f s ", at);
    PrintLatencies("", recent, seconds);
  }
  std::fflush(stdout);
}

// Until the end; reports each interval, if asked to.
void Watch(const Settings& settings, const BenchArguments& arguments, const Threads& threads,
           const Interrupt& interrupt, const Schedule& schedule) {
  const bool report = settings.verbose || Reports(arguments);
  const LoadClock::duration interval = Reports(arguments) ? *ParseDuration(arguments.interval)
                                       : report ? LoadClock::duration(std::chrono::seconds(1))
                                                : schedule.end - schedule.begin;
  auto last = schedule.begin;
  while (LoadClock::now() < schedule.end && !interrupt.raised()) {
    const auto next = std::min(last + interval, schedule.end);
    std::this_thread::sleep_until(std::min(next, LoadClock::now() + kInterruptCheck));
    const auto now = LoadClock::now();
    if (!report || now < next) continue;
    PrintInterval(settings, arguments, Seconds(now - schedule.begin), Seconds(now - last),
                  TakeRecent(threads));
    last = now;
  }
}

double Share(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
}

// How fresh the reads were, and who vouched for it.
Json FreshnessJson(const LoadResult& result) {
  const Freshness& freshness = result.freshness;
  Json json;
  json["local_share"] = Share(freshness.local, result.reads.count());
  json["by_basis"] = Json::object();
  for (std::size_t i = 0; i < freshness.by_basis.size(); ++i) {
    const std::uint64_t count = freshness.by_basis[i];
    if (count > 0) json["by_basis"][std::string(ToString(static_cast<Basis>(i)))] = count;
  }
  const Histogram& ages = freshness.ages;
  json["proven"] = ages.count();
  for (const auto& [name, quantile] :
       {std::pair("p50", 0.5), std::pair("p90", 0.9), std::pair("p99", 0.99)}) {
    json[std::string("age_") + name + "_us"] =
        ages.count() > 0 ? Json(ages.Quantile(quantile)) : Json();
  }
  json["age_max_us"] = ages.count() > 0 ? Json(ages.max()) : Json();
  return json;
}

void PrintFreshness(const LoadResult& result) {
  if (result.reads.count() == 0) return;
  const Freshness& freshness = result.freshness;
  std::printf("freshness %5.1f %% served without the leader",
              100 * Share(freshness.local, result.reads.count()));
  for (std::size_t i = 0; i < freshness.by_basis.size(); ++i) {
    if (freshness.by_basis[i] == 0) continue;
    std::printf(", %s %.1f %%", std::string(ToString(static_cast<Basis>(i))).c_str(),
                100 * Share(freshness.by_basis[i], result.reads.count()));
  }
  const Histogram& ages = freshness.ages;
  if (ages.count() > 0) {
    std::printf("; proven age p50 %.1f, p99 %.1f, max %.1f ms",
                static_cast<double>(ages.Quantile(0.5)) / 1000,
                static_cast<double>(ages.Quantile(0.99)) / 1000,
                static_cast<double>(ages.max()) / 1000);
  }
  std::printf("\n");
}

Json ResultJson(const BenchArguments& arguments, const LoadResult& result, double seconds,
                bool interrupted) {
  Histogram all = result.reads;
  all.Merge(result.writes);
  Json json;
  json["workload"] = arguments.workload.name;
  json["ops"] = result.ops();
  json["ops_per_sec"] = static_cast<double>(result.ops()) / std::max(seconds, 1e-3);
  AddQuantiles(json, all);
  json["errors"] = result.error_count();
  json["errors_by_code"] = Json::object();
  for (const auto& [code, count] : result.errors)
    json["errors_by_code"][std::string(ToString(code))] = count;
  if (result.not_sent > 0) json["errors_by_code"]["IN_FLIGHT_LIMIT"] = result.not_sent;
  json["not_found"] = result.not_found;
  if (result.reads.count() > 0 && result.writes.count() > 0) {
    for (const auto& [name, histogram] :
         {std::pair("reads", &result.reads), std::pair("updates", &result.writes)}) {
      json[name]["ops"] = histogram->count();
      AddQuantiles(json[name], *histogram);
    }
  }
  if (result.reads.count() > 0) json["freshness"] = FreshnessJson(result);
  json["seconds"] = seconds;
  json["interrupted"] = interrupted;
  json["clients"] = arguments.clients;
  json["connections"] = arguments.connections;
  json["threads"] = arguments.threads;
  json["rate"] = arguments.rate > 0 ? Json(arguments.rate) : Json();
  json["read"] = arguments.read.name();
  json["keys"] = arguments.workload.keys;
  json["value_size"] = arguments.workload.value_bytes;
  json["seed"] = arguments.workload.seed;
  return json;
}

void PrintText(const BenchArguments& arguments, const LoadResult& result, double seconds,
               bool interrupted) {
  seconds = std::max(seconds, 1e-3);
  std::printf("%s%s: %s requests in %.1f s, ", interrupted ? "interrupted; " : "",
              arguments.workload.name.c_str(), Grouped(result.ops()).c_str(), seconds);
  if (arguments.rate > 0) {
    std::printf("open loop at %.0f/s, timed from when each was due\n", arguments.rate);
  } else {
    std::printf("%d clients over %d connections\n", arguments.clients, arguments.connections);
  }
  PrintLatencies("reads", result.reads, seconds);
  PrintLatencies("writes", result.writes, seconds);
  PrintFreshness(result);
  if (result.not_found > 0) {
    std::printf("%s reads found no value: the keys are not all there (see --preload)\n",
                Grouped(result.not_found).c_str());
  }
  for (const auto& [code, count] : result.errors) {
    std::printf("errors   %10s   %s\n", Grouped(count).c_str(),
                std::string(ToString(code)).c_str());
  }
  if (result.not_sent > 0) {
    std::printf("errors   %10s   not sent: %s requests were in flight already (--max-in-flight)\n",
                Grouped(result.not_sent).c_str(), Grouped(arguments.max_in_flight).c_str());
  }
  if (result.first_error) std::printf("the first error: %s\n", result.first_error->detail.c_str());
}

LoadResult RunThreads(const Settings& settings, const BenchArguments& arguments,
                      Interrupt& interrupt, Threads& threads, const Schedule& schedule) {
  interrupt.SetHandler([&threads] {
    for (const auto& thread : threads) thread->Stop();
  });
  std::vector<std::thread> running;
  running.reserve(threads.size());
  for (const auto& thread : threads) {
    running.emplace_back([&thread] { thread->Run(); });
  }
  Watch(settings, arguments, threads, interrupt, schedule);
  LoadResult result;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    running[i].join();
    result.Merge(threads[i]->result());
  }
  interrupt.SetHandler(nullptr);
  return result;
}

ExitCode Bench(const Settings& settings, Interrupt& interrupt, const BenchArguments& arguments) {
  const Workload workload(arguments.workload);
  ExitCode code = kExitOk;
  if ((arguments.preload || (workload.reads() && !arguments.no_preload)) &&
      !Preload(settings, interrupt, arguments, workload, code)) {
    return code;
  }
  const Schedule schedule = MakeSchedule(arguments);
  Threads threads = MakeThreads(settings, arguments, workload, schedule);
  const LoadResult result = RunThreads(settings, arguments, interrupt, threads, schedule);
  const bool interrupted = interrupt.raised();
  const auto end = interrupted ? std::min(LoadClock::now(), schedule.end) : schedule.end;
  const double seconds = std::max(0.0, Seconds(end - schedule.begin));
  if (settings.json) {
    Json json = ResultJson(arguments, result, seconds, interrupted);
    json["error"] = result.first_error ? ToJson(*result.first_error) : Json();
    PrintJson(json);
  } else {
    PrintText(arguments, result, seconds, interrupted);
  }
  std::fflush(stdout);
  if (interrupted) return kExitInterrupted;
  return result.ops() == 0 && result.first_error ? ToExitCode(*result.first_error) : kExitOk;
}

void AddLoadOptions(CLI::App& bench, BenchArguments& arguments) {
  bench
      .add_option("--workload", arguments.workload.name,
                  "What to do; ycsb picks keys by Zipf's law, the others uniformly; txn moves 1 "
                  "from a key to "
                  "the next")
      ->check(CLI::IsMember({"put", "get", "ycsb-a", "ycsb-b", "ycsb-c", "incr", "append", "txn"}))
      ->capture_default_str();
  bench.add_option("--clients", arguments.clients, "Requests that are outstanding all the time")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  bench
      .add_option("--connections", arguments.connections,
                  "Connections to each node that these share")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench.add_option("--threads", arguments.threads, "Threads that drive them")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  bench
      .add_option("--rate", arguments.rate,
                  "Open loop: so many requests a second, however slow the replies; latency counts "
                  "from when "
                  "each was due")
      ->check(CLI::Range(0.0, 10e6))
      ->capture_default_str();
  bench
      .add_option("--max-in-flight", arguments.max_in_flight,
                  "With --rate: beyond that many, what is due is not sent and counts as an error")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
}

void AddDataOptions(CLI::App& bench, BenchArguments& arguments) {
  bench.add_option("--keys", arguments.workload.keys, "Size of the key space")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
  bench.add_option("--value-size", arguments.workload.value_bytes, "Bytes")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  CheckDuration(bench.add_option("--duration", arguments.duration, "Of the measurement")
                    ->capture_default_str(),
                std::chrono::milliseconds(1));
  CheckDuration(bench.add_option("--warmup", arguments.warmup, "Not measured, before that")
                    ->capture_default_str(),
                std::chrono::microseconds(0));
  CheckDuration(
      bench
          .add_option("--interval", arguments.interval,
                      "Also report each stretch of this length: its rate and latencies, with "
                      "--json an object each on a line of its own (0s: none)")
          ->capture_default_str(),
      std::chrono::milliseconds(0));
  bench.add_option("--seed", arguments.workload.seed, "Of keys, values and operations")
      ->capture_default_str();
  CLI::Option* preload =
      bench
          .add_flag("--preload", arguments.preload, "Write every key first; workloads that read do")
          ->configurable(false);
  bench.add_flag("--no-preload", arguments.no_preload, "Not even then: the keys are there")
      ->excludes(preload)
      ->configurable(false);
}

}  // namespace

Command AddBench(CLI::App& app) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* bench = app.add_subcommand("bench", "Measure throughput and latency");
  AddLoadOptions(*bench, *arguments);
  AddDataOptions(*bench, *arguments);
  AddLevelOptions(*bench, arguments->read);
  bench->footer(
      "It writes keys named user000000000000 and on (incr and txn: numb000000000000).\nExamples:\n"
      "  quorate bench --workload put --clients 256 --connections 8\n"
      "  quorate bench --workload ycsb-b --read bounded:100ms --duration 30s -v\n"
      "  quorate bench --workload get --rate 20000 --json");
  return {.app = bench, .run = [arguments](const Settings& settings, Interrupt& interrupt) {
            return Bench(settings, interrupt, *arguments);
          }};
}

}  // namespace quorate::tools
