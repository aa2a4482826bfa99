#include "datapath/fuse/ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "schema/base/digest.h"

namespace safekit::fuse {
namespace {

constexpr std::uint64_t kMagic = 0x3130524544454c53;  // "SLEDER01"
constexpr std::size_t kHeaderBytes = 4096;
constexpr std::uint32_t kSlotsFirst = 4096;

constexpr std::uint32_t kNoHandles = 1;
constexpr std::uint32_t kLongHandles = 2;
constexpr std::uint32_t kNoMemory = 3;
constexpr std::uint32_t kUnkept = 4;
constexpr std::uint32_t kManyRequests = 5;
constexpr std::array<std::string_view, 6> kReasons{
    "", "the file system below gives no file handles", "the file handles of the file system below are too long",
    "there was no memory to note what is open", "safekit-keeper is gone",
    "there were too many requests at once"};

constexpr std::uint32_t kWritable = 1;
constexpr std::uint32_t kParting = 2;

/// What was stored before is stored for whoever looks after the death of this process: a dead process's stores are all
/// there, but only in the order in which the compiler left them.
void store_in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

Digest128 digest_of(const std::vector<std::string>& paths) {
  ByteWriter out;
  for (const std::string& path : paths) out.text(path);
  return digest128(out.bytes());
}

}  // namespace

struct Ledger::Header {
  std::uint64_t magic{kMagic};
  std::uint32_t version{kVersion};
  std::uint32_t broken{0};
  std::uint64_t paths_high{0};
  std::uint64_t paths_low{0};
  std::uint32_t epoch{1};
  std::uint32_t alone{0};
  std::uint32_t resend{0};
  std::uint32_t write_back{0};
  std::uint32_t slots{0};  ///< for which there is memory
  std::uint32_t next_record{0};
  std::uint64_t next_id{0};
  std::uint32_t long_setxattr{0};  ///< since version 2; zero in what version 1 has left
};

struct Ledger::Slot {
  std::uint64_t id{0};  ///< 0: free
  std::uint64_t device{0};
  std::uint64_t number{0};
  std::uint32_t lookups{0};
  std::uint32_t opens{0};
  std::int32_t handle_type{0};
  std::uint16_t root{0};
  std::uint8_t handle_bytes{0};
  std::uint8_t type{0};  ///< of the inode, S_IFMT >> 12
  std::uint32_t flags{0};
  std::uint8_t handle[kHandleBytesMax]{};
};

Ledger::Ledger(const std::vector<std::string>& paths) : memory_(::memfd_create("safekit-ledger", MFD_CLOEXEC)) {
  static_assert(sizeof(Header) <= kHeaderBytes && sizeof(Slot) == 88 && sizeof(Record) == 40 + 8 * kCountsMax);
  const Digest128 digest = digest_of(paths);
  const bool shared = ::ftruncate(memory_.get(), static_cast<off_t>(bytes_for(0))) == 0 && map();
  if (!shared) {
    base_ = ::mmap(nullptr, bytes_for(kInodesMax), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SK_ASSERT(base_ != MAP_FAILED);  // out of memory
  }
  new (base_) Header{.broken = shared ? 0 : kNoMemory, .paths_high = digest.high, .paths_low = digest.low};
  if (shared) (void)grow(kSlotsFirst);  // refused: broken, and told when it matters
}

Result<std::unique_ptr<Ledger>> Ledger::take(Fd memory, const std::vector<std::string>& paths) {
  struct stat found {};
  if (::fstat(memory.get(), &found) != 0 || static_cast<std::size_t>(found.st_size) < bytes_for(0)) {
    return Error{Code::Corrupt, "the notes of the process before are cut short"};
  }
  std::unique_ptr<Ledger> ledger{new Ledger{std::move(memory)}};
  if (!ledger->map()) return Error{Code::Io, fmt::format("mmap: {}", std::strerror(errno))};
  Header& header = ledger->header();
  if (header.magic != kMagic || header.version < kVersionMin || header.version > kVersion) {
    return Error{Code::Unsupported, "the notes of the process before are of another release"};
  }
  const Digest128 digest = digest_of(paths);
  if (header.paths_high != digest.high || header.paths_low != digest.low) {
    return Error{Code::Conflict, "the process before had other directories mounted"};
  }
  if (const std::string why = ledger->broken(); !why.empty()) return Error{Code::Conflict, why};
  if (header.slots > kInodesMax || static_cast<std::size_t>(found.st_size) < bytes_for(header.slots) ||
      header.next_record >= kRequestsMax) {
    return Error{Code::Corrupt, "the notes of the process before are damaged"};
  }
  ++header.epoch;
  ledger->used_ = header.slots;
  ledger->next_record_ = header.next_record;
  ledger->read_records();
  return ledger;
}

Ledger::~Ledger() {
  if (base_ != nullptr) ::munmap(base_, bytes_for(kInodesMax));
}

bool Ledger::map() {
  void* got = ::mmap(nullptr, bytes_for(kInodesMax), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory_.get(), 0);
  if (got == MAP_FAILED) return false;
  base_ = got;
  return true;
}

std::size_t Ledger::bytes_for(std::uint32_t slots) {
  return kHeaderBytes + kRequestsMax * sizeof(Record) + std::size_t{slots} * sizeof(Slot);
}

Ledger::Header& Ledger::header() const { return *static_cast<Header*>(base_); }
Ledger::Record* Ledger::records() const {
  return reinterpret_cast<Record*>(static_cast<std::uint8_t*>(base_) + kHeaderBytes);
}
Ledger::Slot& Ledger::slot(std::uint32_t index) const {
  SK_ASSERT(index < header().slots);
  return reinterpret_cast<Slot*>(static_cast<std::uint8_t*>(base_) + bytes_for(0))[index];
}

/// The one field that any thread may look at and change.
std::atomic_ref<std::uint32_t> Ledger::why() const { return std::atomic_ref{header().broken}; }

std::string Ledger::broken() const { return std::string{kReasons[std::min(why().load(), kManyRequests)]}; }

/// What may be mended hides nothing that cannot be.
void Ledger::break_it(std::uint32_t reason) {
  std::uint32_t before = why();
  while ((before == 0 || (before == kUnkept && reason != kUnkept)) && !why().compare_exchange_weak(before, reason)) {
  }
}

void Ledger::set_kept(bool kept) {
  if (!kept) break_it(kUnkept);
  std::uint32_t unkept = kUnkept;
  if (kept) why().compare_exchange_strong(unkept, 0);
}

void Ledger::agree(const Agreement& agreement) {
  header().resend = agreement.resend ? 1 : 0;
  header().write_back = agreement.write_back ? 1 : 0;
  header().long_setxattr = agreement.long_setxattr ? 1 : 0;
}

Agreement Ledger::agreement() const {
  return {.resend = header().resend != 0,
          .write_back = header().write_back != 0,
          .long_setxattr = header().long_setxattr != 0};
}
std::uint32_t Ledger::epoch() const { return header().epoch; }

void Ledger::note_alone(bool alone) {
  store_in_order();
  header().alone = alone ? 1 : 0;
  store_in_order();
}
bool Ledger::was_alone() const { return header().alone != 0; }

/// Memory is asked for here, where a refusal has an outcome; a store into memory that is not there would end the process.
bool Ledger::grow(std::uint32_t slots) {
  const off_t old = static_cast<off_t>(bytes_for(header().slots));
  if (slots > kInodesMax || ::fallocate(memory_.get(), 0, old, static_cast<off_t>(bytes_for(slots)) - old) != 0) {
    break_it(kNoMemory);
    return false;
  }
  header().slots = slots;
  return true;
}

std::uint32_t Ledger::add(const LedgerInode& inode, bool has_handle) {
  if (!has_handle) break_it(kNoHandles);
  if (inode.handle.bytes.size() > kHandleBytesMax || inode.handle.root > UINT16_MAX) break_it(kLongHandles);
  if (const std::uint32_t reason = why(); reason != 0 && reason != kUnkept) return kNoSlot;
  if (free_.empty() && used_ == header().slots && !grow(header().slots * 2)) return kNoSlot;
  std::uint32_t index = used_;
  if (free_.empty()) {
    ++used_;
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& to = slot(index);
  to.device = inode.device;
  to.number = inode.number;
  to.lookups = inode.lookups;
  to.opens = inode.opens;
  to.handle_type = inode.handle.type;
  to.root = static_cast<std::uint16_t>(inode.handle.root);
  to.handle_bytes = static_cast<std::uint8_t>(inode.handle.bytes.size());
  to.type = static_cast<std::uint8_t>(inode.type >> 12);
  to.flags = (inode.writable ? kWritable : 0) | (inode.parting ? kParting : 0);
  std::ranges::copy(inode.handle.bytes, to.handle);
  store_in_order();
  to.id = inode.id;
  return index;
}

void Ledger::set_lookups(std::uint32_t index, std::uint64_t lookups) {
  // What cannot be counted is never forgotten.
  if (index != kNoSlot) slot(index).lookups = static_cast<std::uint32_t>(std::min<std::uint64_t>(lookups, UINT32_MAX));
}

void Ledger::set_opens(std::uint32_t index, std::uint32_t opens, bool writable) {
  if (index == kNoSlot) return;
  Slot& to = slot(index);
  to.flags = (to.flags & ~kWritable) | (writable ? kWritable : 0);
  store_in_order();
  to.opens = opens;
}

void Ledger::set_parting(std::uint32_t index) {
  if (index == kNoSlot) return;
  slot(index).flags |= kParting;
  store_in_order();
}

void Ledger::remove(std::uint32_t index) {
  if (index == kNoSlot) return;
  slot(index).id = 0;
  free_.push_back(index);
}

std::vector<std::pair<std::uint32_t, LedgerInode>> Ledger::inodes() {
  std::vector<std::pair<std::uint32_t, LedgerInode>> found;
  free_.clear();
  for (std::uint32_t index = used_; index-- > 0;) {
    Slot& from = slot(index);
    if (from.id != 0 && from.lookups == 0 && from.opens == 0) from.id = 0;
    if (from.id == 0) {
      free_.push_back(index);
      continue;
    }
    const std::size_t bytes = std::min<std::size_t>(from.handle_bytes, kHandleBytesMax);
    found.emplace_back(index, LedgerInode{.id = from.id,
                                          .device = from.device,
                                          .number = from.number,
                                          .type = static_cast<mode_t>(from.type) << 12,
                                          .handle = {.root = from.root,
                                                     .type = from.handle_type,
                                                     .bytes = {from.handle, from.handle + bytes}},
                                          .lookups = from.lookups,
                                          .opens = from.opens,
                                          .writable = (from.flags & kWritable) != 0,
                                          .parting = (from.flags & kParting) != 0});
  }
  return found;
}

void Ledger::note_next_id(std::uint64_t id) { header().next_id = id; }
std::uint64_t Ledger::next_id() const { return header().next_id; }

/// Records of earlier processes are used again last, so that those of requests still to be repeated are there.
Ledger::Record* Ledger::lend() {
  const std::lock_guard lock{mutex_};
  if (lent_ == kRequestsMax) {
    break_it(kManyRequests);
    return nullptr;
  }
  ++lent_;
  if (!idle_.empty()) {
    Record* record = idle_.back();
    idle_.pop_back();
    return record;
  }
  Record* record = records() + next_record_;
  next_record_ = (next_record_ + 1) % kRequestsMax;
  header().next_record = next_record_;
  std::erase_if(earlier_, [record](const auto& entry) { return entry.second == record; });
  return record;
}

void Ledger::give_back(Record* record) {
  const std::lock_guard lock{mutex_};
  idle_.push_back(record);
  --lent_;
}

void Ledger::read_records() {
  for (std::uint32_t i = 0; i < kRequestsMax; ++i) {
    Record& record = records()[i];
    record.counts = std::min(record.counts, kCountsMax);
    if (record.unique != 0) earlier_.emplace(record.unique, &record);
  }
}

std::vector<Ledger::Record*> Ledger::earlier(std::uint32_t root, std::uint64_t unique) {
  const std::lock_guard lock{mutex_};
  std::vector<Record*> found;
  const auto [begin, end] = earlier_.equal_range(unique);
  for (auto entry = begin; entry != end; ++entry) {
    if (entry->second->root == root) found.push_back(entry->second);
  }
  return found;
}

void Attempt::begin(std::uint32_t root, std::uint64_t unique, const std::vector<Ledger::Record*>& before) {
  repeated_ = false;
  evidence_ = 0;
  for (const Ledger::Record* record : before) {
    if (record->begun == 0) continue;
    repeated_ = true;
    if (evidence_ == 0) evidence_ = record->evidence;
  }
  if (record_ == nullptr) return;
  record_->unique = 0;
  store_in_order();
  record_->root = root;
  record_->begun = repeated_ ? 1 : 0;
  record_->evidence = evidence_;
  record_->opens = 0;
  record_->counts = 0;
  store_in_order();
  record_->unique = unique;
  store_in_order();
}

void Attempt::counted(InodeId id) {
  if (record_ == nullptr || record_->counts >= Ledger::kCountsMax) return;
  record_->counted[record_->counts] = id.value;
  store_in_order();
  ++record_->counts;
  store_in_order();
}

void Attempt::uncounted() {
  if (record_ == nullptr || record_->counts == 0) return;
  --record_->counts;
  store_in_order();
}

void Attempt::opened(InodeId id) {
  if (record_ == nullptr) return;
  record_->opened = id.value;
  store_in_order();
  record_->opens = 1;
  store_in_order();
}

void Attempt::unopened() {
  if (record_ == nullptr) return;
  record_->opens = 0;
  store_in_order();
}

void Attempt::released(InodeId id) {
  if (record_ == nullptr) return;
  record_->opened = id.value;
  store_in_order();
  record_->opens = -1;
  store_in_order();
}

void Attempt::begin_change(std::uint64_t evidence) {
  if (record_ == nullptr || record_->begun != 0) return;
  record_->evidence = evidence;
  store_in_order();
  record_->begun = 1;
  store_in_order();
}

void Attempt::end_change() {
  if (record_ == nullptr) return;
  record_->begun = 0;
  store_in_order();
}

}  // namespace safekit::fuse
