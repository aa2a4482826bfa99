#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "datapath/journal/record.h"
#include "datapath/lost/set_reader.h"
#include "datapath/lost/set_writer.h"

namespace safekit::lost {
namespace {

class LostSetTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "lost.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    file_ = Fd{::open((top_ + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    ASSERT_EQ(::pwrite(file_.get(), text_.data(), text_.size(), 1 << 20), static_cast<ssize_t>(text_.size()));
  }
  void TearDown() override { std::filesystem::remove_all(top_); }

  [[nodiscard]] Head head(std::uint64_t generation = 7) const {
    return {.module = "AM", .node = "a", .peer = "b", .lost = {generation}, .kept = {9},
            .begun = WallTime{1'700'000'000'000'000'000}, .only_own = true, .roots = {"/srv/data"}};
  }
  [[nodiscard]] std::unique_ptr<SetWriter> open(std::uint64_t quota = 1U << 30, std::uint64_t generation = 7) const {
    auto writer = SetWriter::open(sets(), quota, head(generation));
    EXPECT_TRUE(writer) << writer.error().what;
    return writer ? std::move(*writer) : nullptr;
  }
  [[nodiscard]] std::string sets() const { return top_ + "/lost-writes"; }
  static Item item(const std::string& path) {
    return {.kind = Kind::File, .handle = "handle of " + path, .path = path, .attributes = {.mode = 0100600, .size = 100},
            .xattrs = {{"user.x", std::string{"\0y", 2}}}};
  }
  [[nodiscard]] std::uint64_t end() const { return (1U << 20) + text_.size(); }

  std::string top_{};
  std::string text_ = std::string(10000, 'x') + "end";
  Fd file_{};
};

TEST_F(LostSetTest, GivesBackWhatItGot) {
  {
    auto writer = open();
    const auto number = writer->add(item("a\xff\n"));
    ASSERT_EQ(*number, 1U);
    ASSERT_TRUE(writer->keep(*number, file_.get(), {0, end()}));
    ASSERT_TRUE(writer->removed(*number));
    ASSERT_TRUE(writer->name(*number, 0, "other"));
    ASSERT_TRUE(writer->end(WallTime{5}));
  }
  const auto sets_there = list_sets(sets());
  ASSERT_TRUE(sets_there);
  ASSERT_EQ(sets_there->size(), 1U);
  const Summary& set = sets_there->front();
  EXPECT_EQ(set.name, "20231114T221320Z");
  EXPECT_EQ(set.ended, WallTime{5});
  EXPECT_EQ(set.items, 1U);
  EXPECT_EQ(set.bytes, end() - (1U << 20));
  const auto contents = load_set(sets(), set.name);
  ASSERT_TRUE(contents);
  EXPECT_EQ(contents->head, head());
  ASSERT_EQ(contents->entries.size(), 1U);
  const Entry& entry = contents->entries[0];
  Item wanted = item("a\xff\n");
  wanted.number = 1;
  EXPECT_EQ(entry.item, wanted);
  EXPECT_TRUE(entry.removed);
  EXPECT_EQ(entry.names, (std::vector<Name>{{1, 0, "other"}}));
  ASSERT_EQ(entry.pieces.size(), 2U);
  EXPECT_EQ(entry.pieces[0], (Piece{1, 0, 1U << 20, PieceState::Zeros, 0}));
  const auto bytes = read_data(sets(), set.name, entry.pieces[1].at, entry.pieces[1].size);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(as_text(*bytes), text_);
  EXPECT_TRUE(purge_set(sets(), set.name));
  EXPECT_TRUE(list_sets(sets())->empty());
  EXPECT_EQ(purge_set(sets(), set.name).error().code, Code::NotFound);
  EXPECT_EQ(purge_set(sets(), "../file").error().code, Code::NotFound);
}

TEST_F(LostSetTest, ASecondAttemptGoesOnWithTheSameSet) {
  {
    auto writer = open();
    ASSERT_TRUE(writer->keep(*writer->add(item("a")), file_.get(), {1 << 20, end()}));
    writer->made(42);
  }
  const std::string manifest = sets() + "/20231114T221320Z/" + kManifestFile;
  std::ofstream{manifest, std::ios::app} << "a record that was never finished";
  {
    auto writer = open();
    ASSERT_EQ(writer->before().entries.size(), 1U);
    EXPECT_TRUE(writer->is_made(42));
    EXPECT_FALSE(writer->is_made(43));
    EXPECT_EQ(*writer->add(item("b")), 2U);
    ASSERT_TRUE(writer->keep(2, file_.get(), {1 << 20, end()}));
    ASSERT_TRUE(writer->end(WallTime{5}));
  }
  const auto contents = load_set(sets(), "20231114T221320Z");
  ASSERT_EQ(contents->entries.size(), 2U);
  EXPECT_NE(contents->entries[0].pieces[0].at, contents->entries[1].pieces[0].at);
  (void)open(1U << 30, 8)->add(item("c"));  // another generation is another set
  EXPECT_EQ(list_sets(sets())->size(), 2U);
  EXPECT_EQ(list_sets(sets())->at(0).name, "20231114T221320Z");
  EXPECT_EQ(list_sets(sets())->at(1).name, "20231114T221320Z-2");
}

