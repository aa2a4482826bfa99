// Serves FUSE mounts without a peer, for tests and measurements that need root:
//   fuse_mount_check DIRECTORY [--copy DIRECTORY] [--durability barrier|fsync|write] [--write-back]
// Mounts over the directory, prints "mounted", serves until its standard input ends, unmounts. With --copy
// every operation of the stream is applied to a second directory, which must start equal: what differs at the
// end is missing in the stream. Exit 1 when an operation could not be applied. The applier is a model, not
// the product's (replica/apply).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "datapath/fuse/file_handle.h"
#include "datapath/fuse/tree.h"
#include "datapath/linux/fd.h"
#include "datapath/linux/mounts.h"

using namespace safekit;

namespace {

/// Applies operations to a directory, one after the other. A service.
class Applier {
 public:
  explicit Applier(const std::string& copy)
      : root_(::open(copy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    const auto handle = fuse::handle_at(0, root_.get(), "");
    if (!handle) {
      std::fprintf(stderr, "the copy must be on a file system with file handles: %s\n",
                   std::strerror(handle.error().number));
      std::exit(1);
    }
    known_[1] = *handle;
  }

  fuse::Call<void> operator()(const wire::Operation& operation, BytesView data) {
    data_ = data;
    return std::visit([this](const auto& one) { return apply(one); }, operation);
  }

 private:
  fuse::Call<Fd> open(InodeId id, int flags) {
    const auto found = known_.find(id.value);
    if (found == known_.end()) return fuse::Errno{ENOKEY};
    return fuse::open_handle(root_.get(), found->second, flags);
  }
  fuse::Call<void> learn(InodeId id, int directory, const std::string& name) {
    SK_TRY(known_[id.value], fuse::handle_at(0, directory, name));
    return {};
  }
  fuse::Call<void> apply(const wire::Bind& bind) {
    return bind.at.path.empty() ? fuse::Call<void>{} : learn(bind.id, root_.get(), bind.at.path);
  }
  fuse::Call<void> apply(const wire::Create& create) {
    SK_TRY(Fd parent, open(create.parent, O_PATH));
    const char* name = create.name.c_str();
    const auto& to = create.attributes;
    if (S_ISDIR(to.mode))
      SK_TRY_VOID(fuse::checked(::mkdirat(parent.get(), name, 0700)));
    else if (S_ISLNK(to.mode))
      SK_TRY_VOID(fuse::checked(::symlinkat(create.link_target.c_str(), parent.get(), name)));
    else
      SK_TRY_VOID(fuse::checked(::mknodat(parent.get(), name, (to.mode & S_IFMT) | 0600, to.device)));
    SK_TRY_VOID(learn(create.id, parent.get(), create.name));
    const std::uint32_t mask = wire::SetAttributes::kOwner | wire::SetAttributes::kMtime |
                               (S_ISLNK(to.mode) ? 0U : std::uint32_t{wire::SetAttributes::kMode});
    return apply(wire::SetAttributes{.id = create.id, .mask = mask, .attributes = to});
  }
  fuse::Call<void> apply(const wire::Link& link) {
    SK_TRY(Fd parent, open(link.parent, O_PATH));
    SK_TRY(Fd file, open(link.id, O_PATH | O_NOFOLLOW));
    return fuse::checked(::linkat(file.get(), "", parent.get(), link.name.c_str(), AT_EMPTY_PATH));
  }
  fuse::Call<void> apply(const wire::Remove& remove) {
    SK_TRY(Fd parent, open(remove.parent, O_PATH));
    return fuse::checked(::unlinkat(parent.get(), remove.name.c_str(), remove.directory ? AT_REMOVEDIR : 0));
  }
  fuse::Call<void> apply(const wire::Rename& rename) {
    SK_TRY(Fd from, open(rename.parent, O_PATH));
    SK_TRY(Fd to, open(rename.new_parent, O_PATH));
    SK_TRY_VOID(fuse::checked(
        ::renameat2(from.get(), rename.name.c_str(), to.get(), rename.new_name.c_str(), rename.flags)));
    SK_TRY(const auto moved, fuse::handle_at(0, to.get(), rename.new_name));
    return moved == known_[rename.id.value] ? fuse::Call<void>{} : fuse::Errno{EBADMSG};
  }
  fuse::Call<void> apply(const wire::Write& write) {
    SK_TRY(Fd file, open(write.id, O_WRONLY));
    SK_ASSERT(data_.size() == write.size);
    return fuse::checked(::pwrite(file.get(), data_.data(), data_.size(), static_cast<off_t>(write.offset)) ==
                                 static_cast<ssize_t>(data_.size())
                             ? 0
                             : -1);
  }
  fuse::Call<void> apply(const wire::Fallocate& fallocate) {
    SK_TRY(Fd file, open(fallocate.id, O_WRONLY));
    return fuse::checked(::fallocate(file.get(), static_cast<int>(fallocate.mode),
                                     static_cast<off_t>(fallocate.offset),
                                     static_cast<off_t>(fallocate.length)));
  }
  fuse::Call<void> apply(const wire::SetAttributes& set) {
    SK_TRY(Fd file, open(set.id, O_PATH | O_NOFOLLOW));
    const std::string path = fuse::magic_path(file.get());
    const auto& to = set.attributes;
    if ((set.mask & wire::SetAttributes::kSize) != 0) {
      SK_TRY_VOID(fuse::checked(::truncate(path.c_str(), static_cast<off_t>(to.size))));
    }
    if ((set.mask & wire::SetAttributes::kOwner) != 0) {
      SK_TRY_VOID(fuse::checked(::fchownat(file.get(), "", to.uid, to.gid, AT_EMPTY_PATH)));
    }
    if ((set.mask & wire::SetAttributes::kMode) != 0) {
      SK_TRY_VOID(fuse::checked(::chmod(path.c_str(), to.mode & 07777)));
    }
    if ((set.mask & wire::SetAttributes::kMtime) != 0) {
      const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                                 {.tv_sec = to.mtime.seconds, .tv_nsec = to.mtime.nanoseconds}};
      SK_TRY_VOID(fuse::checked(::utimensat(file.get(), "", times, AT_EMPTY_PATH)));
    }
    return {};
  }
  fuse::Call<void> apply(const wire::SetXattr& set) {
    SK_TRY(Fd file, open(set.id, O_PATH | O_NOFOLLOW));
    const std::string path = fuse::magic_path(file.get());
    return fuse::checked(
        set.remove ? ::removexattr(path.c_str(), set.name.c_str())
                   : ::setxattr(path.c_str(), set.name.c_str(), set.value.data(), set.value.size(), 0));
  }
  fuse::Call<void> apply(const wire::Sync& sync) {
    SK_TRY(Fd file, open(sync.id, O_RDONLY));
    return {};
  }
  fuse::Call<void> apply(const wire::Forget& forget) {
    known_.erase(forget.id.value);
    return {};
  }

