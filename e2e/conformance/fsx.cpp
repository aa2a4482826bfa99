// safekit-fsx DIRECTORY SEED OPERATIONS PROCESSES [ONLY]: random calls of several processes on files in a directory, each answer
// checked against a model. In the way of fsx (Apple, 1991), for a replicated directory.
//   private files: every process has two, and a copy of their bytes in memory: write, append, O_DIRECT, shared mappings,
//     truncate, fallocate in all modes, copy_file_range, rename, hard links, reads in each of these ways.
//   shared files: records appended by all (O_APPEND), read by all while they grow; slots of one file, each written by its owner
//     by calls and through mappings, next to the slots of others on the same pages.
// The private calls of process N depend on SEED and N only: with ONLY = N that process runs alone, which replays them.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr std::size_t kCallBytesMax = 96 << 10;
constexpr std::size_t kBlock = 4096;
constexpr std::size_t kRecord = 64;
constexpr std::size_t kSlot = 1000;  // slots of several processes lie on one page
constexpr int kSlotsEach = 32;
constexpr int kCheckAllEvery = 2000;

struct Options {
  std::string directory{};
  std::uint64_t seed{0};
  long operations{0};
  int processes{0};
  int only{-1};
};

struct Chance {
  std::mt19937_64 engine{};
  std::size_t below(std::size_t limit) { return engine() % limit; }
  bool one_in(std::size_t n) { return below(n) == 0; }
};

/// Blocks that O_DIRECT takes.
struct Aligned {
  Aligned() : bytes(static_cast<char*>(std::aligned_alloc(kBlock, kCallBytesMax + kBlock))) {}
  ~Aligned() { std::free(bytes); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  char* bytes;
};

class File {
 public:
  File(std::string path, std::vector<std::string>& log) : path_(std::move(path)), log_(log) { reopen(O_RDWR | O_CREAT | O_TRUNC); }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void step(Chance& chance, File& other);
  void check_all();

