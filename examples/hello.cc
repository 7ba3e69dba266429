// Write a value, read it back at three levels, and see what each reply proves.
//
//   example_hello [HOST:PORT,...]
#include <iostream>

#include "endpoints.h"
#include "quorate/client.h"

using namespace std::chrono_literals;

namespace {

// What a read says about itself.
void Print(const char* level, const quorate::Result<quorate::GetReply>& got) {
  std::cout << level << ": ";
  if (!got) {
    // A refusal is an error with its numbers, never an older value than was asked for.
    std::cout << ToString(got.error().code) << ": " << got.error().detail << '\n';
    return;
  }
  const quorate::Certificate& proof = got->certificate;
  std::cout << (got->found ? got->value : "(not found)") << ", index " << proof.applied_index
            << ", node " << proof.node;
  if (proof.age) std::cout << ", at most " << proof.age->count() << " us old";
  std::cout << " (" << ToString(proof.basis) << ")\n";
}

}  // namespace

int main(int argc, char** argv) {
  quorate::Client client({.endpoints = examples::Endpoints(argc, argv)});

  const auto put = client.Put("examples/hello", "world");
  if (!put) {
    // Every error says whether the write can have taken effect.
    std::cerr << ToString(put.error().code) << " (" << ToString(put.error().error_class)
              << "): " << put.error().detail << '\n';
    return 1;
  }
  std::cout << "written at index " << put->revision << '\n';

  Print("strong  ", client.Get("examples/hello"));
  Print("bounded ", client.Get("examples/hello", {.level = quorate::StaleBy(200ms)}));
  // Even this one sees the write above: a client reads its own writes at every level.
  Print("eventual", client.Get("examples/hello", {.level = quorate::kEventual, .timeout = 500ms}));
}
