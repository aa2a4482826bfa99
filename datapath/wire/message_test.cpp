#include "datapath/wire/message.h"

#include <gtest/gtest.h>

#include <random>

#include "datapath/wire/one_of_each.h"

namespace safekit::wire {
namespace {

void feed(FrameReader& reader, BytesView bytes) {
  const auto space = reader.space(bytes.size());
  std::copy(bytes.begin(), bytes.end(), space.begin());
  reader.commit(bytes.size());
}

TEST(Wire, RoundTripOfEveryMessageByteByByte) {
  FrameReader reader;
  for (const Message& message : one_of_each()) {
    Bytes out;
    append_message(out, message, data_of(message));
    for (std::size_t i = 0; i + 1 < out.size(); ++i) {
      feed(reader, BytesView{out}.subspan(i, 1));
      const auto frame = reader.next();
      ASSERT_TRUE(frame) << frame.error().what;
      ASSERT_FALSE(frame->has_value());
    }
    feed(reader, BytesView{out}.last(1));
    const auto frame = reader.next();
    ASSERT_TRUE(frame);
    ASSERT_TRUE(frame->has_value());
    BytesView data;
    const auto back = decode(**frame, data);
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(*back, message);
    EXPECT_EQ(as_text(data), as_text(data_of(message)));
  }
}

Result<Message> decode_hello(const Bytes& payload) {
  BytesView data;
  return decode(FrameView{FrameType::Hello, payload}, data);
}

TEST(Wire, AHelloOfALaterReleaseIsReadAsFarAsItIsKnown) {
  Hello sent{.protocol = kProtocolVersion + 1, .oldest = kProtocolVersion, .module = "AM", .outside = Outside::Listed};
  Bytes out;
  append_message(out, sent);
  Bytes payload{out.begin() + kFrameHeadBytes, out.end() - kFrameTailBytes};
  payload.insert(payload.end(), {1, 2, 3});  // what it has appended
  const auto known = decode_hello(payload);
  ASSERT_TRUE(known) << known.error().what;
  EXPECT_EQ(std::get<Hello>(*known), sent);

  // One that does not speak ours any more: the numbers, and nothing else.
  payload[4] = static_cast<std::uint8_t>(kProtocolVersion + 1);
  const auto strange = decode_hello(payload);
  ASSERT_TRUE(strange);
  EXPECT_EQ(std::get<Hello>(*strange).oldest, kProtocolVersion + 1);
  EXPECT_TRUE(std::get<Hello>(*strange).module.empty());

  // Ours may not be longer than it is.
  sent.protocol = kProtocolVersion;
  out.clear();
  append_message(out, sent);
  payload.assign(out.begin() + kFrameHeadBytes, out.end() - kFrameTailBytes);
  payload.push_back(0);
  EXPECT_FALSE(decode_hello(payload));
}

TEST(Wire, LargeFramesComeWholeInPiecesOfAnySize) {
  std::mt19937 random{4712};
  std::string sent;
  Bytes out;
  for (int i = 0; i < 40; ++i) {
    const std::string piece(1 + random() % (300U << 10), static_cast<char>('a' + i % 26));
    append_message(out, Operation{Write{.id = {1}, .offset = 0, .size = static_cast<std::uint32_t>(piece.size())}}, as_bytes(piece));
    sent += piece;
  }
  FrameReader reader;
  std::string got;
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t size = std::min<std::size_t>(1 + random() % (100U << 10), out.size() - at);
    feed(reader, BytesView{out}.subspan(at, size));
    at += size;
    for (;;) {
      const auto frame = reader.next();
      ASSERT_TRUE(frame) << frame.error().what;
      if (!*frame) break;
      BytesView data;
      ASSERT_TRUE(decode(**frame, data));
      got += as_text(data);
    }
  }
  EXPECT_TRUE(got == sent);
  EXPECT_LE(reader.space(1).size(), 4U << 20) << "it needs a few times the longest frame";
}

TEST(Wire, ShortenedPayloadIsCorruptNotACrash) {
  for (const Message& message : one_of_each()) {
    Bytes out;
    append_message(out, message, data_of(message));
    const BytesView payload = BytesView{out}.subspan(kFrameHeadBytes, out.size() - kFrameHeadBytes - kFrameTailBytes);
    for (std::size_t size = 0; size < payload.size(); ++size) {
      BytesView data;
      EXPECT_FALSE(decode(FrameView{type_of(message), payload.first(size)}, data));
    }
  }
}

TEST(Wire, MutatedPayloadNeverCrashes) {
  std::mt19937 random{4711};
  for (const Message& message : one_of_each()) {
    Bytes out;
    append_message(out, message, data_of(message));
    for (int round = 0; round < 500; ++round) {
      Bytes payload{out.begin() + kFrameHeadBytes, out.end() - kFrameTailBytes};
      if (payload.empty()) break;
      for (int change = 0; change < 3; ++change) payload[random() % payload.size()] = static_cast<std::uint8_t>(random());
      BytesView data;
      (void)decode(FrameView{type_of(message), payload}, data);  // any answer is fine, a crash is not
    }
  }
}

/// As decode gives it back.
bool is_taken(const Message& message) {
  Bytes out;
  append_message(out, message);
  const BytesView payload = BytesView{out}.subspan(kFrameHeadBytes, out.size() - kFrameHeadBytes - kFrameTailBytes);
  BytesView data;
  const auto back = decode(FrameView{type_of(message), payload}, data);
  return back && *back == message;
}

TEST(Wire, ANameOrAPathThatLeadsElsewhereIsCorrupt) {
  const auto with_name = [](const std::string& name) {
    return std::vector<Message>{Operation{Create{.name = name}},
                                Operation{Link{.name = name}},
                                Operation{Remove{.name = name}},
                                Operation{Rename{.name = name, .new_name = "n"}},
                                Operation{Rename{.name = "n", .new_name = name}},
                                Listing{.entries = {{.name = "n"}, {.name = name}}},
                                Active{.entries = {{.trees = {"n", name}}}},
                                VerifyNames{.entries = {{name, 0100000}}},
                                VerifyAnswer{.names = {{name, kMissing}}}};
  };
  const auto with_path = [](const std::string& path) {
    const TreePath at{.root = 0, .path = path};
    return std::vector<Message>{Operation{Bind{.at = at}}, Active{.entries = {{.at = at}}}, VerifyNames{.at = at},
                                VerifyState{.at = at}, VerifyZones{.at = at}};
  };
  for (const std::string name : {"n", "...", ".n", "..n", "\xff\n"}) {
    for (const Message& message : with_name(name)) EXPECT_TRUE(is_taken(message)) << name << " " << message.index();
  }
  for (const std::string& name : {std::string{}, std::string{"."}, std::string{".."}, std::string{"a/b"}, std::string{"a\0", 2}}) {
    for (const Message& message : with_name(name)) EXPECT_FALSE(is_taken(message)) << name << " " << message.index();
  }
  for (const std::string path : {"", "a", "a/b/c", ".a/..b"}) {
    for (const Message& message : with_path(path)) EXPECT_TRUE(is_taken(message)) << path << " " << message.index();
  }
  for (const std::string& path : {std::string{"/a"}, std::string{"a/"}, std::string{"/"}, std::string{"a//b"}, std::string{"a/../b"},
                                  std::string{".."}, std::string{"a/."}, std::string{"a\0b", 3}}) {
    for (const Message& message : with_path(path)) EXPECT_FALSE(is_taken(message)) << path << " " << message.index();
  }
}

TEST(Wire, EveryFlippedBitOfAFrameIsSeen) {
  Bytes out;
  append_message(out, Operation{Write{.id = {1}, .offset = 2, .size = 3}}, as_bytes("abc"));
  for (std::size_t bit = 0; bit < out.size() * 8; ++bit) {
    Bytes broken = out;
    broken[bit / 8] = static_cast<std::uint8_t>(broken[bit / 8] ^ (1U << (bit % 8)));
    FrameReader reader;
    feed(reader, broken);
    const auto frame = reader.next();
    EXPECT_TRUE(!frame || !frame->has_value()) << bit;
  }
}

}  // namespace
}  // namespace safekit::wire
