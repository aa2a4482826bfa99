#include "datapath/replica/applier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace safekit::replica {
namespace {

/// A tree in which another file system can be mounted, in its directory `d`. Mounts end with the namespace of the test.
class ApplierTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts a file system: needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    std::string pattern = (std::filesystem::temp_directory_path() / "nested.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    std::filesystem::create_directories(top_ + "/tree/d/sub");
    std::ofstream{top_ + "/tree/d/below"} << "below";
  }
  void TearDown() override {
    if (top_.empty()) return;
    (void)::umount2((top_ + "/tree/d").c_str(), MNT_DETACH);  // not mounted by every test
    std::filesystem::remove_all(top_);
  }

  void mount_inside() const {
    ASSERT_EQ(::mount("nested", (top_ + "/tree/d").c_str(), "tmpfs", 0, nullptr), 0);
    std::ofstream{top_ + "/tree/d/precious"} << "precious";
    std::filesystem::create_directories(top_ + "/tree/d/sub");
  }
  [[nodiscard]] bool is_untouched() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::recursive_directory_iterator{top_ + "/tree/d"}) ++count;
    return count == 2 && std::filesystem::file_size(top_ + "/tree/d/precious") == 8;
  }
  static wire::Operation bind(std::uint64_t id, const std::string& path) {
    return wire::Bind{.id = InodeId{id}, .at = {.root = 0, .path = path}, .identity = id};
  }
  static wire::Operation create(std::uint64_t parent, const std::string& name) {
    return wire::Create{.parent = InodeId{parent},
                        .name = name,
                        .id = InodeId{99},
                        .attributes = {.mode = S_IFREG | 0600},
                        .identity = 99};
  }
  static wire::Listing empty_listing(std::uint64_t directory) {
    return {.directory = InodeId{directory}, .complete = true, .last = true};
  }

  std::string top_{};
};

void expect_applied(const Status& done) { EXPECT_TRUE(done) << done.error().what; }

TEST_F(ApplierTest, OperationsDoNotReachWhatWasMountedBefore) {
  mount_inside();
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  expect_applied(applier.apply(bind(10, "d"), {}));
  expect_applied(applier.apply(create(10, "new"), {}));
  expect_applied(applier.apply(bind(11, "d/sub"), {}));
  expect_applied(applier.apply(create(11, "newer"), {}));
  EXPECT_EQ(applier.apply(bind(12, "d/precious"), {}).error().code, Code::NotFound);
  EXPECT_TRUE(is_untouched());
}

TEST_F(ApplierTest, OperationsDoNotReachWhatIsMountedLater) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  mount_inside();
  expect_applied(applier.apply(bind(10, "d"), {}));
  expect_applied(applier.apply(create(10, "new"), {}));
  EXPECT_TRUE(is_untouched());
}

TEST_F(ApplierTest, ASynchronisationEmptiesNoDirectoryOfTheNestedFileSystem) {
  mount_inside();
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  applier.begin_resync(wire::ResyncMode::Full);
  expect_applied(applier.apply(bind(10, "d"), {}));
  EXPECT_TRUE(applier.apply(empty_listing(10)));
  EXPECT_TRUE(is_untouched());
  const auto fates = applier.apply(empty_listing(1));
  ASSERT_FALSE(fates) << "a directory that is a mount point cannot be removed";
  EXPECT_NE(fates.error().what.find("mounted there"), std::string::npos) << fates.error().what;
  EXPECT_TRUE(is_untouched());
  ASSERT_EQ(::umount((top_ + "/tree/d").c_str()), 0);
  EXPECT_TRUE(applier.apply(empty_listing(1)));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/d"));
}

struct stat status_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::lstat(path.c_str(), &st), 0) << path;
  return st;
}