 private:
  [[noreturn]] void fail(const std::string& what) const {
    for (const std::string& line : log_) std::fprintf(stderr, "  %s\n", line.c_str());
    std::fprintf(stderr, "FAILED: %s: %s (errno %d)\n", path_.c_str(), what.c_str(), errno);
    std::_Exit(1);
  }
  void must(bool good, const char* what) const {
    if (!good) fail(what);
  }
  void note(const char* what, std::size_t at, std::size_t size) const {
    if (log_.size() == 30) log_.erase(log_.begin());
    log_.push_back(path_.substr(path_.rfind('/')) + " " + what + " at " + std::to_string(at) + " size " + std::to_string(size) +
                   " of " + std::to_string(model_.size()));
  }
  void reopen(int flags) {
    const int fd = open(path_.c_str(), flags | O_CLOEXEC, 0644);
    must(fd >= 0, "open");
    if (fd_ >= 0) must(close(fd_) == 0, "close");
    fd_ = fd;
  }
  void grow(std::size_t size) {
    if (model_.size() < size) model_.resize(size);
  }
  void put(std::size_t at, const char* bytes, std::size_t size) {
    grow(at + size);
    std::copy_n(bytes, size, model_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void compare(std::size_t at, const char* bytes, std::size_t size, const char* how) const {
    for (std::size_t i = 0; i < size; ++i) {
      if (bytes[i] != model_[at + i]) fail(std::string{how} + " differs at " + std::to_string(at + i));
    }
  }

  void write(Chance& chance, std::size_t at, std::size_t size);
  void write_direct(Chance& chance, std::size_t at, std::size_t size);
  void write_mapped(Chance& chance, std::size_t at, std::size_t size);
  void read(std::size_t at, std::size_t size);
  void read_mapped(std::size_t at, std::size_t size);
  void allocate(Chance& chance, std::size_t at, std::size_t size);
  void move_blocks(Chance& chance, std::size_t at, std::size_t size);
  void copy_range(Chance& chance, File& from, std::size_t at, std::size_t size);
  void rename_or_link(Chance& chance);
  void synchronise(Chance& chance);

  std::string path_;
  std::vector<std::string>& log_;
  int fd_{-1};
  std::vector<char> model_{};
  Aligned buffer_{};
};

void fill(Chance& chance, char* bytes, std::size_t size) {
  const std::uint64_t mark = chance.engine();
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(mark >> (i % 8 * 8)) ^ static_cast<char>(i >> 8);
}

/// One write in one of the ways to open a file; a writer alone may get a descriptor of another kind than one who reads too.
void File::write(Chance& chance, std::size_t at, std::size_t size) {
  constexpr std::array kWays{O_RDWR, O_RDWR, O_RDWR, O_WRONLY, O_WRONLY | O_APPEND, O_RDWR | O_APPEND, O_WRONLY | O_DSYNC};
  const int way = kWays[chance.below(kWays.size())];
  if ((way & O_APPEND) != 0) at = model_.size();
  if (at + size > kFileBytesMax) return;
  note("write", at, size);
  fill(chance, buffer_.bytes, size);
  const int fd = way == O_RDWR ? fd_ : open(path_.c_str(), way | O_CLOEXEC);
  must(fd >= 0, "open to write");
  const ssize_t done = (way & O_APPEND) != 0 ? ::write(fd, buffer_.bytes, size) : pwrite(fd, buffer_.bytes, size, static_cast<off_t>(at));
  must(done == static_cast<ssize_t>(size), "write");
  if (fd != fd_) must(close(fd) == 0, "close of a writer");
  put(at, buffer_.bytes, size);
}

void File::write_direct(Chance& chance, std::size_t at, std::size_t size) {
  at &= ~(kBlock - 1);
  size = std::max(size & ~(kBlock - 1), kBlock);
  note("write direct", at, size);
  fill(chance, buffer_.bytes, size);
  const int fd = open(path_.c_str(), (chance.one_in(2) ? O_RDWR : O_WRONLY) | O_DIRECT | O_CLOEXEC);
  must(fd >= 0, "open direct");
  must(pwrite(fd, buffer_.bytes, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size), "write direct");
  must(close(fd) == 0, "close direct");
  put(at, buffer_.bytes, size);
}

void File::write_mapped(Chance& chance, std::size_t at, std::size_t size) {
  if (model_.empty()) return;
  at %= model_.size();
  size = std::min(size, model_.size() - at);
  note("store", at, size);
  void* area = mmap(nullptr, model_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  must(area != MAP_FAILED, "mmap");
  fill(chance, buffer_.bytes, size);
  std::copy_n(buffer_.bytes, size, static_cast<char*>(area) + at);
  if (chance.one_in(2)) must(msync(area, model_.size(), MS_SYNC) == 0, "msync");
  must(munmap(area, model_.size()) == 0, "munmap");
  put(at, buffer_.bytes, size);
}

void File::read(std::size_t at, std::size_t size) {
  const std::size_t there = at < model_.size() ? std::min(size, model_.size() - at) : 0;
  note("read", at, size);
  must(pread(fd_, buffer_.bytes, size, static_cast<off_t>(at)) == static_cast<ssize_t>(there), "length of a read");
  compare(at, buffer_.bytes, there, "read");
}

void File::read_mapped(std::size_t at, std::size_t size) {
  if (model_.empty()) return;
  at %= model_.size();
  size = std::min(size, model_.size() - at);
  note("load", at, size);
  void* area = mmap(nullptr, model_.size(), PROT_READ, MAP_SHARED, fd_, 0);
  must(area != MAP_FAILED, "mmap to read");
  compare(at, static_cast<const char*>(area) + at, size, "mapping");
  must(munmap(area, model_.size()) == 0, "munmap");
}

void File::allocate(Chance& chance, std::size_t at, std::size_t size) {
  constexpr std::array kModes{0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                              FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
  const int mode = kModes[chance.below(kModes.size())];
  note(("fallocate " + std::to_string(mode)).c_str(), at, size);
  must(fallocate(fd_, mode, static_cast<off_t>(at), static_cast<off_t>(size)) == 0, "fallocate");
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) grow(at + size);
  if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0 || at >= model_.size()) return;
  std::fill_n(model_.begin() + static_cast<std::ptrdiff_t>(at), std::min(size, model_.size() - at), '\0');
}

/// Collapse and insert: FUSE refuses them on every kernel so far; where one passes them on they must be right.
void File::move_blocks(Chance& chance, std::size_t at, std::size_t size) {
  at &= ~(kBlock - 1);
  size = std::max(size & ~(kBlock - 1), kBlock);
  const bool insert = chance.one_in(2);
  if (at + size >= model_.size() || (insert && model_.size() + size > kFileBytesMax)) return;
  note(insert ? "insert" : "collapse", at, size);
  if (fallocate(fd_, insert ? FALLOC_FL_INSERT_RANGE : FALLOC_FL_COLLAPSE_RANGE, static_cast<off_t>(at), static_cast<off_t>(size)) != 0) {
    must(errno == EOPNOTSUPP, "insert or collapse");
    return;
  }
  const auto place = model_.begin() + static_cast<std::ptrdiff_t>(at);
  if (insert) {
    model_.insert(place, size, '\0');
  } else {
    model_.erase(place, place + static_cast<std::ptrdiff_t>(size));
  }
}

void File::copy_range(Chance& chance, File& from, std::size_t at, std::size_t size) {
  if (from.model_.empty()) return;
  const std::size_t start = chance.below(from.model_.size());
  size = std::min(size, from.model_.size() - start);
  if (&from == this && start < at + size && at < start + size) return;  // refused
  note("copy_file_range", at, size);
  for (std::size_t done = 0; done < size;) {
    off_t in = static_cast<off_t>(start + done);
    off_t out = static_cast<off_t>(at + done);
    const ssize_t copied = copy_file_range(from.fd_, &in, fd_, &out, size - done, 0);
    must(copied > 0, "copy_file_range");
    done += static_cast<std::size_t>(copied);
  }
  const std::vector<char> bytes(from.model_.begin() + static_cast<std::ptrdiff_t>(start),
                                from.model_.begin() + static_cast<std::ptrdiff_t>(start + size));
  put(at, bytes.data(), size);
}

/// The file is another path then, or has been for a moment; the open descriptor goes on.
void File::rename_or_link(Chance& chance) {
  const std::string next = path_ + "'";
  note("rename or link", 0, 0);
  if (chance.one_in(2)) {
    must(rename(path_.c_str(), next.c_str()) == 0 && rename(next.c_str(), path_.c_str()) == 0, "rename");
  } else {
    must(link(path_.c_str(), next.c_str()) == 0 && unlink(path_.c_str()) == 0, "link");
    must(rename(next.c_str(), path_.c_str()) == 0, "rename of a link");
  }
}

void File::synchronise(Chance& chance) {
  switch (chance.below(4)) {
    case 0: must(fsync(fd_) == 0, "fsync"); break;
    case 1: must(fdatasync(fd_) == 0, "fdatasync"); break;
    default: reopen(O_RDWR); break;
  }
}

void File::check_all() {
  struct stat st {};
  must(fstat(fd_, &st) == 0 && st.st_size == static_cast<off_t>(model_.size()), "size");
  for (std::size_t at = 0; at < model_.size(); at += kCallBytesMax) read(at, kCallBytesMax);
}

void File::step(Chance& chance, File& other) {
  const std::size_t size = chance.one_in(3) ? 1 + chance.below(kCallBytesMax - 1) : 1 + chance.below(2 * kBlock);
  const std::size_t at = chance.below(kFileBytesMax - kCallBytesMax);
  switch (chance.below(20)) {
    case 0: case 1: case 2: case 3: write(chance, at, size); break;
    case 4: case 5: write_direct(chance, at, size); break;
    case 6: case 7: write_mapped(chance, at, size); break;
    case 8: case 9: case 10: read(at, size); break;
    case 11: read_mapped(at, size); break;
    case 12:
      note("truncate", at, 0);
      must((chance.one_in(2) ? ftruncate(fd_, static_cast<off_t>(at)) : truncate(path_.c_str(), static_cast<off_t>(at))) == 0, "truncate");
      model_.resize(at);
      break;
    case 13: case 14: case 15: allocate(chance, at, size); break;
    case 16: move_blocks(chance, at, size); break;
    case 17: copy_range(chance, chance.one_in(2) ? other : *this, at, size); break;
    case 18: rename_or_link(chance); break;
    default: synchronise(chance); break;
  }
}

[[noreturn]] void fail_shared(const std::string& what) {
  std::fprintf(stderr, "FAILED: %s (errno %d)\n", what.c_str(), errno);
  std::_Exit(1);
}

/// Records appended by all processes to one file.
class Journal {
 public:
  Journal(const std::string& directory, int process) : process_(process) {
    const std::string path = directory + "/appended";
    writer_ = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    reader_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (writer_ < 0 || reader_ < 0) fail_shared("open of the appended file");
  }
  void append() {
    const auto record = record_of(process_, ++count_);
    if (::write(writer_, record.data(), kRecord) != static_cast<ssize_t>(kRecord)) fail_shared("append");
  }
  /// Whatever is below the end of the file is whole, while it grows.
  void look(Chance& chance) const {
    const off_t end = lseek(reader_, 0, SEEK_END) / static_cast<off_t>(kRecord);
    const off_t first = std::max<off_t>(0, end - 1 - static_cast<off_t>(chance.below(200)));
    std::array<char, kRecord> record{};
    for (off_t i = first; i < end; ++i) {
      if (pread(reader_, record.data(), kRecord, i * static_cast<off_t>(kRecord)) != static_cast<ssize_t>(kRecord)) fail_shared("read of a record");
      int process = 0;
      long number = 0;
      if (std::sscanf(record.data(), "%d %ld", &process, &number) != 2 || record != record_of(process, number)) {
        fail_shared("record " + std::to_string(i) + " is not whole");
      }
    }
  }
  static std::array<char, kRecord> record_of(int process, long number) {
    std::array<char, kRecord> record{};
    record.fill('.');
    const int size = std::snprintf(record.data(), kRecord, "%d %ld ", process, number);
    record[static_cast<std::size_t>(size)] = '.';
    record.back() = '\n';
    return record;
  }
  [[nodiscard]] long count() const { return count_; }

 private:
  int process_;
  int writer_{-1};
  int reader_{-1};
  long count_{0};
};

/// Slots of one file: slot i belongs to process i % processes.
class Slots {
 public:
  Slots(const Options& options, int process) : options_(options), process_(process), mine_(kSlotsEach, std::vector<char>(kSlot)) {
    const std::string path = options.directory + "/slots";
    const std::size_t size = kSlot * static_cast<std::size_t>(options.processes) * kSlotsEach;
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(size)) != 0) fail_shared("open of the slots");
    area_ = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    if (area_ == MAP_FAILED) fail_shared("mmap of the slots");
  }
  void step(Chance& chance) {
    const std::size_t index = chance.below(kSlotsEach);
    std::vector<char>& slot = mine_[index];
    const std::size_t at = kSlot * (index * static_cast<std::size_t>(options_.processes) + static_cast<std::size_t>(process_));
    switch (chance.below(4)) {
      case 0:
        fill(chance, slot.data(), kSlot);
        std::copy(slot.begin(), slot.end(), area_ + at);
        break;
      case 1:
        fill(chance, slot.data(), kSlot);
        if (pwrite(fd_, slot.data(), kSlot, static_cast<off_t>(at)) != static_cast<ssize_t>(kSlot)) fail_shared("write of a slot");
        break;
      case 2:
        if (!std::equal(slot.begin(), slot.end(), area_ + at)) fail_shared("mapped slot " + std::to_string(index));
        break;
      default: check(index, at); break;
    }
  }
  void end() {
    if (msync(area_, kSlot, MS_SYNC) != 0 || fsync(fd_) != 0) fail_shared("sync of the slots");
    for (std::size_t i = 0; i < kSlotsEach; ++i) {
      check(i, kSlot * (i * static_cast<std::size_t>(options_.processes) + static_cast<std::size_t>(process_)));
    }
  }

