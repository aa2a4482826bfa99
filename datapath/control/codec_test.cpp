#include "datapath/control/codec.h"

#include <gtest/gtest.h>

#include <random>

namespace safekit::control {
namespace {

std::vector<Message> one_of_each() {
  return {
      Configure{.module = "AM", .node = "a", .peer = "b", .cluster_id = "c", .listen_address = "1", .peer_address = "2",
                .port = 3, .directories = {{"/a", {"x", "y"}, {{"p", ""}, {"", "!r"}}}, {"/b", {}, {}}}, .durability = Durability::Write,
                .secondary_ack = SecondaryAck::Received, .verify_after_resync = true, .write_back = true, .send_timeout = seconds{1}, .zone_bytes = 4096,
                .resync_workers = 2, .write_flags = kStopsForWrites, .lost_bytes_max = 1ULL << 40,
                .policy = {.number = 5, .mode = SyncPolicy::Mode::BackupSecondary, .uid = "u", .detect = false, .chosen = -6, .setting = 7}, .resync_rate = 8, .uses_zones = false, .resync_detail = true, .snapshot = Snapshot::Always, .connections = 3,
                .certificate_file = "p", .key_file = "q", .authority_file = "r"},
      Want{.order = 7, .role = ReplicaRole::Primary, .may_be_alone = true, .pairing = 11,
           .force_up_to_date = true},
      Report{.order = 7, .role = ReplicaRole::Secondary, .settled = true, .up_to_date = true, .connected = true,
             .phase = SyncPhase::Copying, .files_total = 9, .generation = {4}, .pairing = 12, .problem = "disk full", .outside_writes = 5,
             .outside_last = "x", .fatal = true, .unverified = true, .policy = 13, .policy_refused = "used", .full_wanted = true, .backup = "u", .restorable = true,
             .traffic = {.written = 14, .received = 15, .sent = 16}, .scanning = true, .directories_total = 17, .directories_done = 18,
             .bytes_total = 19, .bytes_done = 20},
      Inspect{.number = 5, .kind = Inspect::Kind::Estimate, .cause = Inspect::Cause::Schedule, .bytes_per_second = 1ULL << 33},
      Inspection{.number = 5, .kind = Inspect::Kind::Estimate, .cause = Inspect::Cause::Schedule, .state = Inspection::State::Failed, .reason = "stopped", .files = 1,
                 .directories = 2, .bytes = 3, .ended_early = true, .differences = {{"/a\xff", "mode"}, {"/b", "size, content"}},
                 .compares_more = true, .compared_bytes = 4, .bytes_per_second = 6},
  };
}

TEST(ControlCodec, RoundTripTogetherAndByteByByte) {
  Bytes together;
  for (const Message& message : one_of_each()) {
    const Bytes bytes = encode(message);
    together.insert(together.end(), bytes.begin(), bytes.end());
    Bytes buffer;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto early = take_message(buffer);
      ASSERT_TRUE(early);
      ASSERT_FALSE(early->has_value());
      buffer.push_back(bytes[i]);
    }
    const auto back = take_message(buffer);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
  }
  for (const Message& message : one_of_each()) {
    const auto back = take_message(together);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
  }
  EXPECT_TRUE(together.empty());
}

TEST(ControlCodec, WhatALaterReleaseAddsIsIgnored) {
  for (const Message& message : one_of_each()) {
    Bytes buffer{3, 0, 0, 0, 99, 1, 2};  // a type that is not known
    Bytes longer = encode(message);
    longer.insert(longer.end(), {7, 8, 9});
    longer[0] = static_cast<std::uint8_t>(longer[0] + 3);
    ASSERT_GE(longer[0], 3) << "the test's own carry";
    buffer.insert(buffer.end(), longer.begin(), longer.end());
    const auto back = take_message(buffer);
    ASSERT_TRUE(back && back->has_value());
    EXPECT_EQ(**back, message);
    EXPECT_TRUE(buffer.empty());
  }
}

TEST(ControlCodec, AReportOfTheReleaseBeforeIsRead) {
  const Report report{.order = 7, .outside_last = "x"};
  Bytes old = encode(report);
  constexpr std::size_t kAppended = 7 * 8 + 1;
  old.resize(old.size() - kAppended);
  old[0] = static_cast<std::uint8_t>(old[0] - kAppended);
  const auto back = take_message(old);
  ASSERT_TRUE(back && back->has_value());
  EXPECT_EQ(std::get<Report>(**back), report);
}

TEST(ControlCodec, MutatedNeverCrashes) {
  std::mt19937 random{7};
  for (const Message& message : one_of_each()) {
    for (int round = 0; round < 2000; ++round) {
      Bytes bytes = encode(message);
      for (int change = 0; change < 3; ++change) bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random());
      (void)take_message(bytes);  // any answer is fine, a crash is not
    }
  }
}

}  // namespace
}  // namespace safekit::control
