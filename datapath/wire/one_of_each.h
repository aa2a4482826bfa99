#pragma once

#include <vector>

#include "datapath/wire/message.h"

/// For tests, and what a fuzzer begins with (e2e/fuzz): every message at least once.
namespace safekit::wire {

inline std::vector<Message> one_of_each() {
  const Attributes attributes{.mode = 0100644, .uid = 1, .gid = 2, .device = 3, .size = 4, .mtime = {5, 6}};
  return {
      Hello{.cluster_id = "c", .module = "AM", .node = "a", .primary = true, .current = {7}, .base = {8},
            .history = {{9}, {10}}, .exact = true, .zone_bytes = 65536, .root_count = 2,
            .base_log = {11, 12}, .own_log = {13, 14}, .outside = Outside::Listed, .since = 15},
      Refuse{"because"},
      Heartbeat{},
      Operation{Bind{.id = {1}, .at = {1, "a/b"}, .identity = 77}},
      Operation{Create{.parent = {1}, .name = "n", .id = {2}, .attributes = attributes, .link_target = "t", .identity = 3}},
      Operation{Link{{1}, {2}, "n"}},
      Operation{Remove{{1}, std::string{"\xff\n"}, true}},
      Operation{Rename{{1}, {2}, "a", {3}, "b", 2}},
      Operation{Write{.id = {1}, .offset = 1ULL << 40, .size = 3}},
      Operation{Fallocate{{1}, 3, 4, 5}},
      Operation{SetAttributes{{1}, 31, attributes}},
      Operation{SetXattr{{1}, "user.a", std::string{"\0b", 2}, false}},
      Operation{Sync{{1}, true}},
      Operation{Forget{{1}}},
      ResyncBegin{ResyncMode::Chosen},
      Listing{.directory = {1}, .entries = {{.name = "x", .id = {2}, .identity = 3, .mode = 4, .device = 5, .links = 2, .link_target = "y", .size = 6, .mtime = {7, 8}}}},
      InodeState{.id = {1}, .attributes = attributes, .xattrs = {{"user.a", "b"}}},
      InodeState{.id = {1}, .attributes = attributes, .with_content = true},
      ZoneDigests{.id = {1}, .first = 2, .digests = {{3, 4}, {5, 6}}},
      ResyncEnd{.current = {1}, .history = {{2}}, .log = {3, 4}, .verify = true},
      Detach{},
      SyncAll{},
      Acknowledge{{1}},
      Durable{{1}},
      ListingAnswer{{1}, {EntryFate::Kept, EntryFate::Fresh, EntryFate::Compare, EntryFate::Alike}},
      ZonesWanted{{1}, {0, 5}},
      ResyncEndAnswer{{1}, {{2}}},
      Failed{"disk full"},
      Checkpoint{{1, 2}},
      Active{.last = false,
             .entries = {{.at = {1, "a/b"}, .outside = true, .attributes = true, .names = true, .groups_from = 9, .groups = {{1, 2}, {3, 4}},
                          .trees = {"x", "y"}}}},
      VerifyNames{.at = {1, "a/b"}, .last = false, .entries = {{"x", 0100000}, {"y", 0040000}}},
      VerifyState{.at = {1, "a"}, .with_mtime = false, .attributes = attributes, .link_target = "t", .xattrs = {{"user.a", "b"}}},
      VerifyZones{.at = {0, "f"}, .exact = true, .first = 2, .digests = {{3, 4}, {5, 6}}},
      VerifyAnswer{.sequence = {7}, .differs = kMode | kOwner, .zones = {1, 2}, .names = {{"z", kMissing}}, .more_names = true},
      Verified{"it differs"},
      Question{1},
      Promise{.heard = 4, .answered = 3, .answered_at = 2, .length = 1},
      Confirm{},
      Received{{1}},
  };
}

/// What travels behind it.
inline BytesView data_of(const Message& message) {
  const auto* state = std::get_if<InodeState>(&message);
  if (state != nullptr && state->with_content) return as_bytes("abcd");
  const auto* operation = std::get_if<Operation>(&message);
  return operation != nullptr && std::holds_alternative<Write>(*operation) ? as_bytes("abc") : BytesView{};
}

}  // namespace safekit::wire
