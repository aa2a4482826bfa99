#include "datapath/replica/handle.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "schema/base/digest.h"

namespace safekit::replica {

namespace {
constexpr std::size_t kHandleBytesMax = 128;  // MAX_HANDLE_SZ

struct KernelHandle {
  alignas(file_handle) std::array<char, sizeof(file_handle) + kHandleBytesMax> storage{};
  [[nodiscard]] file_handle* get() { return reinterpret_cast<file_handle*>(storage.data()); }
};
}  // namespace

HandleKey to_key(const FileHandle& handle) {
  ByteWriter out;
  out.u32(handle.root);
  out.u32(static_cast<std::uint32_t>(handle.type));
  out.raw(handle.bytes);
  return std::string{as_text(out.bytes())};
}

Result<FileHandle> from_key(const HandleKey& key) {
  ByteReader in{as_bytes(key)};
  FileHandle handle;
  handle.root = in.u32();
  handle.type = static_cast<std::int32_t>(in.u32());
  if (!in.ok() || in.rest().size() > kHandleBytesMax) return Error{Code::Corrupt, "file handle of a wrong length"};
  handle.bytes.assign(in.rest().begin(), in.rest().end());
  return handle;
}

std::uint64_t identity_of(const HandleKey& key) { return digest128(as_bytes(key)).low; }

Error system_error(const std::string& what, int number) {
  const auto code = [&] {
    switch (number) {
      case ENOENT:
      case ESTALE: return Code::NotFound;
      case EEXIST:
      case ENOTDIR:
      case EISDIR:
      case ENOTEMPTY:
      case ELOOP:
      case EINVAL:
      case EBADF:
      case EXDEV: return Code::Conflict;
      case ENOSPC:
      case EDQUOT:
      case EMFILE:
      case ENFILE: return Code::Exhausted;
      default: return Code::Io;
    }
  }();
  const char* hint = number == EBUSY ? "; is something mounted there? unmount it" : "";
  return Error{code, fmt::format("{}: {}{}", what, std::strerror(number), hint)};
}

namespace {

Error no_handle(const std::string& name, int number) {
  if (number == EOPNOTSUPP) {
    return Error{Code::Unsupported, "the file system gives no file handles; replicated directories need ext4, xfs, btrfs "
                                    "or tmpfs"};
  }
  return system_error(fmt::format("handle of '{}'", name), number);
}

}  // namespace

Result<int> mount_id_of(int fd) {
  KernelHandle handle;
  handle.get()->handle_bytes = kHandleBytesMax;
  int mount_id = 0;
  if (::name_to_handle_at(fd, "", handle.get(), &mount_id, AT_EMPTY_PATH) != 0) return no_handle("", errno);
  return mount_id;
}

Result<HandleKey> key_at(const Place& place, int directory, const std::string& name) {
  KernelHandle handle;
  handle.get()->handle_bytes = kHandleBytesMax;
  int mount_id = 0;
  if (::name_to_handle_at(directory, name.c_str(), handle.get(), &mount_id, name.empty() ? AT_EMPTY_PATH : 0) != 0) {
    return no_handle(name, errno);
  }
  if (mount_id != place.mount_id) {
    return Error{Code::Conflict, fmt::format("'{}' lies in another file system, which is mounted inside the replicated "
                                             "directory; unmount it", name)};
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(handle.get()->f_handle);
  return to_key(FileHandle{place.root, handle.get()->handle_type, {bytes, bytes + handle.get()->handle_bytes}});
}

Result<Fd> open_key(int mount, const HandleKey& key, int flags) {
  SK_TRY(const FileHandle parts, from_key(key));
  KernelHandle handle;
  handle.get()->handle_bytes = static_cast<unsigned>(parts.bytes.size());
  handle.get()->handle_type = parts.type;
  std::ranges::copy(parts.bytes, handle.storage.data() + sizeof(file_handle));
  Fd fd{::open_by_handle_at(mount, handle.get(), flags | O_CLOEXEC)};
  if (!fd) return system_error("open by handle", errno);
  return fd;
}

}  // namespace safekit::replica
