#include "datapath/lost/set_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "datapath/lost/set_reader.h"

namespace safekit::lost {

namespace {

constexpr std::uint64_t kPieceBytesMax = 8U << 20;  ///< what does not fit as a whole is kept up to a piece
constexpr std::size_t kCopyBytes = 256U << 10;

bool is_full(int number) { return number == ENOSPC || number == EDQUOT; }

/// `20261128T034500Z`; a second one of that moment has a number behind it.
std::string name_of(WallTime begun) {
  std::string name = to_string(begun).substr(0, 19);
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  return name + "Z";
}

/// 0, or an errno.
int write_at(int fd, BytesView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return 0;
}

Status sync_directory(const std::string& path) {
  const Fd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd && ::fsync(fd.get()) == 0) return {};
  return Error{Code::Io, fmt::format("cannot sync '{}': {}", path, std::strerror(errno))};
}

std::uint64_t bytes_of_others(const std::string& directory, const std::string& own) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry{directory, failed}, end; !failed && entry != end; entry.increment(failed)) {
    struct stat st {};
    if (entry->path().filename() == own) continue;
    if (::stat((entry->path() / kDataFile).c_str(), &st) == 0) bytes += static_cast<std::uint64_t>(st.st_size);
  }
  return bytes;
}

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

}  // namespace

Error SetWriter::io_error(const char* what) const {
  return Error{Code::Io, fmt::format("what this copy alone has cannot be set aside ({} in '{}': {}), and is not overwritten "
                                     "before; mend that disk",
                                     what, path_, std::strerror(errno))};
}

