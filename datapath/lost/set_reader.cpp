#include "datapath/lost/set_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "datapath/linux/fd.h"

namespace safekit::lost {

namespace {

Error file_error(const char* what, const std::string& path, int number) {
  return Error{number == ENOENT ? Code::NotFound : Code::Io, fmt::format("cannot {} '{}': {}", what, path, std::strerror(number))};
}

Result<std::size_t> read_into(int fd, std::span<std::uint8_t> into, std::uint64_t offset, const std::string& path) {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const ssize_t done = ::pread(fd, into.data() + filled, into.size() - filled, static_cast<off_t>(offset + filled));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return file_error("read", path, errno);
    if (done == 0) break;
    filled += static_cast<std::size_t>(done);
  }
  return filled;
}

}  // namespace

bool is_set_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

Result<Bytes> read_file(const std::string& path) {
  const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0) return file_error("read", path, errno);
  Bytes bytes(static_cast<std::size_t>(st.st_size));
  SK_TRY(const std::size_t size, read_into(fd.get(), bytes, 0, path));
  bytes.resize(size);
  return bytes;
}

Result<std::vector<Summary>> list_sets(const std::string& directory) {
  std::vector<Summary> sets;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry{directory, failed}, end; !failed && entry != end; entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!is_set_name(name)) continue;
    const auto bytes = read_file(entry->path().string() + "/" + kSummaryFile);
    auto summary = bytes ? decode_summary(*bytes) : Result<Summary>{bytes.error()};
    if (!summary) continue;
    summary->name = name;
    sets.push_back(std::move(*summary));
  }
  if (failed && failed != std::errc::no_such_file_or_directory) return file_error("read", directory, failed.value());
  std::ranges::sort(sets, {}, &Summary::name);
  return sets;
}

Result<Contents> load_set(const std::string& directory, const std::string& name) {
  if (!is_set_name(name)) return Error{Code::NotFound, fmt::format("there is no set '{}'", name)};
  SK_TRY(const Bytes bytes, read_file(fmt::format("{}/{}/{}", directory, name, kManifestFile)));
  return read_manifest(bytes);
}

Result<Bytes> read_data(const std::string& directory, const std::string& name, std::uint64_t at, std::size_t size) {
  if (!is_set_name(name)) return Error{Code::NotFound, fmt::format("there is no set '{}'", name)};
  const std::string path = fmt::format("{}/{}/{}", directory, name, kDataFile);
  const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd) return file_error("read", path, errno);
  Bytes bytes(size);
  SK_TRY(const std::size_t got, read_into(fd.get(), bytes, at, path));
  if (got != size) return Error{Code::Corrupt, fmt::format("'{}' ends before byte {}", path, at + size)};
  return bytes;
}

Status purge_set(const std::string& directory, const std::string& name) {
  std::error_code failed;
  const std::string path = directory + "/" + name;
  if (!is_set_name(name) || !std::filesystem::exists(path, failed)) {
    return Error{Code::NotFound, fmt::format("there is no set '{}'", name)};
  }
  std::filesystem::remove_all(path, failed);
  if (failed) return file_error("remove", path, failed.value());
  return {};
}

}  // namespace safekit::lost
