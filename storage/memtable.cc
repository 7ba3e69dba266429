#include "storage/memtable.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

// Readers take no lock, and the writer never makes them wait or start over:
//
//   - A slot of a node is written before the node's order, one atomic word, first names it, and
//   never
//     again. Whoever has loaded the order sees a node that stays as it is.
//   - A full node is replaced by two new ones, and one store into the parent's order puts both in
//   its
//     place. A reader that is still in the old one misses only what was inserted later, and RocksDB
//     numbers writes: a read that began before an insertion must not see it anyway.
//   - Nothing is freed before the whole memtable.
//
// Of each key a node holds the eight bytes, its head, that follow what all keys between the node's
// bounds have in common. Two heads mostly decide a comparison without a look at the keys
// themselves.
namespace quorate::storage {
namespace {

using rocksdb::MemTableRep;
using rocksdb::Slice;

constexpr unsigned kSlots = 15;
constexpr std::size_t kTagBytes = 8;  // sequence number and type, at the end of an internal key

// RocksDB's entries begin with the internal key, which follows its length as a varint of 32 bits.
Slice InternalKey(const char* entry) {
  std::uint32_t size = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*entry++);
    size |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return {entry, size};
  }
}

std::string_view UserKeyOf(const Slice& internal_key) {
  return {internal_key.data(), internal_key.size() - kTagBytes};
}

// Eight bytes from `skipped` on, as a number that compares as they do.
std::uint64_t Head(std::string_view key, std::size_t skipped) {
  unsigned char bytes[8] = {};
  if (skipped < key.size()) {
    std::memcpy(bytes, key.data() + skipped, std::min(sizeof(bytes), key.size() - skipped));
  }
  std::uint64_t head = 0;
  for (const unsigned char byte : bytes) head = head << 8 | byte;
  return head;
}

std::size_t CommonPrefix(const char* low, const char* high) {
  if (low == nullptr || high == nullptr) return 0;
  const std::string_view a = UserKeyOf(InternalKey(low));
  const std::string_view b = UserKeyOf(InternalKey(high));
  return static_cast<std::size_t>(
      std::mismatch(a.begin(),
                    a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())),
                    b.begin())
          .first -
      a.begin());
}

// Which slots of a node are in use, in the order of their keys: their number in the lowest four
// bits, then four bits for each.
class Order {
 public:
  Order() = default;
  explicit Order(std::uint64_t bits) : bits_(bits) {}

  std::uint64_t bits() const { return bits_; }
  unsigned size() const { return bits_ & 0xf; }
  unsigned SlotAt(unsigned position) const { return bits_ >> (4 + 4 * position) & 0xf; }

  Order With(unsigned position, unsigned slot) const {
    const unsigned shift = 4 + 4 * position;
    const std::uint64_t below = (std::uint64_t{1} << shift) - 1;
    const std::uint64_t behind = (bits_ & ~below) << 4;
    return Order((behind | std::uint64_t{slot} << shift | (bits_ & below)) + 1);
  }
  Order Replaced(unsigned position, unsigned slot) const {
    const unsigned shift = 4 + 4 * position;
    return Order((bits_ & ~(std::uint64_t{0xf} << shift)) | std::uint64_t{slot} << shift);
  }

 private:
  std::uint64_t bits_ = 0;
};

struct Inner;

// Holds entries in [low, high); null: without bound. In an inner node the entries are the lower
// bounds of its children, and the first of them counts as less than everything.
struct Node {
  Node(bool leaf, const char* low_entry, const char* high_entry)
      : is_leaf(leaf),
        prefix(CommonPrefix(low_entry, high_entry)),
        low(low_entry),
        high(high_entry) {}

  Order order() const { return Order(order_bits.load(std::memory_order_acquire)); }
  const Inner& inner() const;
  Inner& inner();

  // The caller publishes the slot.
  unsigned FillSlot(const char* entry) {
    entries[used] = entry;
    heads[used] = entry == nullptr ? 0 : Head(UserKeyOf(InternalKey(entry)), prefix);
    return used++;
  }
  void Publish(Order order) { order_bits.store(order.bits(), std::memory_order_release); }

