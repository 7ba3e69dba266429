// How Cancellation::Cancel(), which any thread may call at any time, reaches the calls of a client.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <mutex>
#include <vector>

#include "quorate/options.h"

namespace quorate::internal {

class Core;

// A way onto a client's loop for threads that may outlive both. Thread-safe.
class Door {
 public:
  Door(boost::asio::io_context& loop, std::weak_ptr<Core> core)
      : loop_(&loop), core_(std::move(core)) {}

  // Has the client end all calls of that cancellation, unless the door is closed.
  void Cancel(std::shared_ptr<Cancellation::State> state);
  // Once this has returned, the loop is not touched any more.
  void Close();

 private:
  std::mutex mutex_;
  boost::asio::io_context* loop_;  // null: closed
  const std::weak_ptr<Core> core_;
};

}  // namespace quorate::internal

namespace quorate {

struct Cancellation::State {
  // False: it is cancelled already.
  bool Watch(const std::shared_ptr<internal::Door>& door);

  std::mutex mutex;
  bool cancelled = false;
  std::vector<std::shared_ptr<internal::Door>> doors;  // of the clients that have calls of it
};

}  // namespace quorate
