// What a replica finds in the memory of the one before it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include <fuzzer/FuzzedDataProvider.h>

#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/ledger.h"
#include "e2e/fuzz/fuzz.h"

namespace safekit::fuzz {
namespace {

using fuse::Ledger;

const std::vector<std::string> kPaths{"/a"};

/// Of a ledger with some inodes and requests.
Fd written() {
  Ledger ledger{kPaths};
  ledger.agree({.resend = true});
  for (std::uint64_t id = fuse::InodeTable::kFirstId; id < fuse::InodeTable::kFirstId + 4; ++id) {
    const std::uint32_t slot = ledger.add({.id = id, .device = 1, .number = id, .type = S_IFREG, .handle = {.bytes = {1, 2, 3}}, .lookups = 1}, true);
    ledger.set_opens(slot, 1, true);
  }
  fuse::Attempt attempt{ledger.lend()};
  attempt.begin(0, 7, {});
  attempt.counted(InodeId{fuse::InodeTable::kFirstId});
  attempt.opened(InodeId{fuse::InodeTable::kFirstId});
  attempt.begin_change(9);
  return Fd{::dup(ledger.descriptor())};
}

/// As the next replica begins.
void take(Fd memory, std::uint64_t unique) {
  auto ledger = Ledger::take(std::move(memory), kPaths);
  if (!ledger) return;
  fuse::InodeTable table{2, **ledger};
  SK_ASSERT(table.add_root(std::filesystem::temp_directory_path()));
  table.keep_with({.keep = [](std::uint64_t, int) {}, .drop = [](std::uint64_t) {}});
  std::map<std::uint64_t, Fd> kept;
  kept.emplace(fuse::InodeTable::kFirstId, ::open("/", O_PATH | O_CLOEXEC));
  table.restore(**ledger, std::move(kept));
  for (const auto& [slot, inode] : (*ledger)->inodes()) {
    SK_ASSERT(inode.handle.bytes.size() <= Ledger::kHandleBytesMax);
    const auto found = table.find(inode.id);
    SK_ASSERT(found);
    (void)table.find(inode.device, inode.number);
    table.forget(InodeId{inode.id}, 1);
  }
  for (Ledger::Record* record : (*ledger)->earlier(0, unique)) {
    SK_ASSERT(record->counts <= Ledger::kCountsMax);
    for (std::uint32_t i = 0; i < record->counts; ++i) table.forget(InodeId{record->counted[i]}, 1);
  }
  fuse::Attempt attempt{(*ledger)->lend()};
  attempt.begin(0, unique, (*ledger)->earlier(0, unique));
  for (std::uint64_t id = 1; id < 10; ++id) (void)(*ledger)->add({.id = fuse::InodeTable::kFirstId + id, .lookups = 1}, true);
}

/// Bytes changed in the header, in a record of a request, or in a slot of an inode; and the length.
void read_ledger(BytesView input) {
  FuzzedDataProvider in{input.data(), input.size()};
  Fd memory = written();
  constexpr off_t kRecordsAt = 4096;
  constexpr off_t kSlotsAt = kRecordsAt + off_t{Ledger::kRequestsMax} * sizeof(Ledger::Record);
  const auto unique = in.ConsumeIntegralInRange<std::uint64_t>(6, 8);
  if (in.ConsumeBool()) SK_ASSERT(::ftruncate(memory.get(), in.ConsumeIntegralInRange<off_t>(0, kSlotsAt + (1 << 20))) == 0);
  while (in.remaining_bytes() > 0) {
    const off_t begin = in.PickValueInArray<off_t>({0, kRecordsAt, kSlotsAt});
    const off_t at = begin + in.ConsumeIntegral<std::uint8_t>();
    const std::string bytes = in.ConsumeRandomLengthString(64);
    (void)!::pwrite(memory.get(), bytes.data(), bytes.size(), at);
  }
  const Fd kept{::dup(memory.get())};
  take(std::move(memory), unique);
  take(Fd{::dup(kept.get())}, unique);
}

std::vector<Bytes> ledgers() { return {Bytes(1), Bytes(40, 1)}; }

constexpr std::array kParsers{Parser{.name = "ledger", .bytes_max = 512, .read = read_ledger, .seeds = ledgers}};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