std::string text_of(const std::string& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

TEST_F(ApplierTest, AProvisionalTimeIsSetWhenThePrimaryCannotTellItAnyMore) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  const auto times = [](std::int64_t seconds, std::uint32_t mask) {
    return wire::SetAttributes{.id = InodeId{99}, .mask = mask, .attributes = {.mtime = {seconds, 5}}};
  };
  constexpr std::uint32_t kProvisional = wire::SetAttributes::kMtime | wire::SetAttributes::kProvisional;
  const std::string path = top_ + "/tree/new";
  expect_applied(applier.apply(create(1, "new"), {}));
  expect_applied(applier.apply(times(1000, wire::SetAttributes::kMtime), {}));
  expect_applied(applier.apply(times(2000, kProvisional), {}));
  EXPECT_EQ(status_of(path).st_mtim.tv_sec, 1000) << "a sync after each write is not to write the inode too";
  applier.settle_times();
  EXPECT_EQ(status_of(path).st_mtim.tv_sec, 2000);
  expect_applied(applier.apply(times(3000, kProvisional), {}));
  expect_applied(applier.apply(times(4000, wire::SetAttributes::kMtime), {}));
  applier.settle_times();
  EXPECT_EQ(status_of(path).st_mtim.tv_sec, 4000) << "it came";
  expect_applied(applier.apply(times(4500, kProvisional), {}));
  expect_applied(applier.apply(wire::SetAttributes{.id = InodeId{99}, .mask = wire::SetAttributes::kMode, .attributes = {.mode = S_IFREG | 0600}}, {}));
  applier.settle_times();
  EXPECT_EQ(status_of(path).st_mtim.tv_sec, 4500) << "a chmod takes no acknowledged time back";
  expect_applied(applier.apply(times(5000, kProvisional), {}));
  expect_applied(applier.apply(wire::Write{.id = InodeId{99}, .offset = 0, .size = 1}, as_bytes("x")));
  applier.settle_times();
  EXPECT_GT(status_of(path).st_mtim.tv_sec, 5000) << "a later change must not look older than it is";
}

TEST_F(ApplierTest, ASyncIsWholeAfterMoreThanContentWasChanged) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  applier.unsynced().all_synced(applier.unsynced().begin_sync_all());
  const auto is_whole = [&](std::uint64_t id) { return applier.take_unsynced(InodeId{id}); };
  expect_applied(applier.apply(create(1, "new"), {}));
  EXPECT_TRUE(is_whole(99));
  EXPECT_TRUE(is_whole(1)) << "the directory that has the name";
  expect_applied(applier.apply(wire::Write{.id = InodeId{99}, .offset = 0, .size = 1}, as_bytes("x")));
  using Mask = wire::SetAttributes::Mask;
  for (const auto& [mask, whole] : {std::pair{Mask::kMtime, false}, {Mask::kSize, false}, {Mask::kMode, true}, {Mask::kOwner, true}}) {
    expect_applied(applier.apply(wire::SetAttributes{.id = InodeId{99}, .mask = mask, .attributes = {.mode = S_IFREG | 0600}}, {}));
    EXPECT_EQ(is_whole(99), whole) << mask;
  }
  expect_applied(applier.apply(wire::SetXattr{.id = InodeId{99}, .name = "user.a", .value = "b"}, {}));
  EXPECT_TRUE(is_whole(99));
  expect_applied(applier.apply(wire::Rename{.id = InodeId{99}, .parent = InodeId{1}, .name = "new", .new_parent = InodeId{1}, .new_name = "n"}, {}));
  EXPECT_TRUE(is_whole(99));
  EXPECT_TRUE(is_whole(1));
  expect_applied(applier.apply(wire::Remove{.parent = InodeId{1}, .name = "n"}, {}));
  EXPECT_TRUE(is_whole(1));
  EXPECT_FALSE(is_whole(99));
}

TEST_F(ApplierTest, AStateWithContentIsAllOfASmallFile) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  applier.begin_resync(wire::ResyncMode::Full);
  wire::Listing listing = empty_listing(1);
  listing.entries = {{.name = "new", .id = InodeId{20}, .identity = 20, .mode = S_IFREG | 04755}};
  const auto fates = applier.apply(std::move(listing));
  ASSERT_TRUE(fates && *fates);
  ASSERT_EQ(**fates, std::vector{wire::EntryFate::Fresh});
  const std::string path = top_ + "/tree/new";
  wire::InodeState state{.id = InodeId{20},
                         .attributes = {.mode = S_IFREG | 04755, .uid = 7, .gid = 8, .size = 5, .mtime = {1000, 42}},
                         .with_content = true,
                         .xattrs = {{"user.a", "b"}}};
  expect_applied(applier.apply(state, as_bytes("hello")));
  EXPECT_EQ(text_of(path), "hello");
  const struct stat st = status_of(path);
  EXPECT_EQ(st.st_mode, S_IFREG | 04755U) << "a write and a change of owner take the set-id bit away";
  EXPECT_EQ(st.st_uid, 7U);
  EXPECT_EQ(st.st_gid, 8U);
  EXPECT_EQ(st.st_mtim.tv_sec, 1000);
  EXPECT_EQ(st.st_mtim.tv_nsec, 42);
  char value = 0;
  EXPECT_EQ(::getxattr(path.c_str(), "user.a", &value, 1), 1);
  EXPECT_EQ(value, 'b');

  // What live operations have made of it meanwhile is in the state already.
  expect_applied(applier.apply(wire::Write{.id = InodeId{20}, .offset = 3, .size = 6}, as_bytes("longer")));
  state.attributes.size = 2;
  state.xattrs.clear();
  expect_applied(applier.apply(state, as_bytes("by")));
  EXPECT_EQ(text_of(path), "by");
  EXPECT_EQ(status_of(path).st_mode, S_IFREG | 04755U);
  EXPECT_EQ(status_of(path).st_mtim.tv_sec, 1000);
  EXPECT_LT(::getxattr(path.c_str(), "user.a", &value, 1), 0);
  EXPECT_TRUE(applier.leftovers().empty());
}