 private:
  void check(std::size_t index, std::size_t at) const {
    std::array<char, kSlot> bytes{};
    if (pread(fd_, bytes.data(), kSlot, static_cast<off_t>(at)) != static_cast<ssize_t>(kSlot)) fail_shared("read of a slot");
    if (!std::equal(bytes.begin(), bytes.end(), mine_[index].begin())) fail_shared("slot " + std::to_string(index));
  }
  const Options& options_;
  int process_;
  std::vector<std::vector<char>> mine_;
  int fd_{-1};
  char* area_{nullptr};
};

/// The records that this process has appended; it ends when one call of it differs from the model.
long run_process(const Options& options, int process) {
  Chance chance{std::mt19937_64{options.seed * 1000 + static_cast<std::uint64_t>(process)}};
  Chance shared{std::mt19937_64{options.seed * 1000 + 500 + static_cast<std::uint64_t>(process)}};
  std::vector<std::string> log;
  const std::string prefix = options.directory + "/p" + std::to_string(process);
  File one{prefix + "a", log};
  File two{prefix + "b", log};
  Journal journal{options.directory, process};
  Slots slots{options, process};
  for (long i = 0; i < options.operations / options.processes; ++i) {
    const bool first = chance.one_in(2);
    (first ? one : two).step(chance, first ? two : one);
    if (shared.one_in(10)) journal.append();
    if (shared.one_in(20)) journal.look(shared);
    if (shared.one_in(5)) slots.step(shared);
    if (i % kCheckAllEvery == 0) {
      one.check_all();
      two.check_all();
    }
  }
  one.check_all();
  two.check_all();
  slots.end();
  return journal.count();
}

/// All records of all processes, each once, those of one process in order.
void check_appended(const Options& options, const std::vector<long>& counts) {
  std::FILE* file = std::fopen((options.directory + "/appended").c_str(), "r");
  if (file == nullptr) fail_shared("open of the appended file");
  std::vector<long> seen(counts.size());
  std::array<char, kRecord> record{};
  while (std::fread(record.data(), 1, kRecord, file) == kRecord) {
    int process = 0;
    long number = 0;
    if (std::sscanf(record.data(), "%d %ld", &process, &number) != 2 || record != Journal::record_of(process, number) ||
        number != ++seen.at(static_cast<std::size_t>(process))) {
      fail_shared("a record is torn, lost or out of order");
    }
  }
  std::fclose(file);
  if (seen != counts) fail_shared("records are missing at the end of the appended file");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || argc > 6) {
    std::fprintf(stderr, "usage: safekit-fsx DIRECTORY SEED OPERATIONS PROCESSES [ONLY]\n");
    return 2;
  }
  const Options options{.directory = argv[1], .seed = std::strtoull(argv[2], nullptr, 10), .operations = std::strtol(argv[3], nullptr, 10),
                        .processes = std::atoi(argv[4]), .only = argc > 5 ? std::atoi(argv[5]) : -1};
  std::vector<int> pipes;
  std::vector<int> whose;
  for (int process = 0; process < options.processes; ++process) {
    if (options.only >= 0 && options.only != process) continue;
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) fail_shared("pipe");
    if (fork() == 0) {
      const long count = run_process(options, process);
      std::_Exit(::write(ends[1], &count, sizeof count) == sizeof count ? 0 : 1);
    }
    close(ends[1]);
    pipes.push_back(ends[0]);
    whose.push_back(process);
  }
  std::vector<long> counts(static_cast<std::size_t>(options.processes));
  bool good = true;
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    good &= read(pipes[i], &counts[static_cast<std::size_t>(whose[i])], sizeof(long)) == sizeof(long);
  }
  while (wait(nullptr) > 0) {}
  if (!good) {
    std::fprintf(stderr, "FAILED with seed %llu\n", static_cast<unsigned long long>(options.seed));
    return 1;
  }
  check_appended(options, counts);
  std::printf("%ld operations by %zu processes, seed %llu: all as the model says\n", options.operations, pipes.size(),
              static_cast<unsigned long long>(options.seed));
  return 0;
}
