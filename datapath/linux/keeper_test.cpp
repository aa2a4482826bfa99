#include "datapath/linux/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace safekit {
namespace {

/// The keeper is the program that the build has put beside this test.
class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "keeper.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern + "/" + std::string(120, 'x');  // longer than the address of a socket may be
    std::filesystem::create_directories(directory_);
    program_ = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "safekit-keeper").string();
  }
  void TearDown() override { std::filesystem::remove_all(std::filesystem::path{directory_}.parent_path()); }

  std::string directory_{};
  std::string program_{};
};

/// The one child of this process.
pid_t child() {
  std::ifstream in{fmt::format("/proc/self/task/{}/children", ::getpid())};
  pid_t found = 0;
  in >> found;
  return found;
}
struct Pipe {
  Fd from{};
  Fd to{};
};
Pipe make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {.from = Fd{ends[0]}, .to = Fd{ends[1]}};
}

TEST_F(KeeperTest, TheNextClientGetsWhatTheLastOneLeft) {
  Pipe one = make_pipe();
  Pipe two = make_pipe();
  auto keeper = Keeper::start(program_, directory_);
  ASSERT_TRUE(keeper) << keeper.error().what;
  ASSERT_TRUE((*keeper)->keep(5, one.to.get()));
  ASSERT_TRUE((*keeper)->keep(1ULL << 63, two.to.get()));
  ASSERT_TRUE((*keeper)->keep(6, two.to.get()));
  ASSERT_TRUE((*keeper)->drop(6));
  one.to.reset();
  keeper->reset();  // as by its death
  auto next = Keeper::find(directory_);
  ASSERT_TRUE(next) << next.error().what;
  auto kept = (*next)->fetch();
  ASSERT_TRUE(kept) << kept.error().what;
  ASSERT_EQ(kept->size(), 2U);
  ASSERT_EQ(::write(kept->at(5).get(), "x", 1), 1);
  char got = 0;
  EXPECT_EQ(::read(one.from.get(), &got, 1), 1);
  EXPECT_EQ(got, 'x');
  kept->clear();
  (*next)->release();
  EXPECT_EQ(::read(one.from.get(), &got, 1), 0) << "it still holds a descriptor";
  ASSERT_GT(::waitpid(-1, nullptr, 0), 0);  // it was this process's child, and may take a while to end
  const auto gone = Keeper::find(directory_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::NotFound);
}

TEST_F(KeeperTest, OneThatIsStoppedIsNotWaitedFor) {
  Pipe pipe = make_pipe();
  auto keeper = Keeper::start(program_, directory_);
  ASSERT_TRUE(keeper) << keeper.error().what;
  ASSERT_TRUE((*keeper)->keep(5, pipe.to.get()));
  pipe.to.reset();
  ASSERT_EQ(::kill(child(), SIGSTOP), 0);
  (*keeper)->release();
  char got = 0;
  EXPECT_EQ(::read(pipe.from.get(), &got, 1), 0) << "it still holds a descriptor";
}

TEST_F(KeeperTest, EndsWhenNobodyComes) {
  Fd listener{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  const sockaddr_un any{.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(sa_family_t)), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(serve_keeper(std::move(listener), milliseconds{1}), 0);
}

TEST_F(KeeperTest, AProgramThatIsNotThereIsTold) {
  const auto keeper = Keeper::start("/nonexistent/safekit-keeper", directory_);
  ASSERT_FALSE(keeper);
  EXPECT_NE(keeper.error().what.find("/nonexistent/safekit-keeper"), std::string::npos);
}

}  // namespace
}  // namespace safekit
