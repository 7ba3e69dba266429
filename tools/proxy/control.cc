#include "tools/proxy/control.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

namespace quorate::proxy {
namespace {

using boost::system::error_code;
using Json = nlohmann::json;
using Tcp = boost::asio::ip::tcp;

constexpr std::size_t kMaxLineBytes = 4 << 20;
constexpr std::size_t kMaxLinks = 4'096;
constexpr std::size_t kReadBytes = 256 << 10;
constexpr std::uint64_t kMaxDelayUs = 600'000'000;

// Collects the first error. Everything is looked at before anything is done.
class Reader {
 public:
  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  void Wrong(const std::string& what) {
    if (ok()) error_ = what;
  }

  void OnlyKeys(const Json& object, std::initializer_list<const char*> known,
                const std::string& where) {
    if (!object.is_object()) return Wrong(where + " must be an object");
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        Wrong(std::string(where).append(" has the unknown key '").append(key).append("'"));
      }
    }
  }
  std::uint64_t Whole(const Json& object, const char* key, std::uint64_t otherwise,
                      std::uint64_t max) {
    const auto found = object.find(key);
    if (found == object.end()) return otherwise;
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > max) {
      Wrong(std::string(key) + " must be a whole number from 0 to " + std::to_string(max));
      return otherwise;
    }
    return found->get<std::uint64_t>();
  }
  double Chance(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end()) return 0;
    if (!found->is_number() || found->get<double>() < 0 || found->get<double>() > 1) {
      Wrong(std::string(key) + " must be a number from 0 to 1");
      return 0;
    }
    return found->get<double>();
  }
  std::string Text(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string() || found->get<std::string>().empty()) {
      Wrong(std::string(key) + " must be a string");
      return {};
    }
    return found->get<std::string>();
  }
  Tcp::endpoint Endpoint(const Json& object, const char* key, bool any_port) {
    const std::string text = Text(object, key);
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    const char* end = text.data() + text.size();
    bool numeric = colon != std::string::npos && colon + 1 < text.size();
    if (numeric) {
      const auto [stop, wrong] = std::from_chars(text.data() + colon + 1, end, port);
      numeric = stop == end && wrong == std::errc();
    }
    std::string host = text.substr(0, std::min(colon, text.size()));
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    error_code error;
    const auto address = boost::asio::ip::make_address(host, error);
    if (error || !numeric || (port == 0 && !any_port)) {
      Wrong(std::string(key) + " '" + text + "' is not ADDRESS:PORT in numbers");
    }
    return {address, port};
  }
  Faults Direction(const Json& link, const char* key) {
    Faults faults;
    const auto found = link.find(key);
    if (found == link.end()) return faults;
    OnlyKeys(*found,
             {"flow", "delay_us", "jitter_us", "bytes_per_second", "drop", "duplicate", "reorder",
              "reorder_by_us"},
             key);
    if (!ok()) return faults;
    const std::string flow = found->contains("flow") ? Text(*found, "flow") : "pass";
    if (flow == "stall") faults.flow = Flow::kStall;
    if (flow == "vanish") faults.flow = Flow::kVanish;
    if (flow != "pass" && flow != "stall" && flow != "vanish") {
      Wrong("flow must be pass, stall or vanish, not '" + flow + "'");
    }
    const auto micros = [&](const char* name, std::uint64_t otherwise) {
      return std::chrono::microseconds(Whole(*found, name, otherwise, kMaxDelayUs));
    };
    faults.delay = micros("delay_us", 0);
    faults.jitter = micros("jitter_us", 0);
    faults.reorder_by = micros("reorder_by_us", 20'000);
    faults.bytes_per_second = Whole(*found, "bytes_per_second", 0, std::uint64_t{1} << 40);
    faults.drop = Chance(*found, "drop");
    faults.duplicate = Chance(*found, "duplicate");
    faults.reorder = Chance(*found, "reorder");
    return faults;
  }
  LinkFaults Both(const Json& link, const std::string& name) {
    LinkFaults faults;
    OnlyKeys(link, {"refuse", "forward", "backward"}, "link " + name);
    if (!ok()) return faults;
    if (const auto refuse = link.find("refuse"); refuse != link.end()) {
      if (!refuse->is_boolean()) Wrong("refuse must be true or false");
      faults.refuse = refuse->is_boolean() && refuse->get<bool>();
    }
    faults.forward = Direction(link, "forward");
    faults.backward = Direction(link, "backward");
    return faults;
  }

 private:
  std::string error_;
};

using Links = std::map<std::string, std::unique_ptr<Link>>;

struct World {
  boost::asio::io_context& io;
  std::vector<char>& buffer;
  Links& links;
};

Link* Find(Links& links, const std::string& name, Reader& reader) {
  const auto found = links.find(name);
  if (found != links.end()) return found->second.get();
  reader.Wrong("there is no link '" + name + "'");
  return nullptr;
}

std::string Print(const Tcp::endpoint& endpoint) {
  std::ostringstream text;
  text << endpoint;
  return text.str();
}

std::uint64_t Hash(const std::string& text, std::uint64_t seed) {
  std::uint64_t hash = 14695981039346656037ULL ^ seed;  // FNV-1a: the same on every machine
  for (const unsigned char byte : text) hash = (hash ^ byte) * 1099511628211ULL;
  return hash;
}

