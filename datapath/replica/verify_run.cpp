#include "datapath/replica/verify_run.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "datapath/replica/tree_call.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {

namespace {

constexpr std::uint64_t kDigestBytes = 4U << 20;  ///< compared by one question
constexpr std::size_t kNamesBytesMax = 512U << 10;  ///< in one frame
constexpr std::uint64_t kInodeBytes = 4096;     ///< read to look at one
constexpr int kTimeRounds = 16;      ///< to find a directory whose time nobody changes
constexpr int kAgainRounds = 20;     ///< of second looks, while moves across `notReplicated` are under way

}  // namespace

VerifyRun::~VerifyRun() = default;

void VerifyRun::abort(const std::string& reason) {
  {
    const std::lock_guard lock{mutex_};
    if (!stopped_) stopped_ = reason;
  }
  wake_.notify_all();
}

Status VerifyRun::check_stopped() const {
  const std::lock_guard lock{mutex_};
  if (stopped_) return Error{Code::Unavailable, *stopped_};
  return {};
}

/// Until so much may be read. With no lock held.
Status VerifyRun::pause(std::uint64_t bytes) {
  const MonoTime now = clock_.mono_now();
  const MonoTime begin = pace_.begin_of(bytes, now);
  if (begin == now) return {};
  {
    std::unique_lock lock{mutex_};
    (void)wake_.wait_for(lock, begin - now, [this] { return stopped_.has_value(); });
  }
  return check_stopped();
}

Inspection VerifyRun::found() const {
  const std::lock_guard lock{mutex_};
  return found_;
}

void VerifyRun::answer(wire::VerifyAnswer&& answer) {
  {
    const std::lock_guard lock{mutex_};
    // What nobody asked for is not kept without bound.
    if (answers_.size() < 2 * kAskedMax) answers_[answer.sequence.value] = std::move(answer);
  }
  wake_.notify_all();
}

void VerifyRun::names_changed(const HandleKey& parent, const std::string& name) {
  const std::lock_guard lock{mutex_};
  if (!walking_) return;
  if (moved_.size() < kMovedMax) {
    moved_.insert({parent, name});
  } else {
    moved_too_much_ = true;
  }
}

Status VerifyRun::run() {
  const auto compare = [this]() -> Status {
    SK_TRY_VOID(start_roots());
    SK_TRY_VOID(take_moved());
    if (differences_.empty()) return {};
    return look_again();
  };
  Status done = compare();
  asked_.clear();
  stack_.clear();
  doubts_.clear();
  files_.clear();
  // A connection that is lost is noticed in many ways; the reason is one.
  if (const Status stopped = check_stopped(); !stopped) done = stopped;
  const std::lock_guard lock{mutex_};
  if (!done) return done;
  for (const auto& [entry, difference] : differences_) found_.differences.push_back(difference);
  std::ranges::sort(found_.differences, {}, [](const CopyDifference& d) { return std::pair{d.at.root, d.at.path}; });
  return {};
}

Status VerifyRun::start_roots() {
  for (std::uint32_t root = 0; root < inodes_.root_count(); ++root) {
    SK_TRY(const FileHandle handle, inodes_.handle_of(inodes_.root_id(root)));
    SK_TRY_VOID(list_by_key(to_key(handle)));
  }
  return {};
}

Status VerifyRun::walk() {
  for (;;) {
    SK_TRY_VOID(check_stopped());
    if (full_ && descend_) {
      stack_.clear();
      files_.clear();
    }
    SK_TRY(const bool done, asked_.size() < kAskedMax ? next_step() : Result<bool>{false});
    if (done) continue;
    if (asked_.empty()) return {};
    SK_TRY_VOID(await_answer());
  }
}

/// One more question, if there is any.
Result<bool> VerifyRun::next_step() {
  if (!doubts_.empty()) {
    const Doubt doubt = std::move(doubts_.front());
    doubts_.pop_front();
    if (!doubt.file->differs) SK_TRY_VOID(ask_zones(doubt.file, doubt.zone, 1, true));
    return true;
  }
  const bool has_room = listings_ < kListingsMax && files_.size() < kFilesMax;
  if (const auto moved = has_room ? next_moved() : std::nullopt) {
    SK_TRY_VOID(look_at(*moved));
    return true;
  }
  if (!files_.empty()) {
    SK_TRY_VOID(next_zones());
    return true;
  }
  if (stack_.empty()) return false;
  Directory& directory = stack_.back();
  if (directory.files.empty() && directory.directories.empty()) {
    stack_.pop_back();
    return true;
  }
  const bool is_file = !directory.files.empty();
  if (!is_file && listings_ >= kListingsMax) return false;
  auto& from = is_file ? directory.files : directory.directories;
  const Entry entry{directory.key, std::move(from.back())};
  from.pop_back();
  const PinRef pin = directory.pin;
  SK_TRY_VOID(look_in(pin, entry));
  return true;
}

