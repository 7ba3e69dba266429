// A read that wants the best it can have within its time: strong if that is quick, else at most
// 200 ms old, else whatever there is; and the reply says which of these it was, and why not better.
//
//   example_sla [HOST:PORT,...] [SLA]
#include <iostream>

#include "endpoints.h"
#include "quorate/client.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  const auto sla =
      quorate::ParseSla(argc > 2 ? argv[2] : "strong@20ms > bounded:200ms@10ms > eventual");
  if (!sla) {
    std::cerr << sla.error().detail << '\n';
    return 2;
  }
  quorate::Client client({.endpoints = examples::Endpoints(argc, argv)});
  if (const auto put = client.Put("examples/price", "42"); !put) {
    std::cerr << put.error().detail << '\n';
    return 1;
  }
  const auto got = client.Get("examples/price", {.sla = *sla, .timeout = 500ms, .explain = true});
  if (!got) {
    std::cerr << ToString(got.error().code) << ": " << got.error().detail << '\n';
    return 1;
  }
  std::cout << "asked for " << ToString(*sla) << '\n'
            << "got " << got->value << ", by step " << got->rung + 1 << ": "
            << ToString((*sla)[got->rung].level) << '\n';
  for (const quorate::Miss& miss : got->misses) {
    std::cout << "not step " << miss.rung + 1 << ": " << ToString(miss.error.code) << ", "
              << miss.error.detail << '\n';
  }
  // By this machine's clock alone, whatever the clocks of the nodes did.
  if (got->client_age) std::cout << "at most " << got->client_age->count() << " us old\n";
  for (const quorate::Attempt& attempt : got->explanation->attempts) {
    std::cout << "  asked " << attempt.address << " at " << attempt.sent.count() << " us, took "
              << attempt.took.count() << " us";
    if (attempt.view) std::cout << ": " << attempt.view->reason;
    std::cout << '\n';
  }
}