  Fd root_;
  std::unordered_map<std::uint64_t, replica::FileHandle> known_{};
  BytesView data_{};
};

/// A peer in the same process: what is appended is applied later, in order, by a thread. A service.
class CopyingSink : public replica::Sink {
 public:
  CopyingSink(const std::string& copy, replica::TreeOrder& order)
      : order_(order), applier_(copy), thread_([this] { run(); }) {}
  ~CopyingSink() override { finish(); }

  void use(replica::Inodes& inodes) { inodes_ = &inodes; }

  Result<std::uint32_t> begin_change(std::span<const replica::Change>) override { return 0U; }
  void end_change(std::uint32_t) override {}
  void doubt(const replica::Change&) override {
    const std::lock_guard lock{mutex_};
    ++failed_;
  }
  SequenceNumber append(const wire::Operation& operation, BytesView data) override {
    std::unique_lock lock{mutex_};
    room_.wait(lock, [this] { return queue_.size() < kQueueMax; });
    lock.unlock();
    const auto shared =
        names_are_held(operation) ? std::shared_lock<std::shared_mutex>{} : order_.names_shared();
    lock.lock();
    for (const InodeId id : ids_of(operation)) {
      if (known_.contains(id.value)) continue;
      known_.insert(id.value);
      const auto path = inodes_->path_of(id);
      if (path)
        queue_.push_back({wire::Bind{.id = id, .at = *path}, {}});
      else
        std::fprintf(stderr, "no path: %s\n", path.error().what.c_str());
    }
    if (const auto* create = std::get_if<wire::Create>(&operation)) known_.insert(create->id.value);
    if (const auto* forget = std::get_if<wire::Forget>(&operation)) known_.erase(forget->id.value);
    queue_.push_back({operation, Bytes{data.begin(), data.end()}});
    work_.notify_one();
    return SequenceNumber{++appended_};
  }

  Status wait(SequenceNumber sequence, replica::Acknowledged) override {
    std::unique_lock lock{mutex_};
    room_.wait(lock, [&] { return applied_ >= sequence.value; });
    return {};
  }

  /// Applies the rest. Gives the number of operations that could not be applied.
  std::size_t finish() {
    {
      const std::lock_guard lock{mutex_};
      ended_ = true;
    }
    work_.notify_one();
    if (thread_.joinable()) thread_.join();
    return failed_;
  }
  [[nodiscard]] std::uint64_t appended() const { return appended_; }

 private:
  struct Item {
    wire::Operation operation{};
    Bytes data{};
  };
  static constexpr std::size_t kQueueMax = 1000;

