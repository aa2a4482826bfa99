#include "datapath/fuse/inode_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

namespace safekit::fuse {
namespace {

constexpr const char* kNeedsRoot = "opens files by their handles: needs root";

/// A table over a fresh directory. Opening by handle needs root, so tests that go deeper than the root
/// directory skip.
class InodeTableTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "inode_table.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    ASSERT_TRUE(table_.add_root(top_));
  }
  void TearDown() override { std::filesystem::remove_all(top_); }

  void write(const std::string& name) const { std::ofstream{top_ + "/" + name} << name; }
  Inode& root() { return **table_.find(1); }
  struct stat stat_of(const std::string& name) const {
    struct stat found {};
    EXPECT_EQ(::lstat((top_ + "/" + name).c_str(), &found), 0) << name;
    return found;
  }
  Inode& adopt(Inode& parent, const std::string& folder, const std::string& name) {
    const auto inode = table_.adopt(parent, name, stat_of(folder + name), InodeTable::For::Kernel);
    EXPECT_TRUE(inode) << name;
    return **inode;
  }
  static bool is_root() { return ::geteuid() == 0; }

  std::string top_{};
  Ledger ledger_{{"/tree"}};
  InodeTable table_{2, ledger_};
};

TEST_F(InodeTableTest, RootsComeFirstAndOthersCountUp) {
  write("a");
  write("b");
  EXPECT_EQ(table_.root_id(0), InodeId{1});
  EXPECT_EQ(adopt(root(), "", "a").id, InodeId{InodeTable::kFirstId});
  EXPECT_EQ(adopt(root(), "", "b").id, InodeId{InodeTable::kFirstId + 1});
}

TEST_F(InodeTableTest, HardLinksAreOneInode) {
  write("a");
  std::filesystem::create_hard_link(top_ + "/a", top_ + "/b");
  Inode& inode = adopt(root(), "", "a");
  EXPECT_EQ(&adopt(root(), "", "b"), &inode);
  table_.remove_name(inode, InodeId{1}, "a");
  EXPECT_EQ(table_.path_of(inode.id)->path, "b");
}

TEST_F(InodeTableTest, AnIdIsNeverUsedAgain) {
  write("a");
  const InodeId id = adopt(root(), "", "a").id;
  (void)adopt(root(), "", "a");
  table_.forget(id, 1);
  EXPECT_TRUE(table_.find(id.value));
  table_.forget(id, 1);
  EXPECT_FALSE(table_.find(id.value));
  EXPECT_EQ(table_.retired(), std::vector{id});
  EXPECT_TRUE(table_.handle_of(id)) << "the sink may ask until the inode is dropped";
  EXPECT_FALSE(table_.path_of(id));
  table_.drop(id);
  EXPECT_FALSE(table_.handle_of(id));
  EXPECT_NE(adopt(root(), "", "a").id, id);
}

TEST_F(InodeTableTest, RecallsOnlyByAKnownName) {
  write("a");
  EXPECT_EQ(table_.recall(stat_of("a"), InodeId{1}, "a"), nullptr);
  Inode& inode = adopt(root(), "", "a");
  EXPECT_EQ(table_.recall(stat_of("a"), InodeId{1}, "a"), &inode);
  EXPECT_EQ(table_.recall(stat_of("a"), InodeId{1}, "b"), nullptr);
  EXPECT_EQ(inode.lookups, 2U);
}

TEST_F(InodeTableTest, APathFollowsARenamedDirectoryWhichStaysWhileItHasChildren) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  std::filesystem::create_directories(top_ + "/d");
  write("d/f");
  Inode& directory = adopt(root(), "", "d");
  Inode& file = adopt(directory, "d/", "f");
  table_.forget(directory.id, 1);
  EXPECT_EQ(table_.path_of(file.id)->path, "d/f");
  table_.remove_name(directory, InodeId{1}, "d");
  table_.add_name(directory, InodeId{1}, "e");
  EXPECT_EQ(table_.path_of(file.id)->path, "e/f");
  table_.forget(file.id, 1);
  EXPECT_EQ(table_.size(), 1U) << "the directory goes with its last child";
}

TEST_F(InodeTableTest, FindsANameThatNobodyLookedUp) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  std::filesystem::create_directories(top_ + "/d/e");
  write("d/e/f");
  write("other");
  std::filesystem::create_hard_link(top_ + "/other", top_ + "/d/e/second");
  const auto handle = handle_at(0, AT_FDCWD, top_ + "/d/e/f");
  ASSERT_TRUE(handle);
  const auto pinned = table_.pin(*handle);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(table_.path_of(*pinned)->path, "d/e/f");
  Inode& linked = adopt(root(), "", "other");
  ASSERT_EQ(::unlink((top_ + "/other").c_str()), 0);
  table_.remove_name(linked, InodeId{1}, "other");
  EXPECT_EQ(table_.path_of(linked.id)->path, "d/e/second");
}

