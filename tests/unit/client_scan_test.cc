// Scans, snapshots and status.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::At;
using testing::DeadAddress;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::Refuse;
using testing::Success;

TEST(ClientScan, PagesFollowTheCursorOnItsConnection) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    const wire::ScanRequest scan = request.scan();
    wire::ScanPage page;
    auto* item = page.add_items();
    item->set_key(scan.cursor() == 0 ? scan.first() : "b");
    item->set_value("v");
    item->set_mod_index(3);
    page.set_count(1);
    if (scan.cursor() == 0) page.set_cursor(77);
    session.Reply(request, Success(1, 9), page.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto first = client.Scan(Range::Prefix("a"));
  ASSERT_TRUE(first) << first.error().detail;
  ASSERT_EQ(first->items.size(), 1u);
  EXPECT_EQ(first->items[0].key, "a");
  ASSERT_TRUE(first->next);
  const auto second = client.ScanNext(first->next);
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_EQ(second->items[0].key, "b");
  EXPECT_FALSE(second->next);
  EXPECT_EQ(second->certificate.applied_index, 9u);
}

TEST(ClientScan, ACursorDiesWithItsConnection) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    wire::ScanPage page;
    page.set_cursor(77);
    session.Reply(request, Success(1, 9), page.SerializeAsString());
    session.Close();
  });
  Client client(At({node.address()}));
  const auto first = client.Scan(Range::All());
  ASSERT_TRUE(first);
  std::this_thread::sleep_for(50ms);
  const auto second = client.ScanNext(first->next);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kCursorExpired);
}

TEST(ClientScan, PrefixRanges) {
  EXPECT_EQ(Range::Prefix("ab").last, "ac");
  EXPECT_EQ(Range::Prefix("a\xff").last, "b");
  EXPECT_EQ(Range::Prefix("\xff\xff").last, "");
  EXPECT_EQ(Range::Prefix("").last, "");
  EXPECT_EQ(Range::Prefix("a\x7f").last, "a\x80");
}

TEST(ClientSnapshot, IsTakenAndReadAtTheNodeThatIsNamed) {
  FakeNode other({.id = 1}, Refuse(wire::INTERNAL));
  FakeNode node({.id = 2}, [](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kSnapshot) {
      wire::SnapshotTaken taken;
      taken.set_id(77);
      taken.set_node_id(2);
      taken.set_index(9);
      taken.set_bytes(1000);
      taken.set_took_us(1500);
      return session.Reply(request, Success(2, 9), taken.SerializeAsString());
    }
    wire::SnapshotRead read;
    ASSERT_TRUE(read.ParseFromString(request.header));
    EXPECT_EQ(read.snapshot(), 77u);
    if (read.has_file()) return session.Refuse(request, wire::SNAPSHOT_GONE);
    session.Reply(request, Success(2, 9),
                  std::to_string(read.offset()) + "+" + std::to_string(read.bytes()));
  });
  Client client(At({other.address(), node.address()}));
  const auto taken = client.Snapshot({.node = 2});
  ASSERT_TRUE(taken) << taken.error().detail;
  EXPECT_EQ(taken->id, 77u);
  EXPECT_EQ(taken->index, 9u);
  EXPECT_EQ(taken->took, 1500us);
  const auto manifest =
      client.ReadSnapshot({.snapshot = 77, .file = {}, .offset = 5, .bytes = 10}, {.node = 2});
  ASSERT_TRUE(manifest) << manifest.error().detail;
  EXPECT_EQ(*manifest, "5+10");
  const auto gone = client.ReadSnapshot({.snapshot = 77, .file = 0}, {.node = 2});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kSnapshotGone);
  EXPECT_EQ(gone.error().error_class, ErrorClass::kFinal);
}

TEST(ClientSnapshot, WantsANodeAndPiecesWithinTheLimit) {
  FakeNode node({}, Refuse(wire::INTERNAL));
  Client client(At({node.address()}));
  EXPECT_EQ(client.ReadSnapshot({.snapshot = 1, .file = 0}, {}).error().code, ErrorCode::kInvalid);
  const auto large = client.ReadSnapshot(
      {.snapshot = 1, .file = 0, .offset = 0, .bytes = kMaxSnapshotPieceBytes + 1}, {.node = 1});
  EXPECT_EQ(large.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(node.requests(), 0);
}

TEST(ClientSnapshot, WithoutRoomAtTheNodeItFailsAtOnce) {
  FakeNode node({}, Refuse(wire::DISK_FULL));
  Client client(At({node.address()}));
  const auto taken = client.Snapshot({.timeout = 600s, .node = 1});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(node.requests(), 1);
}

TEST(ClientStatus, SaysWhatTheDiskHoldsAndHowFarASnapshotHasCome) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    wire::NodeStatus status;
    status.set_log_first_index(100);
    status.set_disk_free_bytes(5);
    status.set_disk_full(true);
    status.set_disk_full_reason("no room");
    status.set_snapshots_installed(3);
    status.mutable_snapshot()->set_from(2);
    status.mutable_snapshot()->set_received_bytes(10);
    status.mutable_snapshot()->set_seconds_left(4);
    session.Reply(request, Success(1, 1), status.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto status = client.Status(node.address());
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_EQ(status->disk.log_first_index, 100u);
  EXPECT_EQ(status->disk.free_bytes, 5u);
  EXPECT_TRUE(status->disk.full);
  EXPECT_EQ(status->disk.full_reason, "no room");
  EXPECT_EQ(status->snapshots_installed, 3u);
  ASSERT_TRUE(status->snapshot);
  EXPECT_EQ(status->snapshot->from, 2u);
  EXPECT_EQ(status->snapshot->received_bytes, 10u);
  EXPECT_EQ(status->snapshot->left, 4s);
}

TEST(ClientStatus, AsksTheEndpointAndNobodyElse) {
  FakeNode node({.id = 4}, [](FakeSession& session, const FakeRequest& request) {
    wire::NodeStatus status;
    status.set_id(4);
    status.set_role("follower");
    status.set_age_us(1500);
    status.add_peers()->set_id(5);
    session.Reply(request, Success(4, 1), status.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto status = client.Status(node.address());
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_EQ(status->id, 4u);
  EXPECT_EQ(status->role, "follower");
  EXPECT_EQ(status->age, std::chrono::microseconds(1500));
  ASSERT_EQ(status->peers.size(), 1u);
  const auto dead = client.Status(DeadAddress());
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, ErrorCode::kCannotConnect);
  EXPECT_EQ(client.Status("nonsense").error().code, ErrorCode::kInvalid);
  const auto members = client.Members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].id, 4u);
  EXPECT_TRUE(members[0].connected);
}

}  // namespace
}  // namespace quorate
