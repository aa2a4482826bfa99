#include "datapath/journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "datapath/journal/files.h"
#include "datapath/journal/record.h"

namespace safekit::journal {

using files::io_error, files::read_whole, files::sync_directory;

namespace {

constexpr std::uint32_t kMagic = 0x4a4b5253;  // "SRKJ"
constexpr std::uint32_t kVersion = 4;
constexpr std::uint32_t kRulesMagic = 0x554b5253;  // "SRKU"
constexpr std::uint32_t kRulesVersion = 1;

}  // namespace

Bytes encode(const State& state) {
  ByteWriter out;
  out.u64(state.generations.current.value);
  out.u64(state.generations.base.value);
  out.u32(static_cast<std::uint32_t>(state.generations.history.size()));
  for (const DataGeneration& generation : state.generations.history) out.u64(generation.value);
  out.text(state.peer);
  for (const bool flag : {state.up_to_date, state.inconsistent, state.ever_synchronised, state.last_primary, state.exact,
                          state.full_wanted}) {
    out.u8(flag ? 1 : 0);
  }
  out.text(state.exact_in_boot);
  for (const LogPoint& point : {state.base_log, state.own_log}) {
    out.u64(point.id);
    out.u64(point.checkpoint);
  }
  out.u64(static_cast<std::uint64_t>(state.watched.until));
  out.u64(static_cast<std::uint64_t>(state.watched.setting));
  out.text(state.watched.boot);
  out.u8(state.watched.left ? 1 : 0);
  out.u8(state.watched.unsettled ? 1 : 0);
  out.i64(state.since);
  out.text(state.backup);
  out.u64(state.policy);
  out.u8(static_cast<std::uint8_t>(state.kept));
  return seal_record(kMagic, kVersion, out.bytes());
}

Result<State> decode_state(BytesView bytes) {
  SK_TRY(const BytesView body, open_record(kMagic, kVersion, bytes));
  ByteReader in{body};
  State state;
  state.generations.current.value = in.u64();
  state.generations.base.value = in.u64();
  const std::uint32_t count = in.u32();
  if (count > kHistoryMax) return Error{Code::Corrupt, "history of data generations is too long"};
  for (std::uint32_t i = 0; i < count; ++i) state.generations.history.push_back({in.u64()});
  state.peer = in.text();
  for (bool* flag : {&state.up_to_date, &state.inconsistent, &state.ever_synchronised, &state.last_primary, &state.exact,
                     &state.full_wanted}) {
    *flag = in.u8() != 0;
  }
  state.exact_in_boot = in.text();
  if (in.ok() && !in.at_end()) {  // version 1 ends here
    for (LogPoint* point : {&state.base_log, &state.own_log}) {
      point->id = in.u64();
      point->checkpoint = in.u64();
    }
    state.watched.until = static_cast<std::int64_t>(in.u64());
    state.watched.setting = static_cast<std::int64_t>(in.u64());
    state.watched.boot = in.text();
    state.watched.left = in.u8() != 0;
    state.watched.unsettled = in.u8() != 0;
  }
  if (in.ok() && !in.at_end()) {  // and version 2 here
    state.since = in.i64();
    state.backup = in.text();
    state.policy = in.u64();
  }
  if (in.ok() && !in.at_end()) {  // and version 3 here
    state.kept = static_cast<State::Kept>(std::min<std::uint8_t>(in.u8(), static_cast<std::uint8_t>(State::Kept::Returning)));
  }
  if (!in.ok() || !in.at_end()) return Error{Code::Corrupt, "file has a wrong length"};
  return state;
}

Journal::~Journal() {
  if (lock_ >= 0) ::close(lock_);
}

Status Journal::open() {
  std::error_code failed;
  std::filesystem::create_directories(directory_, failed);
  if (failed) return Error{Code::Io, fmt::format("cannot make '{}': {}", directory_, failed.message())};
  const std::string lock_path = directory_ + "/lock";
  lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return io_error("cannot open", lock_path);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    return Error{Code::Conflict, fmt::format("another safekit-replicad works on '{}'; stop it first", directory_)};
  }
  const std::string path = directory_ + "/journal";
  auto bytes = read_whole(path);
  if (!bytes) {
    if (bytes.error().code == Code::NotFound) return {};
    return bytes.error();
  }
  auto state = decode_state(*bytes);
  if (!state) {
    return Error{state.error().code, fmt::format("journal '{}': {}{}", path, state.error().what,
                                                 state.error().code == Code::Unsupported
                                                     ? "; install the newer safekit again"
                                                     : "; the copy's state is unknown: remove the file to synchronise "
                                                       "this copy anew from the other node")};
  }
  state_ = std::move(*state);
  (void)files::reserve(directory_, "journal", *bytes);  // one of before has none; without it the next write needs room
  return {};
}

State Journal::state() const {
  const std::lock_guard lock{mutex_};
  return state_;
}

Status Journal::update(const std::function<void(State&)>& change) {
  const std::lock_guard lock{mutex_};
  State next = state_;
  change(next);
  if (next == state_) return {};
  SK_TRY_VOID(files::exchange(directory_, "journal", encode(next)));
  state_ = std::move(next);
  return {};
}

Result<std::uint64_t> Journal::rules() {
  const std::lock_guard lock{mutex_};
  const auto bytes = read_whole(directory_ + "/rules");
  if (!bytes) {
    if (bytes.error().code == Code::NotFound) return std::uint64_t{0};
    return bytes.error();
  }
  const auto body = open_record(kRulesMagic, kRulesVersion, *bytes);
  if (!body && body.error().code == Code::Unsupported) return body.error();
  ByteReader in{body ? *body : BytesView{}};
  const std::uint64_t digest = in.u64();
  return in.ok() && in.at_end() ? digest : UINT64_MAX;  // damaged: no rules are like these, so all is compared
}

Status Journal::keep_rules(std::uint64_t digest) {
  const std::lock_guard lock{mutex_};
  ByteWriter out;
  out.u64(digest);
  return files::replace(directory_, "rules", seal_record(kRulesMagic, kRulesVersion, out.bytes()));
}

Status Journal::save_zones(const ZoneMap& map) {
  const std::lock_guard lock{mutex_};
  return files::replace(directory_, "zones", map.encode(state_.generations.current));
}

Result<std::optional<ZoneMap>> Journal::take_zones() {
  const std::lock_guard lock{mutex_};
  const std::string path = directory_ + "/zones";
  auto bytes = read_whole(path);
  if (!bytes) {
    if (bytes.error().code == Code::NotFound) return std::optional<ZoneMap>{};
    return bytes.error();
  }
  if (::unlink(path.c_str()) != 0) return io_error("cannot remove", path);
  SK_TRY_VOID(sync_directory(directory_));
  auto map = ZoneMap::decode(*bytes, state_.generations.current);
  if (!map) return std::optional<ZoneMap>{};  // only a shortcut is lost: the copies are compared in full
  return std::optional{std::move(*map)};
}

std::optional<ZoneMap> Journal::see_zones() const {
  const std::lock_guard lock{mutex_};
  const auto bytes = read_whole(directory_ + "/zones");
  auto map = bytes ? ZoneMap::decode(*bytes, state_.generations.current) : Result<ZoneMap>{bytes.error()};
  if (!map) return std::nullopt;
  return std::move(*map);
}

}  // namespace safekit::journal