  static bool names_are_held(const wire::Operation& operation) {
    return std::holds_alternative<wire::Create>(operation) || std::holds_alternative<wire::Link>(operation) ||
           std::holds_alternative<wire::Remove>(operation) || std::holds_alternative<wire::Rename>(operation);
  }
  struct Ids {
    std::vector<InodeId> operator()(const wire::Create& o) const { return {o.parent}; }
    std::vector<InodeId> operator()(const wire::Link& o) const { return {o.id, o.parent}; }
    std::vector<InodeId> operator()(const wire::Remove& o) const { return {o.parent}; }
    std::vector<InodeId> operator()(const wire::Rename& o) const { return {o.id, o.parent, o.new_parent}; }
    std::vector<InodeId> operator()(const wire::Forget&) const { return {}; }
    template <class T>
    std::vector<InodeId> operator()(const T& o) const {
      return {o.id};
    }
  };
  static std::vector<InodeId> ids_of(const wire::Operation& operation) {
    return std::visit(Ids{}, operation);
  }

  void run() {
    std::unique_lock lock{mutex_};
    for (;;) {
      work_.wait(lock, [this] { return ended_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const Item item = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      const auto done = applier_(item.operation, item.data);
      if (!done) {
        ++failed_;
        std::fprintf(stderr, "operation %zu: %s\n", item.operation.index(),
                     std::strerror(done.error().number));
      }
      lock.lock();
      if (!std::holds_alternative<wire::Bind>(item.operation)) ++applied_;
      room_.notify_all();
    }
  }

  replica::TreeOrder& order_;
  replica::Inodes* inodes_{nullptr};
  std::mutex mutex_{};
  std::condition_variable work_{};
  std::condition_variable room_{};
  std::deque<Item> queue_{};
  std::unordered_set<std::uint64_t> known_{1};
  std::uint64_t appended_{0};
  std::uint64_t applied_{0};
  std::size_t failed_{0};
  bool ended_{false};
  Applier applier_;
  std::thread thread_;
};

/// Nothing is replicated: what is left is the cost of the mount.
class NullSink : public replica::Sink {
 public:
  Result<std::uint32_t> begin_change(std::span<const replica::Change>) override { return 0U; }
  void end_change(std::uint32_t) override {}
  void doubt(const replica::Change&) override {}
  SequenceNumber append(const wire::Operation&, BytesView) override { return {}; }
  Status wait(SequenceNumber, replica::Acknowledged) override { return {}; }
};

struct Arguments {
  std::string directory{};
  std::optional<std::string> copy{};
  fuse::Options options{};
};

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word{argv[i]};
    if (word == "--write-back")
      arguments.options.write_back = true;
    else if (word == "--copy" && i + 1 < argc)
      arguments.copy = argv[++i];
    else if (word == "--durability" && i + 1 < argc) {
      const std::string_view value{argv[++i]};
      arguments.options.durability = value == "write"   ? fuse::Durability::Write
                                     : value == "fsync" ? fuse::Durability::Fsync
                                                        : fuse::Durability::Barrier;
    } else if (arguments.directory.empty() && word.substr(0, 2) != "--")
      arguments.directory = word;
    else
      return std::nullopt;
  }
  if (arguments.directory.empty()) return std::nullopt;
  return arguments;
}

/// Serves until standard input ends; a busy mount is tried again with each further line.
int serve(fuse::MountedTrees& trees) {
  if (const auto mounted = trees.mount(); !mounted) {
    std::fprintf(stderr, "%s\n", mounted.error().what.c_str());
    return 1;
  }
  std::puts("mounted");
  std::fflush(stdout);
  for (std::array<char, 64> line{};;) {
    const bool more = std::fgets(line.data(), static_cast<int>(line.size()), stdin) != nullptr;
    const auto unmounted = trees.unmount();
    if (unmounted) return 0;
    std::fprintf(stderr, "%s\n", unmounted.error().what.c_str());
    if (!more) ::_exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
  if (!arguments) {
    std::fprintf(stderr,
                 "usage: %s DIRECTORY [--copy DIRECTORY] [--durability barrier|fsync|write] [--write-back]\n",
                 argv[0]);
    return 2;
  }
  if (const auto cleaned = mounts::clean_stale(arguments->directory); !cleaned) {
    std::fprintf(stderr, "%s\n", cleaned.error().what.c_str());
    return 1;
  }
  replica::TreeOrder order;
  if (!arguments->copy) {
    NullSink sink;
    fuse::MountedTrees trees{{arguments->directory}, arguments->options, sink, order};
    return serve(trees);
  }
  CopyingSink sink{*arguments->copy, order};
  fuse::MountedTrees trees{{arguments->directory}, arguments->options, sink, order};
  sink.use(trees.inodes());
  if (const int code = serve(trees); code != 0) return code;
  const std::size_t failed = sink.finish();
  std::printf("operations: %llu, not applicable: %zu\n", static_cast<unsigned long long>(sink.appended()),
              failed);
  return failed == 0 ? 0 : 1;
}