TEST_F(ApplierTest, ContentIsNotPutIntoWhatIsNoRegularFile) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  expect_applied(applier.apply(bind(10, "d"), {}));
  const wire::InodeState state{.id = InodeId{10}, .attributes = {.mode = S_IFREG | 0600, .size = 1}, .with_content = true};
  EXPECT_EQ(applier.apply(state, as_bytes("x")).error().code, Code::Conflict);
}

TEST_F(ApplierTest, WhatLiesInAnotherMountHasNoKey) {
  mount_inside();
  InodeBinding inodes{{top_ + "/tree"}};
  ASSERT_TRUE(inodes.open_roots());
  const Fd nested{::open((top_ + "/tree/d").c_str(), O_PATH | O_CLOEXEC)};
  EXPECT_EQ(key_at(inodes.place(0), nested.get(), "").error().code, Code::Conflict);
  EXPECT_TRUE(key_at(inodes.place(0), inodes.root_fd(0), "d"));
}

TEST_F(ApplierTest, ABindMayBeLongerThanAPathOfTheKernel) {
  const std::string name(200, 'n');
  Fd at{::open((top_ + "/tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  std::string path;
  for (int depth = 0; depth < 45; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0700), 0);
    at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    path += (path.empty() ? "" : "/") + name;
  }
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  expect_applied(applier.apply(bind(10, path), {}));
  expect_applied(applier.apply(create(10, "f"), {}));
  EXPECT_EQ(::faccessat(at.get(), "f", F_OK, 0), 0);
}

TEST_F(ApplierTest, NamesAreChangedOnlyInDirectoriesThatAreStillInTheTree) {
  std::filesystem::create_directories(top_ + "/tree/a/b");
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  expect_applied(applier.apply(bind(10, "a"), {}));
  expect_applied(applier.apply(bind(11, "a/b"), {}));
  std::filesystem::rename(top_ + "/tree/a", top_ + "/tree/moved");
  expect_applied(applier.apply(create(11, "inside"), {}));
  std::filesystem::rename(top_ + "/tree/moved", top_ + "/outside");
  EXPECT_EQ(applier.apply(create(11, "new"), {}).error().code, Code::NotFound);
  EXPECT_FALSE(applier.apply(wire::Operation{wire::Remove{.parent = InodeId{11}, .name = "inside"}}, {}));
  EXPECT_FALSE(applier.apply(wire::Operation{wire::Rename{.id = InodeId{99},
                                                          .parent = InodeId{11},
                                                          .name = "inside",
                                                          .new_parent = InodeId{1},
                                                          .new_name = "taken"}}, {}));
  applier.begin_resync(wire::ResyncMode::Full);
  EXPECT_TRUE(applier.apply(empty_listing(10))) << "left for the listing of the directory above";
  EXPECT_EQ(applier.leftovers().size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(top_ + "/outside/b/inside"));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/outside/b/new"));
}

TEST_F(ApplierTest, ABindFollowsNoSymbolicLink) {
  std::filesystem::create_directories(top_ + "/outside/e");
  std::filesystem::create_directory_symlink(top_ + "/outside", top_ + "/tree/link");
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  EXPECT_EQ(applier.apply(bind(10, "link/e"), {}).error().code, Code::NotFound);
  EXPECT_EQ(applier.apply(bind(10, "../outside/e"), {}).error().code, Code::Conflict);
  expect_applied(applier.apply(bind(11, "link"), {}));
  EXPECT_FALSE(applier.apply(create(11, "new"), {}));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/outside/new"));
}

/// The tree is a small file system, and a file takes all of it.
class FullDiskTest : public ApplierTest {
 protected:
  void SetUp() override {
    ApplierTest::SetUp();
    if (top_.empty()) return;
    full_ = top_ + "/tree/d";
    ASSERT_EQ(::mount("small", full_.c_str(), "tmpfs", 0, "size=64k"), 0);
    std::ofstream{full_ + "/live"} << "x";
    std::ofstream{full_ + "/big"} << std::string(100'000, 'b');
    applier_ = std::make_unique<Applier>(std::vector{full_});
    ASSERT_TRUE(applier_->open());
    ASSERT_TRUE(applier_->reset());
  }
  Status write() {
    const Bytes page(8192, 1);
    return applier_->apply(wire::Operation{wire::Write{InodeId{10}, 8192, 8192}}, page);
  }
  static wire::Listing without_big() {
    return {.directory = InodeId{1}, .entries = {{.name = "live", .id = InodeId{10}, .identity = 10, .mode = S_IFREG | 0600}}};
  }

  std::string full_{};
  std::unique_ptr<Applier> applier_{};
};

TEST_F(FullDiskTest, InSteadyStateTheErrorNamesThePlaceAtOnce) {
  expect_applied(applier_->apply(bind(10, "live"), {}));
  const Status done = write();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::Exhausted);
  EXPECT_NE(done.error().what.find("make room in the file system of '" + full_ + "'"), std::string::npos);
}

TEST_F(FullDiskTest, WhatFindsNoRoomIsLeftUntilTheListingsHaveMadeIt) {
  applier_->begin_resync(wire::ResyncMode::Full);
  expect_applied(applier_->apply(bind(10, "live"), {}));
  expect_applied(write());
  EXPECT_EQ(applier_->leftovers(), std::vector{InodeId{10}});
  const auto fates = applier_->apply(without_big());
  ASSERT_TRUE(fates && *fates) << fates.error().what;
  expect_applied(write());
  EXPECT_TRUE(applier_->leftovers().empty()) << "its content is compared after the listing";
}

TEST_F(FullDiskTest, WhatIsForgottenIsLeftAllTheSame) {
  applier_->begin_resync(wire::ResyncMode::Full);
  expect_applied(applier_->apply(bind(10, "live"), {}));
  expect_applied(write());
  expect_applied(applier_->apply(wire::Operation{wire::Forget{InodeId{10}}}, {}));
  EXPECT_EQ(applier_->leftovers(), std::vector{InodeId{10}}) << "its change is missing here";
}

TEST_F(FullDiskTest, AfterAllListingsItIsAnError) {
  applier_->begin_resync(wire::ResyncMode::Full);
  expect_applied(applier_->apply(bind(10, "live"), {}));
  expect_applied(write());
  applier_->clear_leftovers();
  EXPECT_EQ(write().error().code, Code::Exhausted);
}

Exclusions rules() {
  return {*Exclusion::compile({{.path = "d/cache", .regex = ""}, {.path = "", .regex = "\\.tmp$"}})};
}

TEST_F(ApplierTest, AListingLeavesAloneWhatIsNotReplicated) {
  std::filesystem::create_directories(top_ + "/tree/d/cache/deep");
  std::filesystem::create_directories(top_ + "/tree/cache");
  std::ofstream{top_ + "/tree/d/x.tmp"} << "local";
  Applier applier{{top_ + "/tree"}, rules()};
  ASSERT_TRUE(applier.open());
  applier.begin_resync(wire::ResyncMode::Full);
  expect_applied(applier.apply(bind(10, "d"), {}));
  ASSERT_TRUE(applier.apply(empty_listing(10)));
  EXPECT_TRUE(std::filesystem::exists(top_ + "/tree/d/cache/deep"));
  EXPECT_TRUE(std::filesystem::exists(top_ + "/tree/d/x.tmp"));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/d/below"));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/d/sub"));
  ASSERT_TRUE(applier.apply(empty_listing(1)));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/cache")) << "a path is that of one place";
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/d")) << "its directory is gone on the primary";
}