  const bool is_leaf;
  unsigned used = 0;         // the writer's
  const std::size_t prefix;  // bytes that all keys within the bounds have in common
  const char* const low;
  const char* const high;
  std::atomic<std::uint64_t> order_bits{0};
  std::array<std::uint64_t, kSlots> heads;
  std::array<const char*, kSlots> entries;
};

struct Inner : Node {
  Inner(const char* low_entry, const char* high_entry) : Node(false, low_entry, high_entry) {}
  unsigned FillSlot(const char* bound, Node* child) {
    children[used] = child;
    return Node::FillSlot(bound);
  }
  std::array<Node*, kSlots> children;
};

const Inner& Node::inner() const {
  return static_cast<const Inner&>(*this);
}
Inner& Node::inner() {
  return static_cast<Inner&>(*this);
}

// In the memory that `rep` allocates from: it is freed as a whole, without destructors.
template <typename T, typename... Arguments>
T* New(MemTableRep& rep, Arguments&&... arguments) {
  char* memory = nullptr;
  rep.Allocate(sizeof(T) + alignof(T) - 1, &memory);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  memory += (alignof(T) - address % alignof(T)) % alignof(T);
  return new (memory) T(std::forward<Arguments>(arguments)...);
}

// Allocates from an arena. Nothing but a MemTableRep does that outside of RocksDB, which keeps the
// headers of Arena and of its base Allocator to itself.
class ArenaMemory final : public MemTableRep {
 public:
  explicit ArenaMemory(rocksdb::Arena* arena)
      : MemTableRep(reinterpret_cast<rocksdb::Allocator*>(arena)) {}

  void Insert(rocksdb::KeyHandle /*handle*/) override { std::abort(); }
  bool Contains(const char* /*entry*/) const override { std::abort(); }
  std::size_t ApproximateMemoryUsage() override { std::abort(); }
  Iterator* GetIterator(rocksdb::Arena* /*arena*/) override { std::abort(); }
};

class Memtable final : public MemTableRep {
 public:
  Memtable(const KeyComparator& compare, rocksdb::Allocator* allocator)
      : MemTableRep(allocator),
        compare_(compare),
        root_(New<Node>(*this, true, nullptr, nullptr)) {}

  void Insert(rocksdb::KeyHandle handle) override {
    const auto* const entry = static_cast<const char*>(handle);
    const Slice key = InternalKey(entry);
    Node* node = root_.load(std::memory_order_relaxed);
    if (IsFull(*node)) node = NewRoot(node);
    while (!node->is_leaf) {
      Inner& inner = node->inner();
      unsigned position = ChildFor(inner, inner.order(), key);
      if (IsFull(*ChildAt(inner, position))) {
        Split(inner, position, key);
        position = ChildFor(inner, inner.order(), key);
      }
      node = ChildAt(inner, position);
    }
    const Order order = node->order();
    const unsigned position = LowerBound(*node, order, key);
    node->Publish(order.With(position, node->FillSlot(entry)));
  }

  bool Contains(const char* entry) const override {
    const Place place = Find(InternalKey(entry));
    return place.Valid() && compare_(place.entry(), InternalKey(entry)) == 0;
  }

  // All of it is the allocator's.
  std::size_t ApproximateMemoryUsage() override { return 0; }

  Iterator* GetIterator(rocksdb::Arena* arena) override;
  Iterator* GetDynamicPrefixIterator(rocksdb::Arena* arena) override;

 private:
  // An entry, in a node as it was at one moment.
  struct Place {
    const Node* leaf = nullptr;
    Order order;
    unsigned position = 0;

    bool Valid() const { return leaf != nullptr && position < order.size(); }
    const char* entry() const { return leaf->entries[order.SlotAt(position)]; }
  };
  class Cursor;
  class LookupCursor;

