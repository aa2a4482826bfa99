#include "datapath/fuse/tree.h"

#include <sys/resource.h>

#include <fmt/format.h>

#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/ledger.h"
#include "datapath/fuse/operations.h"
#include "datapath/fuse/outbox.h"
#include "datapath/fuse/session.h"
#include "datapath/linux/mounts.h"

namespace safekit::fuse {
namespace {

/// Each file that an application opens is open here too, so this process may open as many files as it is ever
/// allowed to, and the cache of descriptors takes a quarter of them at most.
Options within_limits(Options options) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return options;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);  // without it the usual limit holds
  (void)::getrlimit(RLIMIT_NOFILE, &files);
  options.descriptors_max = std::min<std::size_t>(options.descriptors_max, files.rlim_cur / 4);
  return options;
}

constexpr std::chrono::seconds kKeeperPause{1};

/// What is kept under which number; an inode's is its id, which is larger than any of these.
constexpr std::uint64_t kLedgerKey = 0;
constexpr std::uint64_t kRootKeys = 1ULL << 63;
enum class Part : std::uint64_t { Device, Mount, Directory };
std::uint64_t key_of(std::size_t root, Part part) { return kRootKeys | (root << 2) | static_cast<std::uint64_t>(part); }

Fd take(std::map<std::uint64_t, Fd>& kept, std::uint64_t key) {
  auto node = kept.extract(key);
  return node.empty() ? Fd{} : std::move(node.mapped());
}

}  // namespace

class MountedTrees::Impl {
 public:
  Impl(std::vector<std::string> roots, Options options, replica::Sink& sink, replica::TreeOrder& order,
       replica::Exclusions exclusions)
      : roots_(std::move(roots)),
        options_(within_limits(std::move(options))),
        order_(order),
        ledger_(std::make_unique<Ledger>(roots_)),
        inodes_(options_.descriptors_max, *ledger_),
        outbox_(options_, sink, order, inodes_) {
    inodes_.set_exclusions(std::move(exclusions));
  }

  ~Impl() { SK_ASSERT(!mounted()); }

  Status mount() {
    SK_ASSERT(inodes_.root_count() == 0);
    for (const std::string& root : roots_) {
      SK_TRY(const auto kind, mounts::mount_kind(root));
      if (kind == mounts::Kind::OurFuse || kind == mounts::Kind::OurReadOnlyBind) {
        return Error{Code::Conflict, fmt::format("'{}' is mounted by SafeKit already", root)};
      }
      SK_TRY_VOID(inodes_.add_root(root));
    }
    begin_keeping();
    outbox_.start();
    for (std::uint32_t i = 0; i < roots_.size(); ++i) {
      auto& tree = trees_.emplace_back(std::make_unique<Tree>(i, *this));
      if (auto status = tree->session.mount(roots_[i], inodes_.root_fd(i)); !status) {
        (void)unmount();  // the first error is the one to tell
        return status;
      }
      keep(key_of(i, Part::Device), tree->session.device());
    }
    if (!ledger_->agreement().resend) {
      end_keeping("this kernel does not send unanswered requests again (Linux 6.9 does)");
    }
    return {};
  }

  Status inherit(Inheritance inheritance) {
    SK_ASSERT(inodes_.root_count() == 0);
    keeper_ = std::move(inheritance.keeper);
    const auto opened = [&]() -> Status {
      if (inodes_.has_exclusions()) return Error{Code::Unsupported, "notReplicated is set"};
      SK_TRY(auto ledger, Ledger::take(take(inheritance.kept, kLedgerKey), roots_));
      if (!ledger->agreement().resend) return Error{Code::Unsupported, "the kernel does not send requests again"};
      options_.write_back = ledger->agreement().write_back;
      for (std::uint32_t i = 0; i < roots_.size(); ++i) {
        devices_.push_back(take(inheritance.kept, key_of(i, Part::Device)));
        mounts::Alone root{.mount = take(inheritance.kept, key_of(i, Part::Mount)),
                           .directory = take(inheritance.kept, key_of(i, Part::Directory))};
        if (!devices_.back() || !root.directory) return Error{Code::Conflict, "the mounts were not all kept"};
        SK_TRY_VOID(inodes_.add_root(std::move(root), roots_[i]));
      }
      keep_open_files();
      inodes_.restore(*ledger, std::move(inheritance.kept));
      ledger_ = std::move(ledger);
      return {};
    }();
    if (!opened) end_keeping(opened.error().what);
    return opened;
  }

  Status resume() {
    for (std::uint32_t i = 0; i < roots_.size(); ++i) {
      auto& tree = trees_.emplace_back(std::make_unique<Tree>(i, *this));
      SK_TRY_VOID(tree->session.inherit(roots_[i], std::move(devices_[i])));
    }
    outbox_.start();
    for (const auto& tree : trees_) tree->session.begin_serving();
    return {};
  }

  bool hand_over(std::chrono::milliseconds limit) {
    for (const auto& tree : trees_) {
      if (!tree->session.pause(limit)) return false;
    }
    outbox_.stop();
    return true;
  }