Result<std::unique_ptr<SetWriter>> SetWriter::open(const std::string& directory, std::uint64_t quota, const Head& head) {
  SK_TRY(const auto sets, list_sets(directory));
  auto old = std::ranges::find_if(sets, [&](const Summary& set) {
    return set.lost == head.lost && set.peer == head.peer && set.by_others == head.by_others &&
           (!set.by_others || set.ended == WallTime{});
  });
  if (old != sets.end() && !load_set(directory, old->name)) old = sets.end();  // damaged: left as it is
  std::string name = old != sets.end() ? old->name : name_of(head.begun);
  std::error_code failed;
  for (int i = 2; old == sets.end() && std::filesystem::exists(directory + "/" + name, failed); ++i) {
    name = fmt::format("{}-{}", name_of(head.begun), i);
  }
  std::unique_ptr<SetWriter> writer{new SetWriter{directory + "/" + name}};
  writer->quota_ = quota;
  writer->others_ = bytes_of_others(directory, name);
  std::filesystem::create_directories(writer->path_, failed);
  if (!failed) std::filesystem::permissions(writer->path_, std::filesystem::perms::owner_all, failed);
  errno = failed.value();
  for (const auto& [fd, file] : {std::pair{&writer->manifest_, kManifestFile}, std::pair{&writer->data_, kDataFile}}) {
    if (errno == 0) fd->reset(::open(fmt::format("{}/{}", writer->path_, file).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (errno != 0 && !is_full(errno)) return writer->io_error("cannot make the files");
  }
  if (old != sets.end()) {
    writer->summary_ = *old;
    SK_TRY_VOID(writer->go_on());
  } else {
    SK_TRY_VOID(writer->begin(head));
    SK_TRY_VOID(sync_directory(directory));
  }
  if (writer->manifest_) {
    const std::string made = fmt::format("{}/{}", writer->path_, kMadeFile);
    writer->made_file_.reset(::open(made.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  }
  return writer;
}

Status SetWriter::begin(const Head& head) {
  summary_ = {.lost = head.lost, .node = head.node, .peer = head.peer, .begun = head.begun, .by_others = head.by_others};
  before_.head = head;
  Bytes bytes = manifest_begin();
  const Bytes record = encode(Record{head});
  bytes.insert(bytes.end(), record.begin(), record.end());
  errno = manifest_ ? write_at(manifest_.get(), bytes, 0) : ENOSPC;
  // Without room for the head there is no room for anything: `append` finds that out, and counts.
  if (errno != 0 && !is_full(errno)) return io_error("cannot write the manifest");
  if (errno != 0) {
    manifest_.reset();
    data_.reset();
    return {};
  }
  manifest_bytes_ = bytes.size();
  dirty_ = true;
  SK_TRY_VOID(flush());
  return write_summary();
}

Status SetWriter::go_on() {
  SK_TRY(const Bytes bytes, read_file(fmt::format("{}/{}", path_, kManifestFile)));
  SK_TRY(before_, read_manifest(bytes));
  manifest_bytes_ = before_.good_bytes;
  if (::ftruncate(manifest_.get(), static_cast<off_t>(manifest_bytes_)) != 0) return io_error("cannot cut the manifest");
  // Counted anew: the summary may be older than the manifest.
  summary_.items = before_.entries.size();
  summary_.ended = {};
  summary_.bytes = summary_.missed_bytes = summary_.missed_items = 0;
  for (const Entry& entry : before_.entries) {
    if (entry.item.kind == Kind::Absent) ++absent_;
    for (const Piece& piece : entry.pieces) {
      if (piece.state == PieceState::Kept) {
        summary_.bytes += piece.size;
        data_bytes_ = std::max(data_bytes_, aligned(piece.at + piece.size));
      } else if (piece.state != PieceState::Zeros) {
        summary_.missed_bytes += piece.size;
        if (std::exchange(last_missed_, entry.item.number) != entry.item.number) ++summary_.missed_items;
      }
    }
  }
  if (before_.end) unlisted_ = before_.end->unlisted;
  if (const auto made = read_file(fmt::format("{}/{}", path_, kMadeFile))) {
    ByteReader in{*made};
    while (in.rest().size() >= sizeof(std::uint64_t)) made_.insert(in.u64());
  }
  summary_.missed_items += unlisted_;
  return write_summary();
}

SetWriter::~SetWriter() {
  (void)flush();          // best effort: what is not there after a crash has not been overwritten either
  (void)write_summary();  // figures only; counted anew when the set is gone on with
}

/// Where there is no room the record is dropped; the caller counts.
Status SetWriter::append(const Record& record) {
  const Bytes bytes = encode(record);
  const bool has_place = manifest_ && manifest_bytes_ + bytes.size() <= kManifestBytesMax;
  errno = has_place ? write_at(manifest_.get(), bytes, manifest_bytes_) : ENOSPC;
  if (errno != 0 && is_full(errno)) {
    if (manifest_) (void)::ftruncate(manifest_.get(), static_cast<off_t>(manifest_bytes_));  // a torn record ends a replay all the same
    return Error{Code::Exhausted, "no room in the manifest"};
  }
  if (errno != 0) return io_error("cannot write the manifest");
  manifest_bytes_ += bytes.size();
  dirty_ = true;
  return {};
}

Result<std::uint64_t> SetWriter::add(Item item) {
  const bool is_absent = item.kind == Kind::Absent;
  if (is_absent && absent_ >= kAbsentMax) return std::uint64_t{0};
  item.number = summary_.items + 1;
  const Status added = append(Record{std::move(item)});
  if (added) {
    if (is_absent) ++absent_;
    // The first one makes the set one that is worth a word.
    if (++summary_.items == 1) SK_TRY_VOID(write_summary());
    return summary_.items;
  }
  if (added.error().code != Code::Exhausted) return added.error();
  if (!is_absent) {
    ++unlisted_;
    ++summary_.missed_items;
  }
  return std::uint64_t{0};
}

bool SetWriter::has_room(std::uint64_t bytes) const {
  struct statvfs fs {};
  if (!data_ || ::fstatvfs(data_.get(), &fs) != 0) return false;
  return fits({.quota = quota_,
               .used = others_ + data_bytes_,
               .free = static_cast<std::uint64_t>(fs.f_bavail) * fs.f_frsize,
               .total = static_cast<std::uint64_t>(fs.f_blocks) * fs.f_frsize},
              bytes);
}

Status SetWriter::keep(std::uint64_t item, int fd, Range range) {
  while (range.begin < range.end) {
    const off_t data = ::lseek(fd, static_cast<off_t>(range.begin), SEEK_DATA);
    std::uint64_t to = range.end;
    bool is_hole = data < 0 && errno == ENXIO;
    if (data > static_cast<off_t>(range.begin)) {
      is_hole = true;
      to = std::min(to, static_cast<std::uint64_t>(data));
    } else if (!is_hole) {
      const off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
      if (hole > static_cast<off_t>(range.begin)) to = std::min(to, static_cast<std::uint64_t>(hole));
      to = std::min(to, range.begin + kPieceBytesMax);
    }
    if (is_hole) {
      SK_TRY_VOID(note({.item = item, .offset = range.begin, .size = to - range.begin, .state = PieceState::Zeros}));
    } else {
      SK_TRY_VOID(keep_data(item, fd, {range.begin, to}));
    }
    range.begin = to;
  }
  return {};
}

Status SetWriter::keep_data(std::uint64_t item, int fd, Range range) {
  Piece piece{.item = item, .offset = range.begin, .size = range.end - range.begin, .state = PieceState::NoRoom};
  if (item != 0 && has_room(aligned(piece.size))) {
    piece.at = data_bytes_;
    const auto copied = copy(fd, range, data_bytes_);
    if (copied) {
      piece.state = *copied ? PieceState::Kept : PieceState::Unreadable;
    } else if (copied.error().code != Code::Exhausted) {
      return copied.error();
    }
    if (piece.state == PieceState::Kept) {
      data_bytes_ += aligned(piece.size);
      dirty_ = true;
    } else {
      piece.at = 0;
    }
  }
  return note(piece);
}

/// Of an item that is not in the manifest only the figures are kept.
Status SetWriter::note(Piece piece) {
  Status noted = piece.item != 0 ? append(Record{piece}) : Status{};
  if (!noted && noted.error().code != Code::Exhausted) return noted;
  if (!noted || (piece.item == 0 && piece.state != PieceState::Zeros)) piece.state = PieceState::NoRoom;
  if (piece.state == PieceState::Kept) {
    summary_.bytes += piece.size;
  } else if (piece.state != PieceState::Zeros) {
    const bool is_first = summary_.missed_items == 0;
    summary_.missed_bytes += piece.size;
    if (piece.item != 0 && std::exchange(last_missed_, piece.item) != piece.item) ++summary_.missed_items;
    if (is_first) return write_summary();
  }
  return {};
}

/// False when the old bytes cannot be read. Errors: Exhausted, Io.
Result<bool> SetWriter::copy(int fd, Range range, std::uint64_t at) {
  // Shares the blocks where the file system can.
  while (range.begin < range.end) {
    auto from = static_cast<off_t>(range.begin);
    auto to = static_cast<off_t>(at);
    const ssize_t done = ::copy_file_range(fd, &from, data_.get(), &to, range.end - range.begin, 0);
    if (done <= 0) break;  // by hand below, which also finds out whose fault an error is
    range.begin += static_cast<std::uint64_t>(done);
    at += static_cast<std::uint64_t>(done);
  }
  Bytes buffer(std::min<std::uint64_t>(kCopyBytes, range.end - range.begin));
  while (range.begin < range.end) {
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), range.end - range.begin);
    const ssize_t done = ::pread(fd, buffer.data(), size, static_cast<off_t>(range.begin));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    errno = write_at(data_.get(), BytesView{buffer}.first(static_cast<std::size_t>(done)), at);
    if (errno != 0 && is_full(errno)) return Error{Code::Exhausted, "no room for lost writes"};
    if (errno != 0) return io_error("cannot write the data");
    range.begin += static_cast<std::uint64_t>(done);
    at += static_cast<std::uint64_t>(done);
  }
  return true;
}

Status SetWriter::removed(std::uint64_t item) {
  const Status noted = item != 0 ? append(Record{Removed{item}}) : Status{};
  return noted || noted.error().code == Code::Exhausted ? Status{} : noted;
}

Status SetWriter::name(std::uint64_t item, std::uint32_t root, std::string path) {
  const Status noted = item != 0 ? append(Record{Name{item, root, std::move(path)}}) : Status{};
  return noted || noted.error().code == Code::Exhausted ? Status{} : noted;
}

Status SetWriter::flush() {
  if (!dirty_) return {};
  if (!manifest_) return {};
  for (const int fd : {data_.get(), manifest_.get()}) {
    // A disk that has no room for what it took is told of here by some file systems; nothing has been overwritten yet.
    if (::fdatasync(fd) != 0) return io_error("cannot sync");
  }
  dirty_ = false;
  return {};
}

Status SetWriter::end(WallTime now) {
  const Status noted = append(Record{End{now, unlisted_}});
  if (!noted && noted.error().code != Code::Exhausted) return noted;
  summary_.ended = now;
  SK_TRY_VOID(flush());
  (void)::unlink(fmt::format("{}/{}", path_, kMadeFile).c_str());  // of no more use
  if (summary_.items != 0 || summary_.missed_items != 0 || summary_.missed_bytes != 0) return write_summary();
  // The generations say that something may be lost, the copies that nothing was.
  is_gone_ = true;
  std::error_code failed;
  std::filesystem::remove_all(path_, failed);
  return failed ? Status{Error{Code::Io, fmt::format("cannot remove '{}': {}", path_, failed.message())}} : Status{};
}

void SetWriter::made(std::uint64_t digest) {
  if (made_.size() >= kMadeMax || !made_.insert(digest).second) return;
  ByteWriter out;
  out.u64(digest);
  // Without it a second attempt may take what the first one made for this node's own: too much is set aside, nothing too little.
  if (made_file_) (void)::write(made_file_.get(), out.bytes().data(), out.size());
}

Status SetWriter::write_summary() {
  if (is_gone_ || !manifest_) return {};
  const std::string path = fmt::format("{}/{}", path_, kSummaryFile);
  const std::string fresh = path + ".new";
  const Fd fd{::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  errno = fd ? write_at(fd.get(), encode(summary_), 0) : errno;
  if (errno == 0 && ::fsync(fd.get()) == 0 && ::rename(fresh.c_str(), path.c_str()) == 0) return sync_directory(path_);
  const int number = errno;
  (void)::unlink(fresh.c_str());
  errno = number;
  return is_full(number) ? Status{} : io_error("cannot write the summary");
}

}  // namespace safekit::lost
