#include "tools/bulk_writer.h"

#include <memory>
#include <utility>

namespace quorate::tools {
namespace {

std::size_t Bytes(const Record& record) {
  return record.key.size() + record.value.size();
}

}  // namespace

bool BulkWriter::HasRoom(const Record& record) const {
  return keys_.size() < kWindow && (bytes_ == 0 || bytes_ + Bytes(record) <= kWindowBytes) &&
         !keys_.contains(record.key);
}

bool BulkWriter::Add(Record record) {
  std::unique_lock lock(mutex_);
  while (!stopped_ && !HasRoom(record)) {
    waiting_for_key_ = keys_.contains(record.key);
    WaitForChange(lock);
  }
  waiting_for_key_ = false;
  if (stopped_) return false;
  keys_.insert(record.key);
  bytes_ += Bytes(record);
  Send(std::move(record), 0);
  return true;
}

void BulkWriter::Finish() {
  std::unique_lock lock(mutex_);
  draining_ = true;
  while (!keys_.empty()) WaitForChange(lock);
}

void BulkWriter::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_one();
}

BulkResult BulkWriter::result() const {
  const std::lock_guard lock(mutex_);
  return result_;
}

// Also sends again what is due, or gives it up when stopped.
void BulkWriter::WaitForChange(std::unique_lock<std::mutex>& lock) {
  if (retries_.empty()) {
    changed_.wait(lock);
  } else {
    changed_.wait_until(lock, retries_.front().due);
  }
  const auto now = Clock::now();
  while (!retries_.empty() && (stopped_ || retries_.front().due <= now)) {
    Retry retry = std::move(retries_.front());
    retries_.pop_front();
    if (stopped_) {
      ++result_.unknown;
      Forget(retry.record);
      continue;
    }
    ++result_.resent;
    Send(std::move(retry.record), retry.attempts);
  }
}

void BulkWriter::Send(Record record, int attempts) {
  // On the heap, so that the key and value that are being read stay where they are.
  auto kept = std::make_unique<Record>(std::move(record));
  const Record& sent = *kept;
  client_.AsyncPut(sent.key, sent.value, {},
                   [this, attempts, kept = std::move(kept)](const Result<WriteReply>& reply) {
                     Settled(std::move(*kept), attempts + 1, reply);
                   });
}

void BulkWriter::Settled(Record record, int attempts, const Result<WriteReply>& reply) {
  const std::lock_guard lock(mutex_);
  if (reply) {
    ++result_.written;
    result_.bytes += Bytes(record);
    Forget(record);
    return;
  }
  const Error& error = reply.error();
  const bool nobody_there = error.code == ErrorCode::kCannotConnect && result_.written == 0;
  const bool hopeless = error.error_class == ErrorClass::kFinal || attempts >= kMostAttempts;
  if (!stopped_ && !hopeless && !nobody_there) {
    retries_.push_back(
        {.record = std::move(record), .attempts = attempts, .due = Clock::now() + kRetryPause});
    changed_.notify_one();
    return;
  }
  stopped_ = stopped_ || nobody_there;
  GiveUp(error);
  Forget(record);
}

void BulkWriter::GiveUp(const Error& error) {
  ++(error.maybe_applied() ? result_.unknown : result_.refused);
  if (!result_.first_error) result_.first_error = error;
}

void BulkWriter::Forget(const Record& record) {
  keys_.erase(record.key);
  bytes_ -= Bytes(record);
  const bool refill = keys_.size() <= kRefill || bytes_ <= kWindowBytes / 2;
  if (stopped_ || waiting_for_key_ || (draining_ ? keys_.empty() : refill)) changed_.notify_one();
}

}  // namespace quorate::tools
