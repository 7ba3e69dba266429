#include "src/http.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

namespace quorate::server {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMaxConnections = 64;
constexpr std::uint32_t kMaxHeaderBytes = 8 << 10;
constexpr std::uint64_t kMaxBodyBytes = 4 << 10;
constexpr std::chrono::seconds kTimeout{10};  // for one request, and between two

}  // namespace

// Outlives the server while a session's last handler runs.
struct HttpServer::Shared {
  HttpHandler handler;
  std::size_t connections = 0;
  bool stopped = false;
};

class HttpServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Tcp::socket socket, std::shared_ptr<Shared> shared)
      : stream_(std::move(socket)), shared_(std::move(shared)) {
    ++shared_->connections;
  }
  ~Session() { --shared_->connections; }

  void Read() {
    if (shared_->stopped) return;
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kTimeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](const error_code& error, std::size_t) { self->OnRead(error); });
  }

 private:
  void OnRead(const error_code& error) {
    const bool gone = error == http::error::end_of_stream || error == beast::error::timeout ||
                      (error && error.category() == boost::system::system_category());
    if (gone || shared_->stopped) return Close();
    const bool keep_alive = !error && parser_->get().keep_alive();
    HttpReply reply;
    if (error) {
      const bool large = error == http::error::header_limit || error == http::error::body_limit;
      reply = {large ? 413U : 400U, "text/plain; charset=utf-8",
               "not a request this port answers: " + error.message() + "\n"};
    } else {
      reply = Answer();
    }
    Write(std::move(reply), keep_alive);
  }

  HttpReply Answer() const {
    const auto& request = parser_->get();
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return {405, "text/plain; charset=utf-8", "only GET and HEAD are served here\n"};
    }
    std::string_view path(request.target().data(), request.target().size());
    return shared_->handler(path.substr(0, path.find('?')));
  }

  void Write(HttpReply reply, bool keep_alive) {
    response_ = {};
    response_.version(11);
    response_.result(reply.status);
    response_.set(http::field::content_type, reply.content_type);
    response_.set(http::field::cache_control, "no-store");
    if (reply.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(keep_alive);
    response_.content_length(reply.body.size());
    const bool head = parser_->get().method() == http::verb::head;
    if (!head) response_.body() = std::move(reply.body);
    stream_.expires_after(kTimeout);
    http::async_write(
        stream_, response_,
        [self = shared_from_this(), keep_alive](const error_code& error, std::size_t) {
          if (error || !keep_alive) return self->Close();
          self->Read();
        });
  }

  void Close() {
    error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  std::shared_ptr<Shared> shared_;
  beast::flat_buffer buffer_{kMaxHeaderBytes + kMaxBodyBytes};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

HttpServer::HttpServer(Loop& loop, HttpHandler handler)
    : loop_(loop), shared_(std::make_shared<Shared>()) {
  shared_->handler = std::move(handler);
}

HttpServer::~HttpServer() {
  Stop();
}

storage::Status HttpServer::Start(std::unique_ptr<Listener> listener) {
  listener_ = std::move(listener);
  return listener_->Start([this](Tcp::socket socket) {
    if (shared_->connections >= kMaxConnections) return;  // closes it
    std::make_shared<Session>(std::move(socket), shared_)->Read();
  });
}

void HttpServer::Stop() {
  if (listener_) listener_->Stop();
  shared_->stopped = true;
}

}  // namespace quorate::server
