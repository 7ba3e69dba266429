// A completion handler of any type, move-only ones included (std::function would demand copies).
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "quorate/result.h"

namespace quorate {

// Called at most once. Handlers of up to kInlineBytes need no allocation.
template <typename T>
class Handler {
 public:
  Handler() = default;

  // NOLINTBEGIN(google-explicit-constructor,bugprone-forwarding-reference-overload): constrained
  template <typename F>
  requires(!std::is_same_v<std::decay_t<F>, Handler> && std::is_invocable_v<F&, Result<T>>)
      Handler(F&& f) {
    using Function = std::decay_t<F>;
    if constexpr (kFits<Function>) {
      new (storage_) Function(std::forward<F>(f));
      table_ = &kInlineTable<Function>;
    } else {
      *reinterpret_cast<Function**>(storage_) = new Function(std::forward<F>(f));
      table_ = &kHeapTable<Function>;
    }
  }
  // NOLINTEND(google-explicit-constructor,bugprone-forwarding-reference-overload)

  Handler(Handler&& other) noexcept { Take(other); }
  Handler& operator=(Handler&& other) noexcept {
    if (this != &other) {
      Reset();
      Take(other);
    }
    return *this;
  }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  ~Handler() { Reset(); }

  explicit operator bool() const { return table_ != nullptr; }

  void operator()(Result<T> result) { table_->call(storage_, std::move(result)); }

 private:
  static constexpr std::size_t kInlineBytes = 56;

  struct Table {
    void (*call)(std::byte*, Result<T>&&);
    void (*move)(std::byte* to, std::byte* from) noexcept;
    void (*destroy)(std::byte*) noexcept;
  };

  // NOLINTBEGIN(misc-redundant-expression): not for every F
  template <typename F>
  static constexpr bool kFits =
      sizeof(F) <= kInlineBytes &&
      alignof(F) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<F>;
  // NOLINTEND(misc-redundant-expression)

  template <typename F>
  static constexpr Table kInlineTable = {
      [](std::byte* at, Result<T>&& result) { (*reinterpret_cast<F*>(at))(std::move(result)); },
      [](std::byte* to, std::byte* from) noexcept {
        new (to) F(std::move(*reinterpret_cast<F*>(from)));
        reinterpret_cast<F*>(from)->~F();
      },
      [](std::byte* at) noexcept { reinterpret_cast<F*>(at)->~F(); }};

  template <typename F>
  static constexpr Table kHeapTable = {
      [](std::byte* at, Result<T>&& result) { (**reinterpret_cast<F**>(at))(std::move(result)); },
      [](std::byte* to, std::byte* from) noexcept {
        *reinterpret_cast<F**>(to) = *reinterpret_cast<F**>(from);
      },
      [](std::byte* at) noexcept { delete *reinterpret_cast<F**>(at); }};

  void Take(Handler& other) noexcept {
    if (other.table_ == nullptr) return;
    table_ = std::exchange(other.table_, nullptr);
    table_->move(storage_, other.storage_);
  }

  void Reset() noexcept {
    if (table_ != nullptr) std::exchange(table_, nullptr)->destroy(storage_);
  }

  alignas(std::max_align_t) std::byte storage_[kInlineBytes];
  const Table* table_ = nullptr;
};

}  // namespace quorate