  Status unmount() {
    {
      const std::lock_guard lock{keeper_mutex_};
      leaving_ = true;
    }
    Status first{};
    for (const auto& tree : trees_) {
      auto status = tree->session.unmount();
      if (first && !status) first = std::move(status);
    }
    if (!mounted()) {
      outbox_.stop();
      end_keeping("nothing is mounted");
    }
    return first;
  }

  [[nodiscard]] bool mounted() const {
    return std::any_of(trees_.begin(), trees_.end(),
                       [](const auto& tree) { return tree->session.mounted(); });
  }

  [[nodiscard]] InodeTable& inodes() { return inodes_; }
  [[nodiscard]] Ledger& ledger() const { return *ledger_; }
  [[nodiscard]] std::string unkept() {
    const std::lock_guard lock{keeper_mutex_};
    const auto now = std::chrono::steady_clock::now();
    if (keeper_ && !leaving_ && keeper_->is_gone() && now - keeper_started_ >= kKeeperPause) {
      keeper_started_ = now;
      start_keeper_locked();
    }
    return keeper_ ? ledger_->broken() : unkept_;
  }

 private:
  struct Tree {
    Tree(std::uint32_t root, Impl& all)
        : operations(root, all.inodes_, all.outbox_, all.order_),
          session(root, operations, all.options_, *all.ledger_) {}
    Operations operations;
    Session session;
  };

  void begin_keeping() {
    if (options_.keeper_program.empty()) return;
    if (inodes_.has_exclusions()) {
      // Which inodes are not replicated would have to outlive the process as well.
      unkept_ = "notReplicated is set";
      return;
    }
    keep_open_files();
    const std::lock_guard lock{keeper_mutex_};
    start_keeper_locked();
  }

  /// With all that is there to be kept.
  void start_keeper_locked() {
    auto keeper = Keeper::start(options_.keeper_program, options_.keeper_directory);
    if (!keeper) {
      ledger_->set_kept(false);
      unkept_ = keeper.error().what;
      return;
    }
    keeper_ = std::move(*keeper);
    ledger_->set_kept(true);
    keep_locked(kLedgerKey, ledger_->descriptor());
    for (std::uint32_t i = 0; i < roots_.size(); ++i) {
      const mounts::Alone& root = inodes_.root(i);
      if (root.mount) keep_locked(key_of(i, Part::Mount), root.mount.get());
      keep_locked(key_of(i, Part::Directory), root.directory.get());
    }
    for (std::size_t i = 0; i < trees_.size(); ++i) keep_locked(key_of(i, Part::Device), trees_[i]->session.device());
    for (const auto& [id, path] : inodes_.kept()) keep_locked(id, path->get());
  }

  void keep_open_files() {
    inodes_.keep_with({.keep = [this](std::uint64_t id, int descriptor) { keep(id, descriptor); },
                       .drop = [this](std::uint64_t id) {
                         const std::lock_guard lock{keeper_mutex_};
                         if (keeper_ && !keeper_->drop(id)) ledger_->set_kept(false);
                       }});
  }

  void keep(std::uint64_t key, int descriptor) {
    const std::lock_guard lock{keeper_mutex_};
    keep_locked(key, descriptor);
  }
  void keep_locked(std::uint64_t key, int descriptor) {
    if (keeper_ && !keeper_->keep(key, descriptor)) ledger_->set_kept(false);
  }

  void end_keeping(std::string why) {
    const std::lock_guard lock{keeper_mutex_};
    if (keeper_) keeper_->release();
    keeper_.reset();
    unkept_ = std::move(why);
  }

  const std::vector<std::string> roots_;
  Options options_;
  replica::TreeOrder& order_;
  std::unique_ptr<Ledger> ledger_;
  mutable std::mutex keeper_mutex_{};
  std::unique_ptr<Keeper> keeper_{};
  std::chrono::steady_clock::time_point keeper_started_{};
  bool leaving_{false};  ///< the devices are being closed: no new keeper is given them
  std::string unkept_{"no keeper is asked for"};
  std::vector<Fd> devices_{};  ///< inherited
  InodeTable inodes_;
  Outbox outbox_;
  std::vector<std::unique_ptr<Tree>> trees_{};
};

MountedTrees::MountedTrees(std::vector<std::string> roots, Options options, replica::Sink& sink,
                           replica::TreeOrder& order, replica::Exclusions exclusions)
    : impl_(std::make_unique<Impl>(std::move(roots), std::move(options), sink, order, std::move(exclusions))) {}
MountedTrees::~MountedTrees() = default;

Status MountedTrees::mount() {
  return impl_->mount();
}
Status MountedTrees::unmount() {
  return impl_->unmount();
}
bool MountedTrees::mounted() const {
  return impl_->mounted();
}
Status MountedTrees::inherit(Inheritance inheritance) {
  return impl_->inherit(std::move(inheritance));
}
Status MountedTrees::resume() {
  return impl_->resume();
}
bool MountedTrees::was_alone() const {
  return impl_->ledger().was_alone();
}
void MountedTrees::note_alone(bool alone) {
  impl_->ledger().note_alone(alone);
}
std::string MountedTrees::unkept() {
  return impl_->unkept();
}
bool MountedTrees::hand_over(std::chrono::milliseconds limit) {
  return impl_->hand_over(limit);
}
replica::Inodes& MountedTrees::inodes() {
  return impl_->inodes();
}

}  // namespace safekit::fuse