std::uint64_t VerifyRun::bytes_of(const File& file, std::uint64_t first, std::uint64_t count) const {
  return std::min(count * settings_.zone_bytes, file.size - first * settings_.zone_bytes);
}

/// The next question about the content of the file.
Status VerifyRun::next_zones() {
  const std::uint64_t batch = std::clamp<std::uint64_t>(kDigestBytes / settings_.zone_bytes, 1, wire::kZoneDigestsMax);
  const FileRef file = files_.back();
  const std::uint64_t first = file->next;
  const std::uint64_t count = std::min(batch, file->zones - first);
  file->next += count;
  if (file->next >= file->zones || file->differs) files_.pop_back();
  if (file->differs) return {};
  this->count(&Inspection::bytes, bytes_of(*file, first, count));
  return ask_zones(file, first, count, false);
}

std::optional<VerifyRun::Entry> VerifyRun::next_moved() {
  const std::lock_guard lock{mutex_};
  if (moved_.empty() || !descend_ || full_) return std::nullopt;
  return std::move(moved_.extract(moved_.begin()).value());
}

void VerifyRun::count(std::uint64_t Inspection::*what, std::uint64_t more) {
  if (!descend_) return;
  const std::lock_guard lock{mutex_};
  found_.*what += more;
}

Result<VerifyRun::Pin> VerifyRun::pin_directory(const HandleKey& key) {
  SK_TRY(const FileHandle handle, from_key(key));
  const auto names = order_.names_shared();
  SK_TRY(const InodeId id, inodes_.pin(handle));
  return Pin{inodes_, id};
}

/// By its place alone, as it was noted. What is not there any more is in the stream.
Status VerifyRun::look_at(const Entry& entry) {
  if (entry.name.empty()) return list_by_key(entry.directory);
  auto directory = pin_directory(entry.directory);
  if (!directory) return directory.error().code == Code::NotFound ? Status{} : Status{directory.error()};
  return look_in(std::make_shared<const Pin>(std::move(*directory)), entry);
}

Status VerifyRun::look_in(const PinRef& directory, const Entry& entry) {
  SK_TRY_VOID(pause(kInodeBytes));
  SK_TRY_VOID(host_.wait_for_room());
  const auto look = [&]() -> Status {
    Pin pin;
    {
      const auto names = order_.names_shared();
      SK_TRY(const InodeId id, inodes_.pin(directory->id(), entry.name));
      pin = Pin{inodes_, id};
    }
    SK_TRY(const auto attributes, ask_state(pin.id(), entry, directory->id()));
    if (!attributes) return {};
    if (S_ISDIR(attributes->mode)) return descend_ ? list(entry, std::move(pin)) : Status{};
    count(&Inspection::files, 1);
    if (!S_ISREG(attributes->mode) || attributes->size == 0) return {};
    return begin_file(entry, directory, std::move(pin), *attributes);
  };
  Status looked = look();
  // Removed meanwhile: that is in the stream.
  if (!looked && looked.error().code == Code::NotFound) return {};
  return looked;
}

Result<std::optional<wire::TreePath>> VerifyRun::place_of(InodeId id, const Entry& entry, InodeId directory) {
  if (entry.name.empty()) {
    SK_TRY(auto path, inodes_.path_of(id));
    return std::optional{std::move(path)};
  }
  SK_TRY(const InodeId now, inodes_.pin(directory, entry.name));
  const Pin pin{inodes_, now};
  if (now != id) return std::optional<wire::TreePath>{};
  SK_TRY(auto path, inodes_.path_of(directory));
  path.path = path.path.empty() ? entry.name : path.path + "/" + entry.name;
  return std::optional{std::move(path)};
}

/// What it has, to be compared at this point of the stream. Nothing when it is not at its place any more.
Result<std::optional<wire::Attributes>> VerifyRun::ask_state(InodeId id, const Entry& entry, InodeId directory) {
  const auto content = order_.content(id);
  for (int round = 1;; ++round) {
    inodes_.tell_time(id);
    const auto names = order_.names_shared();
    // Only a directory's can have changed since: by a name in it.
    const bool told = inodes_.is_time_told(id);
    if (!told && round < kTimeRounds) continue;
    SK_TRY(auto at, place_of(id, entry, directory));
    if (!at) return std::optional<wire::Attributes>{};
    SK_TRY(const int opened, inodes_.open(id, O_PATH));
    const Fd fd{opened};
    wire::VerifyState state{.at = std::move(*at), .with_mtime = told};
    SK_TRY(state.attributes, tree::attributes_of(fd.get()));
    if (!entry.name.empty() && !inodes_.is_replicated(directory, entry.name, S_ISDIR(state.attributes.mode))) {
      return std::optional<wire::Attributes>{};
    }
    if (S_ISLNK(state.attributes.mode)) {
      SK_TRY(state.link_target, tree::link_target(fd.get(), ""));
    }
    SK_TRY(state.xattrs, tree::xattrs_of(fd.get()));
    SK_TRY(const SequenceNumber sequence, host_.put(state));
    asked(sequence, {.entry = entry, .at = std::move(state.at)});
    return std::optional{state.attributes};
  }
}

