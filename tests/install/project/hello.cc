#include <iostream>

#include "quorate/client.h"

int main(int, char** argv) {
  quorate::Client client({.endpoints = {argv[1]}});
  const auto got = client.Get("k", {.level = quorate::StaleBy(std::chrono::milliseconds(200))});
  std::cout << (got ? "ok" : quorate::ToString(got.error().code)) << '\n';
}
