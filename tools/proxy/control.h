// What the harness says: one JSON object a line on stdin, one answer a line on stdout.
//
//   {"do":"open","seed":7,"links":[{"name":"1>2","listen":"127.0.0.1:0","target":"127.0.0.1:7102"}]}
//     -> {"ok":true,"links":{"1>2":"127.0.0.1:40001"}}
//   {"do":"set","links":{"1>2":{"refuse":false,"forward":{"flow":"pass","delay_us":0,"jitter_us":0,
//     "bytes_per_second":0,"drop":0,"duplicate":0,"reorder":0,"reorder_by_us":20000},"backward":{}}}}
//     what is not mentioned is healthy; all links of one command change together, or none
//   {"do":"reset","links":["1>2"]}    open connections end with RST
//   {"do":"counters"} -> {"ok":true,"links":{"1>2":{...}}}
//
// Wrong input is answered {"ok":false,"error":"..."} and changes nothing. The end of stdin ends the
// process.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/proxy/link.h"

namespace quorate::proxy {

class Control {
 public:
  explicit Control(boost::asio::io_context& io);

  // Until stdin ends. Empty, or why stdin cannot be read.
  std::string Start();

  // The answer to one line. For tests as well.
  std::string Execute(const std::string& line);

 private:
  void ReadNext();
  void OnInput(std::size_t bytes);

  boost::asio::io_context& io_;
  boost::asio::posix::stream_descriptor input_;
  std::array<char, 16 << 10> chunk_{};
  std::string line_;  // begun
  std::vector<char> buffer_;
  std::map<std::string, std::unique_ptr<Link>> links_;
};

}  // namespace quorate::proxy