Json Open(const Json& command, const World& world, Reader& reader) {
  reader.OnlyKeys(command, {"do", "seed", "links"}, "open");
  const std::uint64_t seed = reader.Whole(command, "seed", 0, ~std::uint64_t{0});
  const Json list = command.value("links", Json());
  if (!list.is_array() || world.links.size() + list.size() > kMaxLinks) {
    reader.Wrong("links must be a list of at most " + std::to_string(kMaxLinks));
    return {};
  }
  Links opened;
  Json addresses = Json::object();
  for (const Json& item : list) {
    reader.OnlyKeys(item, {"name", "listen", "target"}, "a link");
    if (!reader.ok()) return {};
    const std::string name = reader.Text(item, "name");
    LinkSetup setup{name, reader.Endpoint(item, "listen", true),
                    reader.Endpoint(item, "target", false), Hash(name, seed)};
    if (world.links.contains(name) || opened.contains(name)) {
      reader.Wrong("there are two links '" + name + "'");
    }
    if (!reader.ok()) return {};
    auto link = std::make_unique<Link>(world.io, std::move(setup), std::span<char>(world.buffer));
    if (const std::string why = link->Listen(); !why.empty()) {
      reader.Wrong(why);
      return {};
    }
    addresses[name] = Print(link->address());
    opened[name] = std::move(link);
  }
  for (const auto& [name, link] : opened) link->Start();  // all or none
  world.links.merge(opened);
  return {{"links", addresses}};
}

Json Set(const Json& command, Links& links, Reader& reader) {
  reader.OnlyKeys(command, {"do", "links"}, "set");
  const Json items = command.value("links", Json());
  if (!items.is_object()) reader.Wrong("links must be an object");
  if (!reader.ok()) return {};
  std::vector<std::pair<Link*, LinkFaults>> changes;
  for (const auto& [name, link] : items.items()) {
    changes.emplace_back(Find(links, name, reader), reader.Both(link, name));
  }
  if (!reader.ok()) return {};
  for (auto& [link, faults] : changes) link->Set(faults);
  return Json::object();
}

Json Reset(const Json& command, Links& links, Reader& reader) {
  reader.OnlyKeys(command, {"do", "links"}, "reset");
  const Json items = command.value("links", Json());
  if (!items.is_array()) reader.Wrong("links must be a list of names");
  if (!reader.ok()) return {};
  std::vector<Link*> found;
  for (const Json& name : items) {
    if (!name.is_string()) reader.Wrong("links must be a list of names");
    if (reader.ok()) found.push_back(Find(links, name.get<std::string>(), reader));
  }
  if (!reader.ok()) return {};
  for (Link* link : found) link->Reset();
  return Json::object();
}

Json Describe(const DirectionCounters& counters) {
  return {{"bytes", counters.bytes},         {"frames", counters.frames},
          {"dropped", counters.dropped},     {"duplicated", counters.duplicated},
          {"reordered", counters.reordered}, {"vanished_bytes", counters.vanished_bytes}};
}

Json Counters(const Links& links) {
  Json all = Json::object();
  for (const auto& [name, link] : links) {
    const LinkCounters& counters = link->counters();
    all[name] = {{"open", link->open()},
                 {"accepted", counters.accepted},
                 {"unreachable", counters.unreachable},
                 {"reset", counters.reset},
                 {"forward", Describe(counters.forward)},
                 {"backward", Describe(counters.backward)}};
  }
  return {{"links", all}};
}

void WriteOut(const std::string& line) {
  for (std::size_t at = 0; at < line.size();) {
    const ssize_t written = ::write(STDOUT_FILENO, line.data() + at, line.size() - at);
    if (written <= 0 && errno != EINTR) _exit(EXIT_FAILURE);  // nobody listens any more
    at += written > 0 ? static_cast<std::size_t>(written) : 0;
  }
}

}  // namespace

Control::Control(boost::asio::io_context& io) : io_(io), input_(io), buffer_(kReadBytes) {}

std::string Control::Start() {
  error_code error;
  input_.assign(STDIN_FILENO, error);
  if (error) return "stdin must be a pipe, a socket or a terminal (" + error.message() + ")";
  ReadNext();
  return {};
}

void Control::ReadNext() {
  input_.async_read_some(boost::asio::buffer(chunk_),
                         [this](const error_code& error, std::size_t bytes) {
                           if (error) return io_.stop();
                           OnInput(bytes);
                           ReadNext();
                         });
}

void Control::OnInput(std::size_t bytes) {
  line_.append(chunk_.data(), bytes);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = line_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    WriteOut(Execute(line_.substr(begin, end - begin)) + "\n");
  }
  line_.erase(0, begin);
  if (line_.size() <= kMaxLineBytes) return;
  WriteOut("{\"ok\":false,\"error\":\"a command is longer than 4 MiB\"}\n");
  io_.stop();
}

std::string Control::Execute(const std::string& line) {
  Reader reader;
  Json answer = Json::object();
  const Json command = Json::parse(line, nullptr, false);
  if (!command.is_object()) reader.Wrong("a command is one JSON object on a line");
  const std::string what = reader.ok() ? reader.Text(command, "do") : "";
  if (what == "open") {
    answer = Open(command, {io_, buffer_, links_}, reader);
  } else if (what == "set") {
    answer = Set(command, links_, reader);
  } else if (what == "reset") {
    answer = Reset(command, links_, reader);
  } else if (what == "counters") {
    answer = Counters(links_);
  } else {
    reader.Wrong("do must be open, set, reset or counters, not '" + what + "'");
  }
  if (!reader.ok()) answer = {{"error", reader.error()}};
  answer["ok"] = reader.ok();
  return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quorate::proxy