TEST_F(ApplierTest, WhatIsNotReplicatedIsNeverInTheWay) {
  Applier applier{{top_ + "/tree"}, rules()};
  ASSERT_TRUE(applier.open());
  std::ofstream{top_ + "/tree/d/sub/x.tmp"} << "local";
  expect_applied(applier.apply(bind(10, "d"), {}));
  expect_applied(applier.apply(wire::Remove{.parent = InodeId{10}, .name = "sub", .directory = true}, {}));
  EXPECT_FALSE(std::filesystem::exists(top_ + "/tree/d/sub"));
  std::filesystem::create_directories(top_ + "/tree/d/new/deep");
  expect_applied(applier.apply(create(10, "new"), {}));
  EXPECT_TRUE(std::filesystem::is_regular_file(top_ + "/tree/d/new"));
  std::filesystem::create_directories(top_ + "/tree/d/to/deep");
  expect_applied(applier.apply(wire::Rename{.id = InodeId{99}, .parent = InodeId{10}, .name = "new", .new_parent = InodeId{10},
                                            .new_name = "to"}, {}));
  EXPECT_TRUE(std::filesystem::is_regular_file(top_ + "/tree/d/to"));
}

TEST_F(ApplierTest, WithoutRulesWhatIsInTheWayIsAnError) {
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  expect_applied(applier.apply(bind(10, "d"), {}));
  EXPECT_FALSE(applier.apply(wire::Remove{.parent = InodeId{1}, .name = "d", .directory = true}, {}));
  EXPECT_FALSE(applier.apply(create(10, "sub"), {}));
  EXPECT_TRUE(std::filesystem::exists(top_ + "/tree/d/sub"));
}

