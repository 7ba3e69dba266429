// Known bugs, and how hard the simulator may look for each.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "raft/controls.h"
#include "tests/sim/plan.h"

namespace quorate::sim {

struct ControlCase {
  std::string_view name;
  std::string_view about;
  raft::Control control = raft::Control::kNone;
  WorldControl world_control = WorldControl::kNone;
  Profile profile = Profile::kGeneral;
  std::uint64_t budget = 0;  // seeds, from 1; a checker that needs more counts as blind
};

std::span<const ControlCase> AllControls();
// Null if there is none of that name.
const ControlCase* FindControl(std::string_view name);
Plan MakePlan(std::uint64_t seed, const ControlCase& control);

}  // namespace quorate::sim