TEST_F(InodeTableTest, AnInodeWhoseNameCannotBeSearchedIsNotOneWithoutAName) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  std::filesystem::create_directories(top_ + "/d/e");
  write("other");
  std::filesystem::create_hard_link(top_ + "/other", top_ + "/d/e/second");
  Inode& linked = adopt(root(), "", "other");
  const auto path = table_.path_fd(linked);
  ASSERT_TRUE(path);
  ASSERT_EQ(::unlink((top_ + "/other").c_str()), 0);
  table_.remove_name(linked, InodeId{1}, "other");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const Fd last{::dup((*path)->get())};
  rlimit few{.rlim_cur = static_cast<rlim_t>(last.get()) + 1, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto found = table_.path_of(linked.id);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::Io) << found.error().what;
}

TEST_F(InodeTableTest, KeepsFewDescriptors) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  for (const char* name : {"a", "b", "c", "d"}) {
    write(name);
    EXPECT_TRUE(table_.path_fd(adopt(root(), "", name)));
  }
  EXPECT_EQ(table_.cached_descriptors(), 2U);
}

TEST_F(InodeTableTest, AHeldInodeOutlivesItsLastName) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  write("a");
  Inode& inode = adopt(root(), "", "a");
  ASSERT_TRUE(table_.hold(inode));
  ASSERT_EQ(::unlink((top_ + "/a").c_str()), 0);
  table_.remove_name(inode, InodeId{1}, "a");
  inode.nameless = true;
  EXPECT_TRUE(table_.open_anew(inode, O_RDONLY));
  EXPECT_EQ(table_.path_of(inode.id).error().code, Code::NotFound);
}

TEST_F(InodeTableTest, WhatKeepsItsNameHoldsNoDescriptor) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  std::vector<std::weak_ptr<const Fd>> seen;
  for (const char* name : {"a", "b", "c", "d"}) {
    std::filesystem::create_directory(top_ + "/" + name);
    Inode& inode = adopt(root(), "", name);
    ASSERT_TRUE(table_.hold(inode));
    seen.push_back(*table_.path_fd(inode));
    table_.unhold(inode);
  }
  EXPECT_EQ(std::ranges::count_if(seen, [](const auto& fd) { return !fd.expired(); }), 2);
  EXPECT_EQ(table_.cached_descriptors(), 2U);
}

TEST_F(InodeTableTest, AllOpensShareADescriptorThatBecomesWritable) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  write("a");
  Inode& inode = adopt(root(), "", "a");
  const auto reader = table_.open_file(inode, false);
  const auto writer = table_.open_file(inode, true);
  ASSERT_TRUE(reader && writer);
  EXPECT_NE(*reader, *writer);
  EXPECT_EQ(*table_.file_fd(inode), *writer);
  EXPECT_EQ(*table_.open_file(inode, false), *writer);
  table_.forget(inode.id, 1);
  for (int i = 0; i < 3; ++i) table_.close_file(inode);
  EXPECT_EQ(table_.size(), 1U) << "forgotten before its release: it goes with the last close";
}

TEST_F(InodeTableTest, NamesAndHandlesThatAreGoneAreNotFound) {
  EXPECT_EQ(table_.pin(InodeId{1}, "none").error().code, Code::NotFound);
  EXPECT_EQ(table_.pin(InodeId{77}, "none").error().code, Code::NotFound);
  EXPECT_EQ(table_.path_of(InodeId{500}).error().code, Code::NotFound);
  EXPECT_EQ(table_.path_of(InodeId{1})->path, "");
}

/// The table of the process that follows.
struct Next {
  Next(const Ledger& before, const std::string& top, std::map<std::uint64_t, Fd> kept = {}) {
    auto taken = Ledger::take(Fd{::fcntl(before.descriptor(), F_DUPFD_CLOEXEC, 0)}, {"/tree"});
    EXPECT_TRUE(taken) << taken.error().what;
    ledger = std::move(*taken);
    table = std::make_unique<InodeTable>(2, *ledger);
    EXPECT_TRUE(table->add_root(top));
    table->keep_with({.keep = [](std::uint64_t, int) {}, .drop = [this](std::uint64_t id) { dropped.push_back(id); }});
    table->restore(*ledger, std::move(kept));
  }
  std::unique_ptr<Ledger> ledger{};
  std::unique_ptr<InodeTable> table{};
  std::vector<std::uint64_t> dropped{};
};

