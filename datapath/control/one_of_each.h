#pragma once

#include <vector>

#include "datapath/control/codec.h"

/// For tests, and what a fuzzer begins with (e2e/fuzz): every message once.
namespace safekit::control {

inline std::vector<Message> one_of_each() {
  return {
      Configure{.module = "AM", .node = "a", .peer = "b", .cluster_id = "c", .listen_address = "1", .peer_address = "2",
                .port = 3, .directories = {{"/a", {"x", "y"}, {{"p", ""}, {"", "!r"}}}, {"/b", {}, {}}}, .durability = Durability::Write,
                .secondary_ack = SecondaryAck::Received, .verify_after_resync = true, .write_back = true, .send_timeout = seconds{1}, .zone_bytes = 4096,
                .resync_workers = 2, .write_flags = kStopsForWrites, .lost_bytes_max = 1ULL << 40,
                .policy = {.number = 5, .mode = SyncPolicy::Mode::BackupSecondary, .uid = "u", .detect = false, .chosen = -6, .setting = 7}, .resync_rate = 8, .uses_zones = false, .resync_detail = true, .snapshot = Snapshot::Always, .connections = 3,
                .leased = true, .promise = seconds{2}, .guarded = {{"10.0.0.1", "eth0"}, {"fd00::1", "eth1"}}, .idle_poll = false, .certificate_file = "p", .key_file = "q", .authority_file = "r"},
      Want{.order = 7, .role = ReplicaRole::Primary, .may_be_alone = true, .pairing = 11,
           .force_up_to_date = true, .by_lease = true, .peer_left = true},
      Report{.order = 7, .role = ReplicaRole::Secondary, .settled = true, .up_to_date = true, .connected = true,
             .phase = SyncPhase::Copying, .files_total = 9, .generation = {4}, .pairing = 12, .problem = "disk full", .outside_writes = 5,
             .outside_last = "x", .fatal = true, .unverified = true, .policy = 13, .policy_refused = "used", .full_wanted = true, .backup = "u",
             .traffic = {.written = 14, .received = 15, .sent = 16}, .scanning = true, .directories_total = 17, .directories_done = 18,
             .bytes_total = 19, .bytes_done = 20, .restorable = true, .frozen = true},
      Inspect{.number = 5, .kind = Inspect::Kind::Estimate, .cause = Inspect::Cause::Schedule, .bytes_per_second = 1ULL << 33},
      Inspection{.number = 5, .kind = Inspect::Kind::Estimate, .cause = Inspect::Cause::Schedule, .state = Inspection::State::Failed, .reason = "stopped", .files = 1,
                 .directories = 2, .bytes = 3, .ended_early = true, .differences = {{"/a\xff", "mode"}, {"/b", "size, content"}},
                 .compares_more = true, .compared_bytes = 4, .bytes_per_second = 6},
      Lease{.until = {21}, .refused = true},
  };
}

}  // namespace safekit::control
