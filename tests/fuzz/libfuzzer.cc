// What libFuzzer calls. `--write-seeds DIRECTORY` writes the target's seeds there, as the corpus to
// begin with, and ends.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/fuzz/target.h"

namespace {

bool WriteSeeds(const std::string& directory) {
  std::size_t number = 0;
  for (const std::string& seed : quorate::fuzz::Seeds()) {
    std::ofstream file(directory + "/seed-" + std::to_string(number++), std::ios::binary);
    if (!file.write(seed.data(), static_cast<std::streamsize>(seed.size()))) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::string((*argv)[1]) == "--write-seeds") {
    std::exit(WriteSeeds((*argv)[2]) ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  quorate::fuzz::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