  // Below, at, or above zero, as the slot's entry is less than, equal to or greater than `key`.
  int Compare(const Node& node, unsigned slot, std::uint64_t head, const Slice& key) const {
    if (node.heads[slot] != head) return node.heads[slot] < head ? -1 : 1;
    return compare_(node.entries[slot], key);
  }

  // The first position in [begin, order.size()) whose entry is not less than `key`, or, with
  // `or_equal`, is greater.
  unsigned Bound(const Node& node, Order order, const Slice& key, unsigned begin,
                 bool or_equal) const {
    const std::uint64_t head = Head(UserKeyOf(key), node.prefix);
    unsigned end = order.size();
    while (begin < end) {
      const unsigned middle = (begin + end) / 2;
      if (Compare(node, order.SlotAt(middle), head, key) < (or_equal ? 1 : 0)) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return begin;
  }

  unsigned LowerBound(const Node& leaf, Order order, const Slice& key) const {
    return Bound(leaf, order, key, 0, false);
  }
  // The child that holds `key`, if any does.
  unsigned ChildFor(const Inner& inner, Order order, const Slice& key) const {
    return Bound(inner, order, key, 1, true) - 1;
  }
  // The child that holds the last entry less than `key`, if there is one.
  unsigned ChildBefore(const Inner& inner, Order order, const Slice& key) const {
    return Bound(inner, order, key, 1, false) - 1;
  }
  static Node* ChildAt(const Inner& inner, unsigned position) {
    return inner.children[inner.order().SlotAt(position)];
  }

  // The first entry that is not less than `key`.
  Place Find(const Slice& key) const {
    const Node* node = root_.load(std::memory_order_acquire);
    while (!node->is_leaf) {
      const Order order = node->order();
      node = node->inner().children[order.SlotAt(ChildFor(node->inner(), order, key))];
    }
    const Order order = node->order();
    const Place place{node, order, LowerBound(*node, order, key)};
    // The upper bound is an entry too, the next node's first.
    return place.Valid() || node->high == nullptr ? place : Find(InternalKey(node->high));
  }

  // The last entry that is less than `key`.
  Place FindBefore(const Slice& key) const {
    const Node* node = root_.load(std::memory_order_acquire);
    while (!node->is_leaf) {
      const Order order = node->order();
      node = node->inner().children[order.SlotAt(ChildBefore(node->inner(), order, key))];
    }
    const Order order = node->order();
    const unsigned position = LowerBound(*node, order, key);
    return position == 0 ? Place() : Place{node, order, position - 1};
  }

  Place First() const {
    const Node* node = root_.load(std::memory_order_acquire);
    while (!node->is_leaf) node = ChildAt(node->inner(), 0);
    return {node, node->order(), 0};
  }

  Place Last() const {
    const Node* node = root_.load(std::memory_order_acquire);
    for (;;) {
      const Order order = node->order();
      if (order.size() == 0) return {};
      if (node->is_leaf) return {node, order, order.size() - 1};
      node = node->inner().children[order.SlotAt(order.size() - 1)];
    }
  }

  // An inner node must have room for both halves of a child.
  static bool IsFull(const Node& node) { return node.used + (node.is_leaf ? 1 : 2) > kSlots; }

  Node* NewRoot(Node* only_child) {
    auto* const root = New<Inner>(*this, nullptr, nullptr);
    root->Publish(Order().With(0, root->FillSlot(nullptr, only_child)));
    root_.store(root, std::memory_order_release);
    return root;
  }

  // Replaces a full child. `key` is about to be inserted: if that is at the end, as keys in
  // ascending order are, the lower half takes nearly all.
  void Split(Inner& parent, unsigned position, const Slice& key) {
    const Order order = parent.order();
    const unsigned slot = order.SlotAt(position);
    const Node& full = *parent.children[slot];
    const Order from = full.order();
    const bool at_end = compare_(full.entries[from.SlotAt(from.size() - 1)], key) < 0;
    const unsigned cut = at_end ? from.size() - 1 : from.size() / 2;
    const char* const bound = full.entries[from.SlotAt(cut)];
    Node* const lower = Copy(full, 0, cut, full.low, bound);
    Node* const upper = Copy(full, cut, from.size(), bound, full.high);
    const unsigned lower_slot = parent.FillSlot(parent.entries[slot], lower);
    const unsigned upper_slot = parent.FillSlot(bound, upper);
    parent.Publish(order.Replaced(position, lower_slot).With(position + 1, upper_slot));
  }

  Node* Copy(const Node& full, unsigned begin, unsigned end, const char* low, const char* high) {
    const Order from = full.order();
    Order order;
    if (full.is_leaf) {
      auto* const leaf = New<Node>(*this, true, low, high);
      for (unsigned i = begin; i < end; ++i) {
        order = order.With(i - begin, leaf->FillSlot(full.entries[from.SlotAt(i)]));
      }
      leaf->Publish(order);
      return leaf;
    }
    auto* const inner = New<Inner>(*this, low, high);
    for (unsigned i = begin; i < end; ++i) {
      const unsigned slot = from.SlotAt(i);
      order =
          order.With(i - begin, inner->FillSlot(full.entries[slot], full.inner().children[slot]));
    }
    inner->Publish(order);
    return inner;
  }

  const KeyComparator& compare_;
  std::atomic<Node*> root_;
};

class Memtable::Cursor : public MemTableRep::Iterator {
 public:
  explicit Cursor(const Memtable& table) : table_(table) {}

