#include "datapath/linux/write_watch.h"

#include <gtest/gtest.h>
#include <sys/fanotify.h>

#include <cstring>

namespace safekit::linux_os {
namespace {

template <class T>
void put(Bytes& out, const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

Bytes event(std::uint64_t mask, int pid, const std::string& name, std::uint8_t type = FAN_EVENT_INFO_TYPE_DFID_NAME) {
  Bytes info;
  put(info, std::uint32_t{7});  // file system, low word
  put(info, std::uint32_t{8});
  put(info, std::uint32_t{4});  // bytes of the handle
  put(info, std::int32_t{1});
  put(info, std::uint32_t{0x04030201});
  info.insert(info.end(), name.begin(), name.end());
  info.push_back(0);
  while (info.size() % 4 != 0) info.push_back(0);
  const fanotify_event_info_header head{.info_type = type, .pad = 0, .len = static_cast<std::uint16_t>(sizeof head + info.size())};
  fanotify_event_metadata metadata{};
  metadata.event_len = static_cast<std::uint32_t>(sizeof metadata + head.len);
  metadata.vers = FANOTIFY_METADATA_VERSION;
  metadata.metadata_len = sizeof metadata;
  metadata.mask = mask;
  metadata.fd = FAN_NOFD;
  metadata.pid = pid;
  Bytes out;
  put(out, metadata);
  put(out, head);
  out.insert(out.end(), info.begin(), info.end());
  return out;
}

Bytes overflow() {
  fanotify_event_metadata metadata{};
  metadata.event_len = metadata.metadata_len = sizeof metadata;
  metadata.vers = FANOTIFY_METADATA_VERSION;
  metadata.mask = FAN_Q_OVERFLOW;
  metadata.fd = FAN_NOFD;
  Bytes out;
  put(out, metadata);
  return out;
}

TEST(WriteWatch, EventsAreTakenApart) {
  Bytes bytes = event(FAN_MODIFY | FAN_CREATE, 12, "new");
  for (const Bytes& next : {event(FAN_MOVED_TO | FAN_ONDIR, 13, "d"), overflow()}) bytes.insert(bytes.end(), next.begin(), next.end());
  const auto events = parse_write_events(bytes);
  ASSERT_EQ(events.size(), 3U);
  const WriteEvent place{.file_system = 0x0000000800000007, .handle_type = 1, .handle = {1, 2, 3, 4}};
  WriteEvent first = place;
  first.inode = first.names = true;
  first.pid = 12;
  first.name = "new";
  EXPECT_EQ(events[0], first);
  WriteEvent second = place;
  second.names = second.directory = true;
  second.pid = 13;
  second.name = "d";
  EXPECT_EQ(events[1], second);
  EXPECT_EQ(events[2], WriteEvent{.overflow = true});
}

TEST(WriteWatch, WhatCannotBeReadCountsAsLost) {
  const std::vector lost{WriteEvent{.overflow = true}};
  EXPECT_EQ(parse_write_events(event(FAN_MODIFY, 1, "x", FAN_EVENT_INFO_TYPE_FID)), lost);
  EXPECT_EQ(parse_write_events(event(FAN_MODIFY, 1, "")), lost);
  const Bytes whole = event(FAN_MODIFY, 1, "name");
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(parse_write_events(BytesView{whole}.first(size)), lost) << size;
  }
  Bytes wrong = whole;
  wrong[24 + 12] = 0xff;  // size of the handle
  EXPECT_EQ(parse_write_events(wrong), lost);
  EXPECT_TRUE(parse_write_events({}).empty());
}

}  // namespace
}  // namespace safekit::linux_os
