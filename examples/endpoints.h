// Where the cluster is: the first argument, or where `./run cluster` starts it.
#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace examples {

inline std::vector<std::string> Endpoints(int argc, char** argv) {
  std::istringstream list(argc > 1 ? argv[1] : "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003");
  std::vector<std::string> endpoints;
  for (std::string one; std::getline(list, one, ',');) endpoints.push_back(one);
  return endpoints;
}

}  // namespace examples