TEST_F(LostSetTest, OfWhatOthersChangedEachTimeIsASetOfItsOwn) {
  Head by_others = head();
  by_others.by_others = true;
  const auto add = [&](const Head& to, bool ends) {
    auto writer = SetWriter::open(sets(), 1U << 30, to);
    ASSERT_TRUE(writer);
    ASSERT_NE(*(*writer)->add(item("a")), 0U);
    if (ends) {
      ASSERT_TRUE((*writer)->end(WallTime{5}));
    }
  };
  add(by_others, false);
  add(by_others, true);  // a second attempt
  add(by_others, true);
  add(head(), true);  // of the same generation, but this node's own
  add(head(), true);  // lost power before the journal knew that it had ended
  const auto found = list_sets(sets());
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ(found->at(0).items, 2U);
  EXPECT_EQ(found->at(1).items, 1U);
  EXPECT_EQ(found->at(2).items, 2U);
  EXPECT_TRUE(found->at(0).by_others && found->at(1).by_others && !found->at(2).by_others);
  EXPECT_EQ(load_set(sets(), found->at(0).name)->head, by_others);
}

TEST(LostSummary, ReadsTheFormatBefore) {
  const Summary now{.lost = {7}, .node = "a", .peer = "b", .by_others = true, .items = 3};
  const Bytes bytes = encode(now);
  EXPECT_EQ(*decode_summary(bytes), now);
  Summary before = now;
  before.by_others = false;
  EXPECT_EQ(*decode_summary(journal::seal_record(0x53574c53, 1, BytesView{bytes}.subspan(16, bytes.size() - 21))), before);
}

TEST_F(LostSetTest, WhatFindsNoRoomIsNamed) {
  auto writer = open(8192);
  const auto number = writer->add(item("a"));
  ASSERT_TRUE(writer->keep(*number, file_.get(), {1 << 20, (1 << 20) + 8192}));
  ASSERT_TRUE(writer->keep(*number, file_.get(), {(1 << 20) + 8192, end()}));
  ASSERT_TRUE(writer->keep(*number, -1, {0, 5}));  // cannot even be read
  EXPECT_EQ(writer->summary().bytes, 8192U);
  EXPECT_EQ(writer->summary().missed_bytes, end() - (1U << 20) - 8192 + 5);
  EXPECT_EQ(writer->summary().missed_items, 1U);
  ASSERT_TRUE(writer->end(WallTime{5}));
  const auto contents = load_set(sets(), "20231114T221320Z");
  ASSERT_EQ(contents->entries[0].pieces.size(), 3U);
  EXPECT_EQ(contents->entries[0].pieces[2].state, PieceState::NoRoom);
  // Other sets count too.
  auto next = open(8192, 8);
  ASSERT_TRUE(next->keep(*next->add(item("b")), file_.get(), {1 << 20, (1 << 20) + 1}));
  EXPECT_EQ(next->summary().bytes, 0U);
}

TEST_F(LostSetTest, ASetWithNothingInItGoesAway) {
  ASSERT_TRUE(open()->end(WallTime{5}));
  EXPECT_TRUE(list_sets(sets())->empty());
  EXPECT_TRUE(std::filesystem::is_empty(sets()));
}

TEST_F(LostSetTest, ADiskErrorIsNotCalledFull) {
  std::ofstream{sets()} << "a file where the directory is to be";
  const auto writer = SetWriter::open(sets(), 1, head());
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, Code::Io);
}

TEST(LostManifest, NewerAndDamagedOnesAreRefused) {
  Bytes bytes = manifest_begin();
  EXPECT_EQ(read_manifest(bytes).error().code, Code::Corrupt);
  const Bytes head = encode(Record{Head{.module = "AM"}});
  bytes.insert(bytes.end(), head.begin(), head.end());
  const std::size_t whole = bytes.size();
  const Bytes piece = encode(Record{Piece{.item = 3}});  // of an item that is not there
  bytes.insert(bytes.end(), piece.begin(), piece.end());
  ASSERT_TRUE(read_manifest(bytes));
  EXPECT_EQ(read_manifest(bytes)->good_bytes, whole);
  for (std::size_t i = 8; i < whole; ++i) {
    Bytes broken = bytes;
    broken[i] ^= 1;
    EXPECT_FALSE(read_manifest(broken)) << i;
  }
  bytes[4] = 2;
  EXPECT_EQ(read_manifest(bytes).error().code, Code::Unsupported);
}

}  // namespace
}  // namespace safekit::lost
