#include "tests/unit/fake_node.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <utility>

namespace quorate::testing {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

wire::Command FakeRequest::command() const {
  wire::Command command;
  command.ParseFromString(body);
  return command;
}

wire::GetRequest FakeRequest::get() const {
  wire::GetRequest get;
  get.ParseFromString(header);
  return get;
}

wire::ScanRequest FakeRequest::scan() const {
  wire::ScanRequest scan;
  scan.ParseFromString(header);
  return scan;
}

FakeNode::FakeNode(Settings settings, Script script)
    : settings_(std::move(settings)),
      script_(std::move(script)),
      acceptor_(loop_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      address_("127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port())),
      work_(loop_.get_executor()) {
  Accept();
  thread_ = std::thread([this] { loop_.run(); });
}

FakeNode::~FakeNode() {
  loop_.stop();
  thread_.join();
}

void FakeNode::Stop() {
  std::mutex done;
  done.lock();
  asio::post(loop_, [&] {
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& weak : sessions_) {
      if (const auto session = weak.lock()) session->Close();
    }
    done.unlock();
  });
  done.lock();
  done.unlock();
}

void FakeNode::SetScript(Script script) {
  const std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

void FakeNode::Accept() {
  acceptor_.async_accept([this](const error_code& error, tcp::socket socket) {
    if (error) return;
    ++connections_;
    auto session = std::make_shared<FakeSession>(*this, std::move(socket));
    sessions_.push_back(session);
    session->Start();
    Accept();
  });
}

FakeSession::FakeSession(FakeNode& node, tcp::socket socket)
    : node_(node), socket_(std::move(socket)) {}

void FakeSession::Start() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  Read();
}

void FakeSession::Read() {
  socket_.async_read_some(asio::buffer(chunk_),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            if (error) return;
                            self->in_.append(self->chunk_, bytes);
                            if (self->TakeFrames()) self->Read();
                          });
}

bool FakeSession::TakeFrames() {
  std::size_t begin = 0;
  wire::Frame frame;
  std::size_t needed = 0;
  while (wire::ParseFrame(std::string_view(in_).substr(begin), wire::kMaxClientFrameBytes, frame,
                          needed) == wire::FrameStatus::kComplete) {
    begin += frame.total_bytes;
    if (frame.type == wire::FrameType::kHello) {
      AnswerHello(frame);
      continue;
    }
    ++node_.requests_;
    const FakeRequest request{.type = frame.type,
                              .id = frame.request_id,
                              .header = std::string(frame.header),
                              .body = std::string(frame.body)};
    Script script;
    {
      const std::lock_guard lock(node_.mutex_);
      script = node_.script_;
    }
    if (script) script(*this, request);
  }
  in_.erase(0, begin);
  return socket_.is_open();
}

void FakeSession::AnswerHello(const wire::Frame& frame) {
  ++node_.hellos_;
  const FakeNode::Settings& settings = node_.settings_;
  if (!settings.answer_hello) return;
  if (!settings.raw_hello.empty()) return Raw(settings.raw_hello);
  wire::HelloReply hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_cluster_id(settings.cluster_id);
  hello.set_node_id(settings.id);
  *hello.mutable_leader() = settings.leader;
  hello.mutable_limits()->set_in_flight_bytes(settings.in_flight_bytes);
  for (const wire::Hint& member : settings.members) *hello.add_members() = member;
  if (settings.hello_error.code() != wire::OK) *hello.mutable_error() = settings.hello_error;
  std::string out;
  wire::AppendFrame(out, wire::FrameType::kHello, wire::kFlagReply, frame.request_id, hello,
                    std::string_view());
  Raw(std::move(out));
}

void FakeSession::Reply(const FakeRequest& request, const wire::ReplyHeader& header,
                        std::string body) {
  std::string out;
  wire::AppendFrame(out, request.type, wire::kFlagReply, request.id, header, body);
  Raw(std::move(out));
}

void FakeSession::Refuse(const FakeRequest& request, wire::Code code, const wire::Hint& leader) {
  wire::ReplyHeader header;
  header.mutable_error()->set_code(code);
  header.mutable_error()->set_message("refused by the script");
  *header.mutable_error()->mutable_leader() = leader;
  Reply(request, header);
}

void FakeSession::Raw(std::string bytes) {
  error_code ignored;
  asio::write(socket_, asio::buffer(bytes), ignored);
}

void FakeSession::Close() {
  error_code ignored;
  socket_.close(ignored);
}

void FakeSession::After(std::chrono::milliseconds delay, std::function<void(FakeSession&)> action) {
  auto timer = std::make_shared<asio::steady_timer>(node_.loop_, delay);
  timer->async_wait(
      [self = shared_from_this(), timer, action = std::move(action)](const error_code& error) {
        if (!error) action(*self);
      });
}

std::string DeadAddress() {
  asio::io_context loop;
  const tcp::acceptor acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
}

wire::Hint MakeHint(std::uint64_t id, const std::string& address) {
  wire::Hint hint;
  hint.set_node_id(id);
  hint.set_client_address(address);
  return hint;
}

wire::ReplyHeader Success(std::uint64_t node, std::uint64_t index) {
  wire::ReplyHeader header;
  wire::Certificate& certificate = *header.mutable_certificate();
  certificate.set_node_id(node);
  certificate.set_node_term(3);
  certificate.set_applied_index(index);
  certificate.set_entry_term(3);
  certificate.set_age_us(0);
  certificate.set_basis(wire::READ_INDEX);
  return header;
}

Script KeyValueScript(std::uint64_t node) {
  struct State {
    std::map<std::string, std::pair<std::string, std::uint64_t>> values;
    std::uint64_t index = 0;
  };
  auto state = std::make_shared<State>();
  return [state, node](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kWrite) {
      const wire::Command command = request.command();
      wire::ReplyHeader header = Success(node, ++state->index);
      header.set_mod_index(state->index);
      if (command.has_put()) {
        state->values[command.put().key()] = {command.put().value(), state->index};
      } else {
        header.set_found(state->values.erase(command.delete_().key()) > 0);
      }
      session.Reply(request, header);
    } else if (request.type == wire::FrameType::kGet) {
      wire::ReplyHeader header = Success(node, state->index);
      const auto found = state->values.find(request.body);
      header.set_found(found != state->values.end());
      if (!header.found()) return session.Reply(request, header);
      header.set_mod_index(found->second.second);
      session.Reply(request, header, found->second.first);
    }
  };
}

}  // namespace quorate::testing
