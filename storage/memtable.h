// How RocksDB keeps in memory, in order, what is not flushed yet.
#pragma once

#include <rocksdb/memtablerep.h>

#include <memory>

namespace quorate::storage {

// B-trees in place of skip lists: an insertion among 200,000 keys waits for the memory a few times
// and not some twenty times, and that wait was most of what a write cost. For databases with the
// bytewise comparator and allow_concurrent_memtable_write off: one writer, any number of readers
// beside it.
std::shared_ptr<rocksdb::MemTableRepFactory> NewMemtableFactory();

}  // namespace quorate::storage
