// From a plan that fails to the simplest one that fails in the same way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/plan.h"

namespace quorate::sim {

// Changes `plan` by one setting, as typed after --set: "no-pause", "no-loss", "nodes=3",
// "duration=4000" (ms), ... False if there is no such setting.
bool ApplySetting(Plan& plan, std::string_view setting);
// Several, separated by commas. Returns the first that is wrong.
std::optional<std::string> ApplySettings(Plan& plan, std::string_view settings);
// What --set takes, for --help.
std::string SettingNames();

struct Shrunk {
  std::vector<std::string> settings;  // in the order in which they were applied
  std::uint64_t runs = 0;
};

// Leaves out of `plan` what it can, for as long as `fails` is true, and at most `max_runs` times.
Shrunk Shrink(const Plan& plan, const std::function<bool(const Plan&)>& fails,
              std::uint64_t max_runs);

std::string Join(const std::vector<std::string>& settings);

}  // namespace quorate::sim
