#include "datapath/linux/write_watch.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace safekit::linux_os {

namespace {

constexpr std::uint64_t kInode = FAN_MODIFY | FAN_ATTRIB;
constexpr std::uint64_t kNames = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;
constexpr std::size_t kReadBytes = 64U << 10;

std::uint64_t number_of(const std::int32_t* words) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(words[1])) << 32 | static_cast<std::uint32_t>(words[0]);
}

/// The record behind the head that names the directory and the entry; false when there is none.
bool take_place(BytesView info, WriteEvent& event) {
  fanotify_event_info_fid head{};
  constexpr std::size_t kHead = offsetof(fanotify_event_info_fid, handle);
  constexpr std::size_t kHandleHead = 8;  // u32 bytes, i32 type
  if (info.size() < kHead + kHandleHead) return false;
  std::memcpy(&head, info.data(), kHead);
  if (head.hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME || head.hdr.len > info.size()) return false;
  std::uint32_t size = 0;
  std::memcpy(&size, info.data() + kHead, sizeof size);
  std::memcpy(&event.handle_type, info.data() + kHead + sizeof size, sizeof event.handle_type);
  if (size > info.size() || kHead + kHandleHead + size > head.hdr.len) return false;
  std::array<std::int32_t, 2> words{};
  std::memcpy(words.data(), &head.fsid, sizeof words);
  event.file_system = number_of(words.data());
  const std::uint8_t* handle = info.data() + kHead + kHandleHead;
  event.handle.assign(handle, handle + size);
  const auto* name = reinterpret_cast<const char*>(handle + size);
  event.name.assign(name, ::strnlen(name, head.hdr.len - kHead - kHandleHead - size));
  return !event.name.empty();
}

bool ignore_own(int fd, int directory) {
  // Before Linux 6.0 under another name.
  return ::fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_IGNORE_SURV, FAN_MODIFY, directory, nullptr) == 0 ||
         ::fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_MODIFY,
                         directory, nullptr) == 0;
}

Error unsupported(const char* step) {
  return Error{Code::Unsupported, fmt::format("{}: {}", step, std::strerror(errno))};
}

}  // namespace

std::vector<WriteEvent> parse_write_events(BytesView bytes) {
  std::vector<WriteEvent> events;
  const auto lost = [&] {
    events.push_back({.overflow = true});
    return events;
  };
  while (!bytes.empty()) {
    fanotify_event_metadata head{};
    if (bytes.size() < sizeof head) return lost();
    std::memcpy(&head, bytes.data(), sizeof head);
    const bool fits = head.event_len >= head.metadata_len && head.metadata_len >= sizeof head && head.event_len <= bytes.size();
    if (head.vers != FANOTIFY_METADATA_VERSION || !fits) return lost();
    WriteEvent event{.overflow = (head.mask & FAN_Q_OVERFLOW) != 0,
                     .inode = (head.mask & kInode) != 0,
                     .names = (head.mask & kNames) != 0,
                     .directory = (head.mask & FAN_ONDIR) != 0,
                     .pid = head.pid};
    const bool placed = event.overflow || take_place(bytes.subspan(head.metadata_len, head.event_len - head.metadata_len), event);
    if (placed) {
      events.push_back(event.overflow ? WriteEvent{.overflow = true} : std::move(event));
    } else {
      events.push_back({.overflow = true});
    }
    bytes = bytes.subspan(head.event_len);
  }
  return events;
}

Result<std::uint64_t> file_system_of(int fd) {
  struct statfs st {};
  if (::fstatfs(fd, &st) != 0) return Error{Code::Io, fmt::format("statfs: {}", std::strerror(errno))};
  std::array<std::int32_t, 2> words{};
  std::memcpy(words.data(), &st.f_fsid, sizeof words);
  return number_of(words.data());
}

Result<std::unique_ptr<WriteWatch>> WriteWatch::open(const std::vector<int>& directories) {
  Fd fd{::fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC)};
  if (!fd) return unsupported("fanotify_init");
  for (const int directory : directories) {
    if (::fanotify_mark(fd.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, kInode | kNames | FAN_ONDIR, directory, nullptr) != 0) {
      return unsupported("fanotify_mark");
    }
    if (!ignore_own(fd.get(), directory)) return unsupported("fanotify_mark of a mount");
  }
  return std::unique_ptr<WriteWatch>{new WriteWatch{std::move(fd)}};
}

Result<std::vector<WriteEvent>> WriteWatch::read() {
  std::vector<WriteEvent> events;
  alignas(fanotify_event_metadata) std::array<std::uint8_t, kReadBytes> buffer{};
  for (int round = 0; round < kReadsMax; ++round) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) return Error{Code::Io, fmt::format("read of changes: {}", std::strerror(errno))};
    if (got <= 0) break;
    auto more = parse_write_events(BytesView{buffer.data(), static_cast<std::size_t>(got)});
    events.insert(events.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return events;
}

}  // namespace safekit::linux_os