TEST_F(InodeTableTest, TheNextProcessGoesOnWithIdsCountsAndOpenFiles) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  write("a");
  write("b");
  Inode& a = adopt(root(), "", "a");
  adopt(root(), "", "a");
  Inode& b = adopt(root(), "", "b");
  ASSERT_TRUE(table_.open_file(a, true));
  Next next{ledger_, top_};
  const auto again = next.table->find(a.id.value);
  ASSERT_TRUE(again);
  EXPECT_EQ(next.table->find(a.device, a.number), *again);
  EXPECT_FALSE((*again)->nameless);
  const auto file = next.table->file_fd(**again);
  ASSERT_TRUE(file);
  EXPECT_EQ(::pwrite((*file)->get(), "x", 1, 0), 1);
  const auto other = next.table->find(b.id.value);
  ASSERT_TRUE(other);
  EXPECT_EQ(next.table->file_fd(**other).error().number, EBADF);
  const auto path = next.table->path_of(b.id);
  ASSERT_TRUE(path) << path.error().what;
  EXPECT_EQ(path->path, "b");
  next.table->close_file(**again);
  next.table->forget(a.id, 1);
  EXPECT_TRUE(next.table->find(a.id.value));
  next.table->forget(a.id, 1);
  EXPECT_FALSE(next.table->find(a.id.value));
  // New ones never get an id that the kernel may know.
  write("c");
  const auto fresh = next.table->adopt(**next.table->find(1), "c", stat_of("c"), InodeTable::For::Kernel);
  ASSERT_TRUE(fresh);
  EXPECT_GT((*fresh)->id.value, b.id.value);
}

TEST_F(InodeTableTest, AnOpenFileWithoutANameIsKeptForTheNextProcess) {
  if (!is_root()) GTEST_SKIP() << kNeedsRoot;
  std::map<std::uint64_t, Fd> kept;
  table_.keep_with({.keep = [&](std::uint64_t id, int fd) { kept[id].reset(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); },
                    .drop = [&](std::uint64_t id) { kept.erase(id); }});
  for (const char* name : {"open", "closed", "late"}) write(name);
  Inode& open = adopt(root(), "", "open");
  Inode& closed = adopt(root(), "", "closed");
  Inode& late = adopt(root(), "", "late");
  ASSERT_TRUE(table_.open_file(open, false));
  for (Inode* inode : {&open, &closed, &late}) ASSERT_TRUE(table_.hold(*inode));
  EXPECT_EQ(kept.size(), 1U);
  ASSERT_TRUE(table_.open_file(late, false));  // while its name is being removed
  EXPECT_EQ(kept.size(), 2U);
  for (const char* name : {"open", "closed", "late"}) std::filesystem::remove(top_ + "/" + name);
  table_.close_file(late);
  table_.forget(late.id, 1);
  EXPECT_EQ(kept.size(), 1U);
  kept[77].reset(::open("/", O_PATH | O_CLOEXEC));  // of one that the kernel has forgotten
  // With the process its descriptors are gone; only what is kept holds an inode.
  closed.path.reset();
  Next next{ledger_, top_, std::move(kept)};
  EXPECT_EQ(next.dropped, (std::vector<std::uint64_t>{77}));
  const auto again = next.table->find(open.id.value);
  ASSERT_TRUE(again);
  EXPECT_TRUE((*again)->nameless);
  const auto file = next.table->file_fd(**again);
  ASSERT_TRUE(file);
  char content[4]{};
  EXPECT_EQ(::pread((*file)->get(), content, 4, 0), 4);
  EXPECT_EQ(std::string_view(content, 4), "open");
  const auto gone = next.table->find(closed.id.value);
  ASSERT_TRUE(gone);
  EXPECT_TRUE((*gone)->nameless);
  EXPECT_EQ(next.table->find(closed.device, closed.number), nullptr);  // the number may be another file's by now
}

TEST_F(InodeTableTest, WhatHasNoHandleIsRestoredAsGone) {
  (void)ledger_.add({.id = InodeTable::kFirstId, .device = 5, .number = 1, .type = S_IFREG, .lookups = 1, .parting = true}, true);
  Next next{ledger_, top_};
  const auto found = next.table->find(InodeTable::kFirstId);
  ASSERT_TRUE(found);
  EXPECT_TRUE((*found)->nameless);
}

TEST_F(InodeTableTest, AnIdIsRestoredOnce) {
  for (const std::uint64_t number : {1, 2}) {
    (void)ledger_.add({.id = InodeTable::kFirstId, .device = 5, .number = number, .type = S_IFREG, .lookups = 1}, true);
  }
  Next next{ledger_, top_};
  EXPECT_EQ(next.table->size(), 2U) << "the root, and it";
  const bool first = next.table->find(5, 1) != nullptr;
  const bool second = next.table->find(5, 2) != nullptr;
  EXPECT_NE(first, second);
  EXPECT_EQ(next.ledger->inodes().size(), 1U);
}

}  // namespace
}  // namespace safekit::fuse
