// What a node keeps on disk. Read in this order:
//
//   result.h file_system.h      errors as values; files, so that a test can lose unsynced bytes
//   files.h                     whole files and directories
//   data_dir.h                  whose directory this is, and which database in it counts
//   recover.h                   from a directory to a log and a state machine that fit together
//   log.h                       the write-ahead log of entries, term and vote
//     record.h segment.h          its bytes: records, and the files they lie in
//     log_recovery.h replay.h     reading it back: torn tail or damage, and what they add up to
//     entry_index.h log_scan.h    where entries lie; looking at a log without changing it
//   state_machine.h             keys and values at exactly one position of the log
//     engine.h database.cc        on RocksDB
//     execute.h                   what commands do, to the keys (execute_value.h,
//                                 execute_transaction.h) and to sessions (sessions.h)
//     key_space.h change_set.h    what they work on: a batch of changes that sees itself
//     stored_record.h published_position.h page_cache.h
//   snapshot.h manifest.h       copies of the state for nodes that the log no longer reaches
//   backup.h                    the same as one file, and a new cluster from it
//   entry_codec.h               the one binary form of an entry, on disk and between nodes
//   crc32c.h little_endian.h varint.h
#pragma once

#include "storage/backup.h"
#include "storage/data_dir.h"
#include "storage/entry_codec.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/recover.h"
#include "storage/result.h"
#include "storage/snapshot.h"
#include "storage/state_machine.h"
