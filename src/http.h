// The HTTP port: for probes, scrapers and people with a browser. Read-only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "src/listener.h"
#include "src/loop.h"

namespace quorate::server {

struct HttpReply {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// `path` is the request's target without its query.
using HttpHandler = std::function<HttpReply(std::string_view path)>;

// GET and HEAD; limits on header, body, connections and time. For the loop's thread.
class HttpServer {
 public:
  HttpServer(Loop& loop, HttpHandler handler);
  ~HttpServer();

  storage::Status Start(std::unique_ptr<Listener> listener);
  void Stop();

 private:
  struct Shared;
  class Session;

  Loop& loop_;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace quorate::server
