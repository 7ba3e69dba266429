// What a fuzz target is: one file that defines these two functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quorate::fuzz {

// Feeds the bytes to the code under test and asserts what must hold of the outcome. Keeps nothing
// between calls that could change one.
void RunOne(std::string_view input);

// Valid inputs, for mutations to start from; the same every time.
std::vector<std::string> Seeds();

}  // namespace quorate::fuzz
