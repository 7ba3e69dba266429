#include "jepsen/workload/run.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace quorate::workload {
namespace {

using std::chrono::microseconds;
using namespace std::chrono_literals;

constexpr auto kFlushEvery = 100ms;  // at most so much is lost with this process
constexpr int kFlushesPerReport = 10;

void Say(const Operation& line) {
  std::puts(line.dump().c_str());
  std::fflush(stdout);
}

class Crew {
 public:
  Crew(const Kind& kind, const Settings& settings, Recorder& recorder, Operation header)
      : settings_(settings),
        recorder_(recorder),
        header_(std::move(header)),
        run_{io_, settings, recorder},
        workload_(kind.make()),
        signals_(io_, SIGTERM, SIGINT),
        end_(io_),
        flush_(io_) {
    for (int i = 0; i < settings.clients; ++i) {
      workers_.push_back(std::make_unique<Worker>(run_, i));
    }
  }

  std::string Work() {
    boost::asio::co_spawn(io_, Prepare(), [this](std::exception_ptr error) { Ended(error); });
    io_.run();
    if (error_.empty()) recorder_.Flush();
    return error_;
  }

 private:
  awaitable<void> Prepare() {
    error_ = co_await workload_->Prepare(*workers_.front());
    if (!error_.empty()) {
      io_.stop();
      co_return;
    }
    workload_->Describe(header_);
    recorder_.Write(header_);
    recorder_.Flush();
    Operation ready = {{"ready", true}};
    Say(ready);
    Start();
  }

  void Start() {
    signals_.async_wait([this](boost::system::error_code error, int) {
      if (!error) Stop();
    });
    end_.expires_after(settings_.time);
    end_.async_wait([this](boost::system::error_code error) {
      if (!error) Stop();
    });
    FlushLater();
    for (const auto& worker : workers_) {
      ++living_;
      boost::asio::co_spawn(io_, Live(*worker), [this](std::exception_ptr error) { Ended(error); });
    }
  }

  void Stop() {
    run_.stopping = true;
    for (const auto& worker : workers_) worker->Wake();
  }

  // Begins an operation at random moments, so often that all workers together make the rate. Who is
  // late begins at once, and does not make up for what it missed.
  awaitable<void> Live(Worker& worker) {
    const double mean_us = 1e6 * static_cast<double>(workers_.size()) / settings_.rate;
    const auto gap = [&] {
      return static_cast<std::int64_t>(2 * mean_us * worker.chance().Uniform());
    };
    std::int64_t next = recorder_.Now() + gap();
    for (;;) {
      const std::int64_t now = recorder_.Now();
      const microseconds wait(next - now);
      if (wait.count() > 0) co_await worker.Sleep(wait);
      if (run_.stopping) co_return;
      co_await workload_->Next(worker);
      next = std::max(next, now) + gap();
    }
  }

  // A coroutine is over.
  void Ended(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);  // out of io_.run()
    if (living_ == 0 || --living_ > 0) return;
    boost::asio::co_spawn(io_, workload_->Conclude(*workers_.front()), [this](auto failed) {
      if (failed) std::rethrow_exception(failed);
      io_.stop();
    });
  }

  void FlushLater() {
    flush_.expires_after(kFlushEvery);
    flush_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      recorder_.Flush();
      if (++flushes_ % kFlushesPerReport == 0) Report();
      FlushLater();
    });
  }

  void Report() {
    const Counts counts = recorder_.TakeCounts();
    const Operation line = {{"at", recorder_.Now() / 1'000'000},
                            {"ok", counts.ok},
                            {"fail", counts.fail},
                            {"info", counts.info},
                            {"slowest_us", counts.slowest_us}};
    Say(line);
  }

  boost::asio::io_context io_{1};
  const Settings& settings_;
  Recorder& recorder_;
  Operation header_;
  Run run_;
  std::unique_ptr<Workload> workload_;
  std::vector<std::unique_ptr<Worker>> workers_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer end_;
  boost::asio::steady_timer flush_;
  std::size_t living_ = 0;
  int flushes_ = 0;
  std::string error_;
};

}  // namespace

std::string RunWorkload(const Kind& kind, const Settings& settings, Recorder& recorder,
                        Operation header) {
  return Crew(kind, settings, recorder, std::move(header)).Work();
}

}  // namespace quorate::workload
