#include "datapath/fuse/tree.h"

#include <sys/resource.h>

#include <fmt/format.h>

#include "datapath/fuse/inode_table.h"
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

}  // namespace

class MountedTrees::Impl {
 public:
  Impl(std::vector<std::string> roots, Options options, replica::Sink& sink, replica::TreeOrder& order,
       replica::Exclusions exclusions)
      : roots_(std::move(roots)),
        options_(within_limits(std::move(options))),
        order_(order),
        inodes_(options_.descriptors_max),
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
    outbox_.start();
    for (std::uint32_t i = 0; i < roots_.size(); ++i) {
      auto& tree = trees_.emplace_back(std::make_unique<Tree>(i, *this));
      if (auto status = tree->session.mount(roots_[i], inodes_.root_fd(i)); !status) {
        (void)unmount();  // the first error is the one to tell
        return status;
      }
    }
    return {};
  }

  Status unmount() {
    Status first{};
    for (const auto& tree : trees_) {
      auto status = tree->session.unmount();
      if (first && !status) first = std::move(status);
    }
    if (!mounted()) outbox_.stop();
    return first;
  }

  [[nodiscard]] bool mounted() const {
    return std::any_of(trees_.begin(), trees_.end(),
                       [](const auto& tree) { return tree->session.mounted(); });
  }

  [[nodiscard]] InodeTable& inodes() { return inodes_; }

 private:
  struct Tree {
    Tree(std::uint32_t root, Impl& all)
        : operations(root, all.inodes_, all.outbox_, all.order_), session(root, operations, all.options_) {}
    Operations operations;
    Session session;
  };

  const std::vector<std::string> roots_;
  const Options options_;
  replica::TreeOrder& order_;
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
replica::Inodes& MountedTrees::inodes() {
  return impl_->inodes();
}

}  // namespace safekit::fuse
