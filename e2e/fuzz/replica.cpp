// What a secondary does with messages that can be read: no order and no content of them may reach beyond the replicated directory.
// As root; in a file system of its own.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "datapath/linux/clock.h"
#include "datapath/replica/applier.h"
#include "datapath/replica/copy_look.h"
#include "datapath/resync/zone_digest.h"
#include "datapath/wire/one_of_each.h"
#include "e2e/fuzz/fuzz.h"

namespace safekit::fuzz {
namespace {

using replica::Applier;
using wire::Message, wire::Operation;

constexpr std::uint32_t kZoneBytes = 4096;
constexpr std::uint64_t kQuotaBytes = 1U << 20;
const std::string kTree = "/tree";
const std::string kLost = "/lost";
const std::string kOutside = "/outside";
const std::string kProcesses = "/proc";
const std::string kExcluded = "x";

/// All that the program's thread reaches by a path from here on; its working directory stays, with what libFuzzer keeps there.
class Playground {
 public:
  Playground() {
    const std::string top = std::filesystem::temp_directory_path();
    const bool made = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                      ::mount("fuzz", top.c_str(), "tmpfs", MS_NODEV | MS_NOSUID, "size=32m,nr_inodes=8192") == 0 &&
                      ::mkdir((top + kProcesses).c_str(), 0755) == 0 &&
                      ::mount("proc", (top + kProcesses).c_str(), "proc", 0, nullptr) == 0 && ::chroot(top.c_str()) == 0;
    SK_ASSERT(made);  // only root can
    for (const std::string& path : {kTree, kOutside, kOutside + "/directory"}) std::filesystem::create_directory(path);
    std::ofstream{kOutside + "/precious"} << "precious";
    SK_ASSERT(applier_.open());
  }
  Playground(const Playground&) = delete;
  Playground& operator=(const Playground&) = delete;

  /// A new connection to the same copy.
  Applier& begin() {
    SK_ASSERT(applier_.reset());
    std::filesystem::remove_all(kLost);
    for (const auto& entry : std::filesystem::directory_iterator{kTree}) std::filesystem::remove_all(entry);
    std::filesystem::create_directories(kTree + "/d/e");
    std::filesystem::create_directory(kTree + "/" + kExcluded);
    std::ofstream{kTree + "/f"} << std::string(2 * kZoneBytes, 'f');
    std::filesystem::create_hard_link(kTree + "/f", kTree + "/d/g");
    std::filesystem::create_symlink(kOutside, kTree + "/d/up");
    std::filesystem::create_symlink("../outside/precious", kTree + "/s");
    before_ = outside();
    return applier_;
  }
  void check() const { SK_ASSERT(outside() == before_); }

  /// Where what the copy alone has is set aside.
  std::unique_ptr<replica::LostKeeper> keeper() {
    auto made = replica::LostKeeper::make(
        {.directory = kLost, .quota = kQuotaBytes, .head = {.module = "AM", .lost = {1}}, .roots = applier_.root_descriptors()}, clock_);
    SK_ASSERT(made);
    return std::move(*made);
  }

 private:
  /// But for the tree, for what is set aside, and for the processes.
  static std::vector<std::string> outside() {
    std::vector<std::string> all;
    const auto note = [&all](const std::string& path) {
      struct stat st {};
      SK_ASSERT(::lstat(path.c_str(), &st) == 0);
      all.push_back(fmt::format("{} {:o} {} {} {} {} {}.{}", path, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size,
                                st.st_ctim.tv_sec, st.st_ctim.tv_nsec));
    };
    for (const auto& entry : std::filesystem::directory_iterator{"/"}) {
      if (entry.path() != kTree && entry.path() != kLost && entry.path() != kProcesses) note(entry.path());
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator{kOutside}) note(entry.path());
    std::ranges::sort(all);
    return all;
  }
  static replica::Exclusions rules() {
    auto compiled = replica::Exclusion::compile({{.path = kExcluded}, {.path = {}, .regex = "^x."}});
    SK_ASSERT(compiled);
    return {*compiled};
  }

  linux_os::SystemClock clock_{};
  Applier applier_{{kTree}, rules()};
  std::vector<std::string> before_{};
};

/// What the receiver does with each; false when the connection would end.
struct Receiver {
  Applier& applier;
  Playground& place;
  replica::CopyLook look{applier};
  BytesView data{};
  bool sets_aside{false};