  bool Valid() const override { return place_.Valid(); }
  const char* key() const override { return place_.entry(); }
  void Next() override {
    if (++place_.position == place_.order.size() && place_.leaf->high != nullptr) {
      place_ = table_.Find(InternalKey(place_.leaf->high));
    }
  }
  void Prev() override {
    if (place_.position > 0) {
      --place_.position;
    } else {
      place_ = table_.FindBefore(InternalKey(place_.entry()));
    }
  }
  void Seek(const Slice& internal_key, const char* /*entry*/) override {
    place_ = table_.Find(internal_key);
  }
  void SeekForPrev(const Slice& internal_key, const char* /*entry*/) override {
    place_ = table_.Find(internal_key);
    if (!Valid()) {
      place_ = table_.Last();
    } else if (table_.compare_(place_.entry(), internal_key) > 0) {
      Prev();
    }
  }
  void SeekToFirst() override { place_ = table_.First(); }
  void SeekToLast() override { place_ = table_.Last(); }

 private:
  const Memtable& table_;
  Place place_;
};

// One at a time on each thread, whether it is deleted or not.
class Memtable::LookupCursor final : public Cursor {
 public:
  using Cursor::Cursor;
  static void* operator new(std::size_t /*size*/) {
    alignas(std::max_align_t) thread_local std::array<std::byte, 64> memory;
    static_assert(sizeof(LookupCursor) <= sizeof(memory));
    return memory.data();
  }
  static void operator delete(void* /*memory*/) {}
};

// In an arena, if there is one: then nobody deletes it.
MemTableRep::Iterator* Memtable::GetIterator(rocksdb::Arena* arena) {
  if (arena == nullptr) return new Cursor(*this);
  ArenaMemory memory(arena);
  return New<Cursor>(memory, *this);
}

// Without an arena this is for MemTableRep::Get(), which every lookup goes through, and which in
// some versions of RocksDB does not delete what it gets here.
MemTableRep::Iterator* Memtable::GetDynamicPrefixIterator(rocksdb::Arena* arena) {
  return arena == nullptr ? new LookupCursor(*this) : GetIterator(arena);
}

class MemtableFactory final : public rocksdb::MemTableRepFactory {
 public:
  const char* Name() const override { return "quorate.Memtable"; }
  MemTableRep* CreateMemTableRep(const MemTableRep::KeyComparator& compare,
                                 rocksdb::Allocator* allocator,
                                 const rocksdb::SliceTransform* /*prefix*/,
                                 rocksdb::Logger* /*logger*/) override {
    return new Memtable(compare, allocator);
  }
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> NewMemtableFactory() {
  return std::make_shared<MemtableFactory>();
}

}  // namespace quorate::storage
