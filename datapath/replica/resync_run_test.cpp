// What a synchronisation keeps of a peer's answers, and of what it holds itself.
#include "datapath/replica/resync_run.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "datapath/replica/path_inodes.h"
#include "datapath/replica/played_peer.h"

namespace safekit::replica {
namespace {

/// A directory with one file of several batches of zones. The peer answers while the question is put: before it is noted.
class ResyncRunTest : public ::testing::Test, public ResyncHost {
 protected:
  static constexpr std::size_t kBatches = 3;

  ResyncRunTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "resync-run-XXXXXX").string();
    top = ::mkdtemp(pattern.data());
    std::ofstream{top + "/f"} << std::string(kBatches * wire::kZoneDigestsMax * settings.zone_bytes, 'x');
    inodes = std::make_unique<PathInodes>(top);
    run = std::make_unique<ResyncRun>(*this, *inodes, order, settings, [] {});
  }
  ~ResyncRunTest() override {
    run.reset();
    EXPECT_EQ(inodes->pins, 0) << "each is given up once";
    std::filesystem::remove_all(top);
  }
  Result<SequenceNumber> put(const wire::Message& message, BytesView) override {
    const SequenceNumber now{++sequence};
    if (std::holds_alternative<wire::Listing>(message)) {
      EXPECT_TRUE(run->answer(wire::ListingAnswer{now, {wire::EntryFate::Kept}}));
    } else if (std::holds_alternative<wire::ZoneDigests>(message)) {
      ++asked;
      if (wanted) told = run->answer(wire::ZonesWanted{now, *wanted});
    } else if (const auto* operation = std::get_if<wire::Operation>(&message)) {
      if (std::holds_alternative<wire::Write>(*operation)) ++written;
    }
    return now;
  }
  Status make_known(InodeId) override { return {}; }
  void note_known(InodeId, const HandleKey&) override {}
  Result<HandleKey> key_of_forgotten(InodeId) override { return Error{Code::NotFound, "not asked for"}; }
  Status wait_for_room() override { return {}; }
  SyncsFirst& syncs_first() override { return none; }

  std::string top{};
  Settings settings{.zone_bytes = 4, .workers = 1, .resync_timeout = milliseconds{250}};
  SharedClock clock{};
  SyncsFirst none{clock};
  TreeOrder order{};
  std::unique_ptr<PathInodes> inodes{};
  std::unique_ptr<ResyncRun> run{};
  std::uint64_t sequence{0};
  std::optional<std::vector<std::uint32_t>> wanted{};  ///< of each batch; none: no answer
  Status told{};
  std::size_t asked{0};
  std::size_t written{0};
};

TEST_F(ResyncRunTest, WhatThePeerWantsIsSent) {
  wanted = {1, wire::kZoneDigestsMax - 1};
  const Status done = run->run_full();
  EXPECT_TRUE(done) << done.error().what;
  EXPECT_EQ(asked, kBatches);
  EXPECT_EQ(written, 2 * kBatches);
}

TEST_F(ResyncRunTest, AFileOfWhichMuchIsUnansweredIsGivenUpOnce) {
  EXPECT_EQ(run->run_full().error().code, Code::Timeout);
  EXPECT_EQ(asked, kBatches);
}

TEST_F(ResyncRunTest, ZonesThatWereNotComparedAreNotSent) {
  for (const std::vector<std::uint32_t>& strange :
       {std::vector<std::uint32_t>{wire::kZoneDigestsMax}, std::vector<std::uint32_t>(wire::kZoneDigestsMax + 1)}) {
    run = std::make_unique<ResyncRun>(*this, *inodes, order, settings, [] {});
    wanted = strange;
    EXPECT_EQ(run->run_full().error().code, Code::Corrupt);
    EXPECT_EQ(written, 0U);
    run.reset();
    EXPECT_EQ(inodes->pins, 0);
  }
}

TEST_F(ResyncRunTest, OfAnswersToNoQuestionLittleIsKept) {
  int kept = 0;
  for (std::uint64_t number = 1000; number < 2000 && told; ++number) {
    told = number % 2 == 0 ? run->answer(wire::ListingAnswer{{number}, {}}) : run->answer(wire::ZonesWanted{{number}, {}});
    kept += told ? 1 : 0;
  }
  EXPECT_EQ(told.error().code, Code::Corrupt);
  EXPECT_EQ(kept, 2) << "one of each thread that asks: the worker, and who runs it";
}

}  // namespace
}  // namespace safekit::replica
