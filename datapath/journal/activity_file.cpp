#include "datapath/journal/activity_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "datapath/journal/files.h"

namespace safekit::journal {

namespace {

std::string name_of(std::uint64_t number) { return number % 2 == 0 ? "activity.0" : "activity.1"; }

Bytes whole_chunks(Bytes blocks) {
  blocks.resize((blocks.size() + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
  return blocks;
}

/// Nothing for a file that is not there or of another log.
Result<std::optional<Segment>> read_segment(const std::string& path, std::uint64_t id) {
  const auto bytes = files::read_whole(path);
  if (!bytes) {
    if (bytes.error().code == Code::NotFound) return std::optional<Segment>{};
    return bytes.error();
  }
  auto segment = decode_segment(*bytes);
  if (!segment) return Error{segment.error().code, fmt::format("'{}' {}", path, segment.error().what)};
  if (segment->head.id != id) return std::optional<Segment>{};
  return std::optional{std::move(*segment)};
}

/// Both files as one, complete from `head.from` on; `head.number` is that of the newer.
Result<Segment> read_log(const std::string& directory, const LogPoint& expected, std::uint32_t zone_bytes) {
  std::vector<Segment> found;
  for (const std::uint64_t number : {0U, 1U}) {
    SK_TRY(auto segment, read_segment(directory + "/" + name_of(number), expected.id));
    if (segment) found.push_back(std::move(*segment));
  }
  if (found.empty()) return Error{Code::Corrupt, fmt::format("'{}/activity.*' are missing", directory)};
  std::ranges::sort(found, std::greater{}, [](const Segment& segment) { return segment.head.number; });
  Segment log = std::move(found.front());
  // An older file that the newer one does not need is left from a change of files that was broken off.
  if (found.size() > 1 && log.head.from > expected.checkpoint && found[1].head.number + 1 == log.head.from) {
    log.activity.merge(found[1].activity);
    log.head.from = found[1].head.from;
  }
  if (log.head.from > expected.checkpoint) return Error{Code::Corrupt, fmt::format("'{}/activity.*': one is missing", directory)};
  if (log.head.zone_bytes != zone_bytes) return Error{Code::Corrupt, "the zone size was changed"};
  return log;
}

}  // namespace

ActivityFile::~ActivityFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Activity> ActivityFile::read(const std::string& directory, const LogPoint& expected, std::uint32_t zone_bytes) {
  SK_TRY(auto log, read_log(directory, expected, zone_bytes));
  return std::move(log.activity);
}

void ActivityFile::remove(const std::string& directory) {
  for (const std::uint64_t number : {0U, 1U}) {
    (void)::unlink((directory + "/" + name_of(number)).c_str());  // one that stays is of a log that nobody names
  }
}

Status ActivityFile::create(std::uint64_t id) {
  remove(directory_);
  from_ = 1;
  return begin({.id = id, .number = 1, .from = 1, .zone_bytes = zone_bytes_}, {});
}

Result<Activity> ActivityFile::resume(const LogPoint& expected) {
  SK_TRY(auto log, read_log(directory_, expected, zone_bytes_));
  from_ = log.head.from;
  SegmentHead head = log.head;
  ++head.number;
  SK_TRY_VOID(begin(head, log.activity.list()));
  SK_TRY_VOID(drop_old());
  from_ = head.from;
  return std::move(log.activity);
}

Status ActivityFile::append(std::span<const ActivityEntry> entries) {
  const std::string path = directory_ + "/" + name_of(head_.number);
  const Bytes blocks = encode_blocks(head_, blocks_, entries);
  const std::uint64_t offset = std::uint64_t{blocks_} * kBlockBytes;
  if (offset + blocks.size() > kSegmentBytesMax) return Error{Code::Exhausted, fmt::format("'{}' is full", path)};
  if (offset + blocks.size() > bytes_) {
    // Zeros first: what is appended later changes neither the size nor the place of the file on the disk.
    const Bytes zeros((offset + blocks.size() - bytes_ + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
    SK_TRY_VOID(files::write_at(fd_, path, zeros, bytes_));
    if (::fdatasync(fd_) != 0) return files::io_error("cannot write", path);
    bytes_ += zeros.size();
  }
  SK_TRY_VOID(files::write_at(fd_, path, blocks, offset));
  if (::fdatasync(fd_) != 0) return files::io_error("cannot write", path);
  blocks_ += static_cast<std::uint32_t>(blocks.size() / kBlockBytes);
  return {};
}

Status ActivityFile::rotate() {
  const std::uint64_t next = head_.number + 1;
  return begin({.id = head_.id, .number = next, .from = next, .zone_bytes = zone_bytes_}, {});
}

Status ActivityFile::drop_old() {
  const std::string path = directory_ + "/" + name_of(head_.number + 1);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return files::io_error("cannot remove", path);
  from_ = head_.from;
  return {};
}

/// A number once given is not used for another file, also when this fails.
Status ActivityFile::begin(const SegmentHead& head, std::span<const ActivityEntry> entries) {
  const std::string path = directory_ + "/" + name_of(head.number);
  const Bytes blocks = encode_blocks(head, 0, entries);
  const Bytes bytes = whole_chunks(blocks);
  if (bytes.size() > kSegmentBytesMax) return Error{Code::Exhausted, fmt::format("'{}' would be too long", path)};
  SK_TRY_VOID(files::replace(directory_, name_of(head.number), bytes));
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return files::io_error("cannot open", path);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  head_ = head;
  blocks_ = static_cast<std::uint32_t>(blocks.size() / kBlockBytes);
  bytes_ = bytes.size();
  return {};
}

}  // namespace safekit::journal
