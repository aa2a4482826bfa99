// The primary's side of a verification, against a played peer.
#include "datapath/replica/verify_run.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "datapath/replica/path_inodes.h"
#include "schema/fake/manual_clock.h"

namespace safekit::replica {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

class VerifyRunTest : public ::testing::Test, public VerifyHost {
 protected:
  VerifyRunTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "verify-run-XXXXXX").string();
    top = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(top + "/d");
    std::ofstream{top + "/d/f"} << std::string(10, 'x');  // three zones
    std::ofstream{top + "/g"} << "";
    std::filesystem::create_symlink("g", top + "/l");
    inodes = std::make_unique<PathInodes>(top);
    run = std::make_unique<VerifyRun>(*this, *inodes, order, settings, clock, VerifyOptions{.again_after = milliseconds{1}});
  }
  ~VerifyRunTest() override {
    run.reset();
    EXPECT_EQ(inodes->pins, 0);
    std::filesystem::remove_all(top);
  }
  Result<SequenceNumber> put(const wire::Message& message) override {
    ++sequence;
    if (const auto* names = std::get_if<wire::VerifyNames>(&message)) {
      asked.push_back(names->at.path + "/");
    } else if (const auto* state = std::get_if<wire::VerifyState>(&message)) {
      asked.push_back(state->at.path);
    } else {
      asked.push_back(std::get<wire::VerifyZones>(message).at.path + " zones");
    }
    wire::VerifyAnswer answer = play ? play(message) : wire::VerifyAnswer{};
    answer.sequence = {sequence};
    if (answers) run->answer(std::move(answer));
    return SequenceNumber{sequence};
  }
  Status wait_for_room() override { return {}; }

  /// Of the state of one path, to each look.
  static std::uint16_t state_of(const wire::Message& message, const std::string& path, std::uint16_t differs) {
    const auto* state = std::get_if<wire::VerifyState>(&message);
    return state != nullptr && state->at.path == path ? differs : std::uint16_t{0};
  }
  std::vector<CopyDifference> differences() {
    const Status done = run->run();
    EXPECT_TRUE(done) << done.error().what;
    return run->found().differences;
  }
  static CopyDifference at(const std::string& path, std::uint16_t differs) { return {{0, path}, differs}; }

  std::string top{};
  Settings settings{.zone_bytes = 4, .resync_timeout = milliseconds{20}};
  TreeOrder order{};
  fake::ManualClock clock{};
  std::unique_ptr<PathInodes> inodes{};
  std::unique_ptr<VerifyRun> run{};
  std::uint64_t sequence{0};
  bool answers{true};
  std::vector<std::string> asked{};
  std::function<wire::VerifyAnswer(const wire::Message&)> play{};
};

TEST_F(VerifyRunTest, AsksAboutEverythingOnce) {
  EXPECT_TRUE(differences().empty());
  std::ranges::sort(asked);
  EXPECT_THAT(asked, ElementsAre("", "/", "d", "d/", "d/f", "d/f zones", "g", "l"));
  EXPECT_EQ(run->found().files, 3U);
  EXPECT_EQ(run->found().directories, 2U);
  EXPECT_EQ(run->found().bytes, 10U);
}

TEST_F(VerifyRunTest, OnlyWhatDiffersInBothLooksIsTold) {
  int looks = 0;
  play = [&](const wire::Message& message) {
    wire::VerifyAnswer answer{.differs = state_of(message, "g", wire::kMode | wire::kOwner)};
    if (answer.differs != 0 && ++looks == 2) answer.differs = wire::kOwner | wire::kXattrs;
    if (state_of(message, "l", 1) != 0 && looks < 2) answer.differs = wire::kMtime;
    return answer;
  };
  EXPECT_EQ(differences(), std::vector{at("g", wire::kOwner)});
}