/// A directory that is not reached from the one above; of a replicated one also what it is itself.
Status VerifyRun::list_by_key(const HandleKey& key) {
  auto pin = pin_directory(key);
  if (!pin) return pin.error().code == Code::NotFound ? Status{} : Status{pin.error()};
  const Entry entry{.directory = key, .name = {}};
  if (pin->id().value <= inodes_.root_count()) SK_TRY_VOID(ask_state(pin->id(), entry, {}));
  Status listed = list(entry, std::move(*pin));
  if (!listed && listed.error().code == Code::NotFound) return {};
  return listed;
}

/// All names of a directory.
Status VerifyRun::list(const Entry& entry, Pin pin) {
  auto listed = std::make_unique<Directory>();
  SK_TRY(const FileHandle handle, inodes_.handle_of(pin.id()));
  listed->key = to_key(handle);
  const auto names = order_.names_exclusive();
  SK_TRY(listed->at, inodes_.path_of(pin.id()));
  SK_TRY(const int opened, inodes_.open(pin.id(), O_RDONLY | O_DIRECTORY));
  const Fd fd{opened};
  SK_TRY(const auto entries, tree::entries_of(fd.get()));
  wire::VerifyNames frame{.at = listed->at, .last = false};
  std::size_t bytes = 0;
  for (const std::string& name : entries) {
    struct stat st {};
    if (::fstatat(fd.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return system_error("stat", errno);
    }
    const bool is_directory = S_ISDIR(st.st_mode);
    if (!inodes_.is_replicated(pin.id(), name, is_directory)) continue;
    (is_directory ? listed->directories : listed->files).push_back(name);
    frame.entries.emplace_back(name, st.st_mode & S_IFMT);
    bytes += name.size() + 8;
    if (bytes < kNamesBytesMax) continue;
    SK_TRY_VOID(host_.put(frame));
    frame.entries.clear();
    bytes = 0;
  }
  frame.last = true;
  SK_TRY(const SequenceNumber sequence, host_.put(frame));
  wire::TreePath at = listed->at;
  listed->pin = std::make_shared<const Pin>(std::move(pin));
  ++listings_;
  asked(sequence, {.entry = entry, .at = std::move(at), .listed = std::move(listed)});
  count(&Inspection::directories, 1);
  return {};
}

Status VerifyRun::begin_file(const Entry& entry, const PinRef& directory, Pin pin, const wire::Attributes& attributes) {
  SK_TRY(const int opened, inodes_.open(pin.id(), O_RDONLY));
  auto file = std::make_shared<File>();
  file->entry = entry;
  file->directory = directory;
  file->pin = std::move(pin);
  file->fd = Fd{opened};
  file->size = attributes.size;
  file->zones = (attributes.size + settings_.zone_bytes - 1) / settings_.zone_bytes;
  files_.push_back(std::move(file));
  return {};
}

/// Not exact: read without a lock, so a write under way makes them differ in vain. What differs is asked about exactly then.
Status VerifyRun::ask_zones(const FileRef& file, std::uint64_t first, std::uint64_t count, bool exact) {
  SK_TRY_VOID(pause(bytes_of(*file, first, count)));
  SK_TRY_VOID(host_.wait_for_room());
  const InodeId id = file->pin.id();
  wire::VerifyZones zones{.exact = exact, .first = first};
  std::unique_lock<std::mutex> content;
  if (exact) content = order_.content(id);
  // Before names: nobody waits for this disk to make a file.
  SK_TRY(zones.digests, resync::digest_zones(file->fd.get(), settings_.zone_bytes, first, count));
  const auto names = order_.names_shared();
  auto at = place_of(id, file->entry, file->directory->id());
  if (!at && at.error().code == Code::NotFound) return {};
  SK_TRY_VOID(at);
  if (!*at) return {};
  zones.at = std::move(**at);
  SK_TRY(const SequenceNumber sequence, host_.put(zones));
  asked(sequence, {.entry = file->entry, .at = std::move(zones.at), .file = file, .first = first, .exact = exact});
  return {};
}

void VerifyRun::asked(SequenceNumber sequence, Question&& question) {
  asked_.emplace_back(sequence.value, std::move(question));
}

/// In the order of the questions.
Status VerifyRun::await_answer() {
  std::unique_lock lock{mutex_};
  const std::uint64_t wanted = asked_.front().first;
  const auto came = [&] { return stopped_.has_value() || answers_.contains(wanted); };
  if (!wake_.wait_for(lock, settings_.resync_timeout, came)) {
    return Error{Code::Timeout, "the other node does not answer; is its disk slow or stuck?"};
  }
  if (stopped_) return Error{Code::Unavailable, *stopped_};
  wire::VerifyAnswer answer = std::move(answers_.extract(wanted).mapped());
  lock.unlock();
  Question question = std::move(asked_.front().second);
  asked_.pop_front();
  take(question, answer);
  return {};
}

void VerifyRun::take(Question& question, wire::VerifyAnswer& answer) {
  if (answer.differs != 0) note(question.entry, question.at, answer.differs);
  if (question.listed != nullptr) {
    --listings_;
    Directory& listed = *question.listed;
    for (const auto& [name, differs] : answer.names) {
      wire::TreePath at = listed.at;
      at.path = at.path.empty() ? name : at.path + "/" + name;
      note({listed.key, name}, at, differs);
      std::erase(listed.files, name);
      std::erase(listed.directories, name);
    }
    full_ = full_ || (descend_ && answer.more_names);
    if (descend_ && answer.differs == 0) stack_.push_back(std::move(listed));
    return;
  }
  if (question.file == nullptr || answer.zones.empty() || question.file->differs) return;
  if (question.exact) {
    question.file->differs = true;
    note(question.entry, question.at, wire::kContent);
    return;
  }
  for (const std::uint32_t position : answer.zones) doubts_.push_back({question.file, question.first + position});
}

void VerifyRun::note(const Entry& entry, const wire::TreePath& at, unsigned differs) {
  const auto found = differences_.find(entry);
  if (descend_ ? found == differences_.end() && full_ : !first_.contains(entry)) return;
  CopyDifference& difference = found == differences_.end() ? differences_[entry] : found->second;
  if (difference.differs == 0) bytes_noted_ += at.path.size();
  difference.at = at;
  difference.differs = static_cast<std::uint16_t>(difference.differs | differs);
  full_ = full_ || differences_.size() >= kDifferencesMax || bytes_noted_ >= kDifferenceBytesMax;
}

/// What was moved to where the walk had been already, until nothing is left.
Status VerifyRun::take_moved() {
  for (std::size_t taken = 0;; ++taken) {
    SK_TRY_VOID(walk());
    const std::lock_guard lock{mutex_};
    if (moved_too_much_ || taken >= kMovedMax) {
      return Error{Code::Exhausted, "files are moved faster than they can be compared; verify when there is less to do"};
    }
    walking_ = !moved_.empty() && !full_;
    if (!walking_) return {};
  }
}

/// What is told of must differ twice, and not because a move across `notReplicated` sends content after the name.
Status VerifyRun::look_again() {
  const bool ended_early = full_;
  descend_ = false;
  for (int round = 0; round < kAgainRounds && !differences_.empty(); ++round) {
    {
      std::unique_lock lock{mutex_};
      (void)wake_.wait_for(lock, again_after_, [this] { return stopped_.has_value(); });
    }
    SK_TRY_VOID(check_stopped());
    const auto before = inodes_.moves_under_way();
    if (before.count > 0) continue;
    first_ = std::exchange(differences_, {});
    SK_TRY_VOID(second_look());
    for (auto at = differences_.begin(); at != differences_.end();) {
      at->second.differs &= first_.at(at->first).differs;
      at = at->second.differs == 0 ? differences_.erase(at) : std::next(at);
    }
    if (inodes_.moves_under_way() != before) continue;
    if (ended_early && differences_.empty()) break;
    const std::lock_guard lock{mutex_};
    found_.ended_early = ended_early;
    return {};
  }
  if (differences_.empty() && !ended_early) return {};
  return Error{Code::Exhausted, "the trees change faster than they can be compared; verify when there is less to do"};
}

Status VerifyRun::second_look() {
  constexpr unsigned kOfNames = wire::kMissing | wire::kAdditional | wire::kKind;
  HandleKey last;
  for (const auto& [entry, difference] : first_) {
    if ((difference.differs & kOfNames) != 0 && entry.directory != last) {
      last = entry.directory;
      SK_TRY_VOID(list_by_key(entry.directory));
    }
    SK_TRY_VOID(look_at(entry));
    SK_TRY_VOID(walk());
  }
  return {};
}

}  // namespace safekit::replica