TEST_F(ApplierTest, AlikeIsWhatHasTheSizeAndTimeOfTheListing) {
  const std::string path = top_ + "/tree/d/below";
  Applier applier{{top_ + "/tree"}};
  ASSERT_TRUE(applier.open());
  const auto fate = [&](wire::ResyncMode mode, std::uint64_t size, wire::TimeSpec mtime, timespec here) {
    const timespec times[2] = {here, here};
    EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    EXPECT_TRUE(applier.reset());
    applier.begin_resync(mode);
    expect_applied(applier.apply(bind(10, "d"), {}));
    const auto fates = applier.apply(wire::Listing{.directory = {10},
                                                   .entries = {{.name = "below", .id = {11}, .identity = 11, .mode = S_IFREG | 0644,
                                                                .size = size, .mtime = mtime}}});
    EXPECT_TRUE(fates && *fates && (*fates)->size() == 1);
    return (**fates)[0];
  };
  using wire::EntryFate;
  using wire::ResyncMode;
  EXPECT_EQ(fate(ResyncMode::Chosen, 5, {1000, 7}, {1000, 7}), EntryFate::Alike);
  EXPECT_EQ(fate(ResyncMode::Chosen, 5, {1000, 7}, {1000, 0}), EntryFate::Alike) << "a backup that keeps whole seconds";
  EXPECT_EQ(fate(ResyncMode::Chosen, 5, {1000, 7}, {1000, 8}), EntryFate::Kept);
  EXPECT_EQ(fate(ResyncMode::Chosen, 5, {1000, 7}, {999, 0}), EntryFate::Kept);
  EXPECT_EQ(fate(ResyncMode::Chosen, 6, {1000, 7}, {1000, 7}), EntryFate::Kept);
  EXPECT_EQ(fate(ResyncMode::Full, 5, {1000, 7}, {1000, 7}), EntryFate::Kept);
}

TEST_F(ApplierTest, WhatIsKeptStaysALeftoverWhereNotAllIsLookedInto) {
  using wire::ResyncMode;
  for (const ResyncMode mode : {ResyncMode::Zones, ResyncMode::Chosen, ResyncMode::Full}) {
    Applier applier{{top_ + "/tree"}};
    ASSERT_TRUE(applier.open());
    applier.begin_resync(mode);
    expect_applied(applier.apply(bind(10, "d"), {}));
    expect_applied(applier.apply(bind(11, "gone"), {}));  // the file had another name when this came
    ASSERT_EQ(applier.leftovers(), std::vector<InodeId>{InodeId{11}});
    const auto fates = applier.apply(wire::Listing{
        .directory = {10}, .complete = false, .entries = {{.name = "below", .id = {11}, .identity = 11, .mode = S_IFREG | 0644, .size = 5}}});
    ASSERT_TRUE(fates && *fates);
    EXPECT_EQ((**fates)[0], wire::EntryFate::Kept);
    EXPECT_EQ(applier.leftovers().empty(), mode == ResyncMode::Full);
  }
}

}  // namespace
}  // namespace safekit::replica