TEST_F(VerifyRunTest, TheLookUnderTheLockDecidesAboutContent) {
  bool exact_differs = false;
  play = [&](const wire::Message& message) {
    const auto* zones = std::get_if<wire::VerifyZones>(&message);
    if (zones == nullptr) return wire::VerifyAnswer{};
    if (!zones->exact) return wire::VerifyAnswer{.zones = {0, 2}};
    EXPECT_EQ(zones->digests.size(), 1U);
    return exact_differs ? wire::VerifyAnswer{.zones = {0}} : wire::VerifyAnswer{};
  };
  EXPECT_TRUE(differences().empty());
  exact_differs = true;
  run = std::make_unique<VerifyRun>(*this, *inodes, order, settings, clock, VerifyOptions{.again_after = milliseconds{1}});
  EXPECT_EQ(differences(), std::vector{at("d/f", wire::kContent)});
}

TEST_F(VerifyRunTest, WhatIsMissingIsNotLookedInto) {
  play = [&](const wire::Message& message) {
    const auto* names = std::get_if<wire::VerifyNames>(&message);
    if (names == nullptr || !names->at.path.empty()) return wire::VerifyAnswer{};
    return wire::VerifyAnswer{.names = {{"d", wire::kMissing}, {"z", wire::kAdditional}}};
  };
  EXPECT_EQ(differences(), (std::vector{at("d", wire::kMissing), at("z", wire::kAdditional)}));
  EXPECT_THAT(asked, Not(Contains("d/f")));
}

TEST_F(VerifyRunTest, EndsWhenThereIsNoPlaceForMore) {
  play = [&](const wire::Message& message) {
    const auto* names = std::get_if<wire::VerifyNames>(&message);
    wire::VerifyAnswer answer{.more_names = names != nullptr};
    if (names != nullptr && names->at.path.empty()) answer.names = {{"g", wire::kKind}};
    return answer;
  };
  EXPECT_EQ(differences(), std::vector{at("g", wire::kKind)});
  EXPECT_TRUE(run->found().ended_early);
  EXPECT_THAT(asked, Not(Contains("d/")));
}

TEST_F(VerifyRunTest, WhatIsMovedIsLookedAtWhereItWent) {
  play = [&](const wire::Message& message) {
    const auto* names = std::get_if<wire::VerifyNames>(&message);
    if (names != nullptr && names->at.path == "d") {
      std::filesystem::rename(top + "/d/f", top + "/moved");  // behind both listings
      run->names_changed(to_key(*inodes->handle_of({1})), "moved");
    }
    return wire::VerifyAnswer{};
  };
  EXPECT_TRUE(differences().empty());
  EXPECT_THAT(asked, Contains("moved zones"));
}

TEST_F(VerifyRunTest, ALookBesideAMoveAcrossTheBorderDecidesNothing) {
  int looks = 0;
  play = [&](const wire::Message& message) {
    wire::VerifyAnswer answer{.differs = state_of(message, "g", wire::kSize)};
    if (answer.differs != 0 && ++looks == 2) ++inodes->moves.begun;
    if (looks > 2) answer.differs = 0;
    return answer;
  };
  EXPECT_TRUE(differences().empty());
  EXPECT_EQ(looks, 3);
}

TEST_F(VerifyRunTest, ThePaceHoldsTheNextReadNotTheEnd) {
  run = std::make_unique<VerifyRun>(*this, *inodes, order, settings, clock, VerifyOptions{.bytes_per_second = 1});
  play = [&](const wire::Message& message) {
    if (std::holds_alternative<wire::VerifyState>(message)) run->abort("it is enough");
    return wire::VerifyAnswer{};
  };
  EXPECT_EQ(run->run().error().what, "it is enough");  // not after the hour that the next inode would be paid by
  EXPECT_EQ(std::ranges::count_if(asked, [](const std::string& one) { return !one.ends_with('/'); }), 1);
}

TEST_F(VerifyRunTest, EndsWithAReason) {
  answers = false;
  EXPECT_EQ(run->run().error().code, Code::Timeout);
  run = std::make_unique<VerifyRun>(*this, *inodes, order, settings, clock, VerifyOptions{.again_after = milliseconds{1}});
  play = [&](const wire::Message&) {
    run->abort("somebody said so");
    run->abort("later");
    return wire::VerifyAnswer{};
  };
  const Status ended = run->run();
  EXPECT_EQ(ended.error().code, Code::Unavailable);
  EXPECT_EQ(ended.error().what, "somebody said so");
}

}  // namespace
}  // namespace safekit::replica
