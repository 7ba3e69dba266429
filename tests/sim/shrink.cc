#include "tests/sim/shrink.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace quorate::sim {
namespace {

// Something that a plan can do without.
struct Omission {
  std::string_view name;
  bool (*present)(const Plan& plan);
  void (*remove)(Plan& plan);
};

constexpr Omission kOmissions[] = {
    {"no-deaths", [](const Plan& plan) { return plan.crashes.limit > 0; },
     [](Plan& plan) { plan.crashes = {}; }},
    {"no-loss", [](const Plan& plan) { return plan.network.loss > 0; },
     [](Plan& plan) { plan.network.loss = 0; }},
    {"no-duplicates", [](const Plan& plan) { return plan.network.duplicate > 0; },
     [](Plan& plan) { plan.network.duplicate = 0; }},
    {"no-stragglers", [](const Plan& plan) { return plan.network.straggle > 0; },
     [](Plan& plan) { plan.network.straggle = 0; }},
    {"no-client-loss", [](const Plan& plan) { return plan.clients.loss > 0; },
     [](Plan& plan) { plan.clients.loss = 0; }},
    {"no-slow-syncs", [](const Plan& plan) { return plan.disk.slow_chance > 0; },
     [](Plan& plan) { plan.disk.slow_chance = 0; }},
    {"no-forgetting", [](const Plan& plan) { return plan.disk.forgets_unsynced; },
     [](Plan& plan) { plan.disk.forgets_unsynced = false; }},
};

// A number that a plan can have less of.
struct Quantity {
  std::string_view name;
  std::int64_t least;
  std::int64_t (*get)(const Plan& plan);
  void (*set)(Plan& plan, std::int64_t value);
};

constexpr Quantity kQuantities[] = {
    {"duration", 100, [](const Plan& plan) { return plan.duration.count() / 1000; },
     [](Plan& plan, std::int64_t value) { plan.duration = Millis(value); }},
    {"nodes", 1, [](const Plan& plan) { return static_cast<std::int64_t>(plan.nodes); },
     [](Plan& plan, std::int64_t value) { plan.nodes = static_cast<int>(value); }},
    {"drift-ppm", 0, [](const Plan& plan) { return plan.drift_ppm_max; },
     [](Plan& plan, std::int64_t value) { plan.drift_ppm_max = value; }},
    {"clients", 1, [](const Plan& plan) { return static_cast<std::int64_t>(plan.clients.count); },
     [](Plan& plan, std::int64_t value) { plan.clients.count = static_cast<int>(value); }},
    {"keys", 1, [](const Plan& plan) { return static_cast<std::int64_t>(plan.clients.keys); },
     [](Plan& plan, std::int64_t value) { plan.clients.keys = static_cast<int>(value); }},
};

// "pause" in "no-pause".
std::uint32_t* WeightNamed(Plan& plan, std::string_view name) {
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    if (name == ToString(static_cast<Fault>(i))) return &plan.faults.weights[i];
  }
  return nullptr;
}

std::string With(const Quantity& quantity, std::int64_t value) {
  return std::string(quantity.name) + "=" + std::to_string(value);
}

// The bolder ones first.
std::vector<std::string> SimplerThan(const Plan& plan) {
  std::vector<std::string> settings;
  for (const Quantity& quantity : kQuantities) {
    const std::int64_t now = quantity.get(plan);
    for (const std::int64_t value : {quantity.least, now / 2, now * 9 / 10}) {
      if (value >= quantity.least && value < now) settings.push_back(With(quantity, value));
    }
  }
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    if (plan.faults.weights[i] > 0) {
      settings.push_back(std::string("no-") + ToString(static_cast<Fault>(i)));
    }
  }
  for (const Omission& omission : kOmissions) {
    if (omission.present(plan)) settings.emplace_back(omission.name);
  }
  return settings;
}

// A later setting of one quantity replaces the earlier one.
void Add(std::vector<std::string>& settings, const std::string& setting) {
  if (const auto equals = setting.find('='); equals != std::string::npos) {
    std::erase_if(settings, [name = setting.substr(0, equals + 1)](const std::string& other) {
      return other.compare(0, name.size(), name) == 0;
    });
  }
  settings.push_back(setting);
}

}  // namespace

bool ApplySetting(Plan& plan, std::string_view setting) {
  for (const Omission& omission : kOmissions) {
    if (setting == omission.name) {
      omission.remove(plan);
      return true;
    }
  }
  if (setting.substr(0, 3) == "no-") {
    std::uint32_t* weight = WeightNamed(plan, setting.substr(3));
    if (weight != nullptr) *weight = 0;
    return weight != nullptr;
  }
  const auto equals = setting.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view text = setting.substr(equals + 1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto quantity =
      std::find_if(std::begin(kQuantities), std::end(kQuantities),
                   [&](const Quantity& each) { return each.name == setting.substr(0, equals); });
  constexpr std::int64_t kMost = 1'000'000;
  if (error != std::errc() || end != text.data() + text.size() ||
      quantity == std::end(kQuantities) || value < quantity->least || value > kMost) {
    return false;
  }
  quantity->set(plan, value);
  return true;
}

std::optional<std::string> ApplySettings(Plan& plan, std::string_view settings) {
  while (!settings.empty()) {
    const auto comma = std::min(settings.find(','), settings.size());
    const std::string_view setting = settings.substr(0, comma);
    if (!ApplySetting(plan, setting)) return std::string(setting);
    settings.remove_prefix(std::min(comma + 1, settings.size()));
  }
  return std::nullopt;
}

std::string SettingNames() {
  std::string names;
  for (const Quantity& quantity : kQuantities) names += std::string(quantity.name) + "=N, ";
  for (const Omission& omission : kOmissions) names += std::string(omission.name) + ", ";
  return names + "no-FAULT (such as no-pause)";
}

Shrunk Shrink(const Plan& plan, const std::function<bool(const Plan&)>& fails,
              std::uint64_t max_runs) {
  Shrunk shrunk;
  Plan best = plan;
  for (bool progress = true; progress;) {
    progress = false;
    for (const std::string& setting : SimplerThan(best)) {
      if (shrunk.runs >= max_runs) return shrunk;
      Plan simpler = best;
      // What was simplified meanwhile may have made this one moot, or a step back.
      const auto offered = SimplerThan(best);
      if (std::find(offered.begin(), offered.end(), setting) == offered.end()) continue;
      ApplySetting(simpler, setting);
      ++shrunk.runs;
      if (!fails(simpler)) continue;
      best = simpler;
      Add(shrunk.settings, setting);
      progress = true;
    }
  }
  return shrunk;
}

std::string Join(const std::vector<std::string>& settings) {
  std::string joined;
  for (const std::string& setting : settings) joined += (joined.empty() ? "" : ",") + setting;
  return joined;
}

}  // namespace quorate::sim
