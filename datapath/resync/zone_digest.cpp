#include "datapath/resync/zone_digest.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace safekit::resync {

Result<std::vector<Digest128>> digest_zones(int fd, std::uint32_t zone_bytes, std::uint64_t first, std::size_t count) {
  std::vector<std::uint8_t> buffer(zone_bytes);
  std::vector<Digest128> digests;
  digests.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t offset = (first + i) * zone_bytes;
    std::size_t filled = 0;
    while (filled < zone_bytes) {
      const ssize_t done = ::pread(fd, buffer.data() + filled, zone_bytes - filled, static_cast<off_t>(offset + filled));
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return Error{Code::Io, std::string{"read: "} + std::strerror(errno)};
      if (done == 0) break;
      filled += static_cast<std::size_t>(done);
    }
    digests.push_back(digest128({buffer.data(), filled}));
  }
  return digests;
}

std::optional<Segment> segment_at(int fd, std::uint64_t offset, std::uint64_t end) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return std::nullopt;
  end = std::min(end, static_cast<std::uint64_t>(st.st_size));
  if (offset >= end) return std::nullopt;
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) {
    // ENXIO: a hole up to the end; anything else: the file system does not know holes.
    return Segment{offset, end - offset, errno == ENXIO};
  }
  if (static_cast<std::uint64_t>(data) > offset) {
    return Segment{offset, std::min(static_cast<std::uint64_t>(data), end) - offset, true};
  }
  const off_t hole = ::lseek(fd, static_cast<off_t>(offset), SEEK_HOLE);
  const std::uint64_t stop = hole < 0 ? end : std::min(static_cast<std::uint64_t>(hole), end);
  return Segment{offset, stop - offset, false};
}

}  // namespace safekit::resync
