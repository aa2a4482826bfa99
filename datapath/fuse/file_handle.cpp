#include "datapath/fuse/file_handle.h"

#include <fcntl.h>

#include <algorithm>

#include <fmt/format.h>

namespace safekit::fuse {
namespace {

/// `struct file_handle` with room for the largest handle.
union HandleBuffer {
  ::file_handle handle;
  char room[sizeof(::file_handle) + MAX_HANDLE_SZ];
};

}  // namespace

Call<replica::FileHandle> handle_at(std::uint32_t root, int directory, const std::string& name) {
  HandleBuffer buffer{};
  buffer.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  const int flags = name.empty() ? AT_EMPTY_PATH : 0;
  if (::name_to_handle_at(directory, name.c_str(), &buffer.handle, &mount_id, flags) != 0)
    return last_errno();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(buffer.room) + sizeof(::file_handle);
  return replica::FileHandle{
      .root = root, .type = buffer.handle.handle_type, .bytes = {bytes, bytes + buffer.handle.handle_bytes}};
}

Call<Fd> open_handle(int mount, const replica::FileHandle& handle, int flags) {
  if (handle.bytes.size() > MAX_HANDLE_SZ) return Errno{ESTALE};
  HandleBuffer buffer{};
  buffer.handle.handle_bytes = static_cast<unsigned>(handle.bytes.size());
  buffer.handle.handle_type = handle.type;
  std::ranges::copy(handle.bytes, buffer.room + sizeof(::file_handle));
  Fd fd{::open_by_handle_at(mount, &buffer.handle, flags | O_CLOEXEC)};
  if (!fd) return last_errno();
  return fd;
}

std::string magic_path(int descriptor) {
  return fmt::format("/proc/self/fd/{}", descriptor);
}

Call<Fd> reopen(int descriptor, int flags) {
  Fd fd{::open(magic_path(descriptor).c_str(), (flags & ~O_NOFOLLOW) | O_CLOEXEC)};
  if (!fd) return last_errno();
  return fd;
}

}  // namespace safekit::fuse