  bool operator()(const wire::ResyncBegin& begin) {
    applier.begin_resync(begin.mode);
    if (sets_aside && begin.mode != wire::ResyncMode::None) applier.set_aside_by(place.keeper());
    return true;
  }
  bool operator()(const wire::ResyncEnd&) {
    if (!applier.leftovers().empty()) {
      applier.clear_leftovers();
      return true;
    }
    if (auto* keeper = applier.keeper()) SK_ASSERT(keeper->end());
    applier.end_resync();
    return true;
  }
  bool operator()(const Operation& operation) { return applier.apply(operation, data).has_value(); }
  bool operator()(const wire::InodeState& state) { return applier.apply(state, data).has_value(); }
  bool operator()(wire::Listing&& listing) { return applier.apply(std::move(listing)).has_value(); }
  bool operator()(const wire::ZoneDigests& digests) {
    if (const auto fd = applier.descriptor(digests.id)) {
      (void)resync::digest_zones((*fd)->get(), kZoneBytes, digests.first, digests.digests.size());
    }
    return true;
  }
  bool operator()(wire::VerifyNames&& names) {
    const auto answer = look.names(std::move(names));
    SK_ASSERT(!answer || answer->names.size() <= wire::kVerifyNamesMax);
    return true;
  }
  bool operator()(const wire::VerifyState& state) {
    (void)look.state(state);
    return true;
  }
  bool operator()(const wire::VerifyZones& zones) {
    const auto answer = replica::compare_zones(look.file(zones.at), zones, kZoneBytes);
    SK_ASSERT(answer.zones.size() <= zones.digests.size());
    return true;
  }
  template <class Other>
  bool operator()(Other&&) {
    return true;
  }
};

/// The first byte: whether there is something to be set aside. Then each message: type, u16 length, payload.
void play_stream(BytesView input) {
  if (input.empty()) return;
  static Playground place;
  Receiver receiver{.applier = place.begin(), .place = place, .sets_aside = input[0] % 2 == 1};
  ByteReader in{input.subspan(1)};
  for (bool goes_on = true; goes_on && !in.at_end();) {
    const std::uint8_t type = in.u8();
    const std::size_t size = in.u16();
    const BytesView payload = in.raw(std::min(size, in.rest().size()));
    if (!wire::is_known(type)) continue;
    receiver.data = {};
    auto message = wire::decode({.type = static_cast<wire::FrameType>(type), .payload = payload}, receiver.data);
    if (message) goes_on = std::visit(receiver, std::move(*message));
  }
  place.check();
}

Bytes played(std::uint8_t first, const std::vector<Message>& messages) {
  ByteWriter out;
  out.u8(first);
  for (const Message& message : messages) {
    Bytes frame;
    wire::append_message(frame, message, wire::data_of(message));
    const BytesView payload = BytesView{frame}.subspan(wire::kFrameHeadBytes, frame.size() - wire::kFrameHeadBytes - wire::kFrameTailBytes);
    out.u8(static_cast<std::uint8_t>(wire::type_of(message)));
    out.u16(static_cast<std::uint16_t>(payload.size()));
    out.raw(payload);
  }
  return out.take();
}

std::vector<Bytes> streams() {
  const wire::Attributes file{.mode = 0100640, .uid = 1, .gid = 2, .size = 4, .mtime = {5, 6}};
  const InodeId root{1};
  const std::vector<Message> mirrored{
      Operation{wire::Bind{.id = {10}, .at = {0, "d"}, .identity = 10}},
      Operation{wire::Bind{.id = {11}, .at = {0, "d/g"}, .identity = 11}},
      Operation{wire::Create{.parent = {10}, .name = "n", .id = {12}, .attributes = file, .identity = 12}},
      Operation{wire::Create{.parent = root, .name = "m", .id = {13}, .attributes = {.mode = 0040755}, .identity = 13}},
      Operation{wire::Create{.parent = {13}, .name = "l", .id = {14}, .attributes = {.mode = 0120777}, .link_target = "/outside", .identity = 14}},
      Operation{wire::Create{.parent = {13}, .name = "c", .id = {15}, .attributes = {.mode = 0020600, .device = 259}, .identity = 15}},
      Operation{wire::Write{.id = {12}, .offset = 1, .size = 3}},
      Operation{wire::Link{{12}, {13}, "n2"}},
      Operation{wire::Rename{{12}, {10}, "n", {13}, "n3", 0}},
      Operation{wire::Rename{{10}, root, "d", root, "m", 2}},
      Operation{wire::SetAttributes{{11}, 15, file}},
      Operation{wire::SetXattr{{11}, "user.a", "b", false}},
      Operation{wire::Fallocate{{11}, 3, 0, 4096}},
      Operation{wire::Remove{root, "s", false}},
      Operation{wire::Remove{{10}, "e", true}},
      Operation{wire::Forget{{12}}},
      wire::VerifyNames{.at = {0, "d"}, .entries = {{"g", 0100000}, {"q", 0040000}}},
      wire::VerifyState{.at = {0, "f"}, .attributes = file},
      wire::VerifyZones{.at = {0, "f"}, .digests = {{3, 4}, {5, 6}}},
  };
  const auto copied = [&](wire::ResyncMode mode) {
    return std::vector<Message>{
        wire::ResyncBegin{mode},
        wire::Listing{.directory = root,
                      .entries = {{.name = "d", .id = {10}, .identity = 10, .mode = 0040755},
                                  {.name = "f", .id = {11}, .identity = 11, .mode = 0100600, .size = 4},
                                  {.name = "n", .id = {12}, .identity = 12, .mode = 0100600},
                                  {.name = "s", .id = {16}, .identity = 16, .mode = 0120777, .link_target = "/"}}},
        wire::Listing{.directory = {10}, .entries = {{.name = "h", .id = {11}, .identity = 11, .mode = 0100600, .links = 2}}},
        wire::InodeState{.id = {12}, .attributes = file, .with_content = true, .xattrs = {{"user.a", "b"}}},
        wire::InodeState{.id = {11}, .attributes = file},
        Operation{wire::Write{.id = {11}, .offset = 4096, .size = 3}},
        Operation{wire::Rename{{11}, {10}, "h", root, "f", 0}},
        wire::ZoneDigests{.id = {11}, .digests = {{3, 4}, {5, 6}}},
        wire::ResyncEnd{},
        Operation{wire::Remove{root, "n", false}},
    };
  };
  std::vector<Bytes> seeds{played(0, mirrored)};
  for (const auto mode : {wire::ResyncMode::Full, wire::ResyncMode::Zones, wire::ResyncMode::Chosen}) {
    for (const std::uint8_t first : {0, 1}) seeds.push_back(played(first, copied(mode)));
  }
  return seeds;
}

constexpr std::array kParsers{Parser{.name = "stream", .bytes_max = 2048, .read = play_stream, .seeds = streams}};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
