// All clients of a workload together: at a rate, for a time, until they are told to stop.
#pragma once

#include <string>

#include "jepsen/workload/settings.h"
#include "jepsen/workload/workload.h"

namespace quorate::workload {

// Runs on the calling thread, and returns when the last operation is written: empty, or why it
// could not begin. SIGTERM and SIGINT end it early. `header` is the history's first line; what the
// workload adds to it goes in before it is written. Every second a line of JSON on stdout says how
// it goes: {"ready":true}, then {"at":S,"ok":N,"fail":N,"info":N,"slowest_us":N}.
std::string RunWorkload(const Kind& kind, const Settings& settings, Recorder& recorder,
                        Operation header);

}  // namespace quorate::workload
