#include <sstream>

#include <fmt/format.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

constexpr int kVersion = 4;
constexpr int kVersionOldest = 2;  ///< without what came in 3: successors, and in 4: restorable

/// Flags in a fixed order, one character each.
std::string flags_text(std::initializer_list<bool> flags) {
  std::string text;
  for (const bool flag : flags) text += flag ? '1' : '0';
  return text;
}

}  // namespace

std::string encode(const Memory& memory) {
  const status::ReplicaOrder& wish = memory.wish;
  const status::ReplicationSection& last = memory.last;
  const ProcessIdentity process = memory.process.value_or(ProcessIdentity{});
  return fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", kVersion, process.pid, process.start_ticks, memory.started.ns,
      memory.number, static_cast<int>(wish.role),
      flags_text({wish.may_be_alone, wish.mark_out_of_date, wish.force_up_to_date, wish.full_resync}),
      memory.terminated ? memory.terminated->ns : -1, flags_text({memory.killed, memory.died}),
      flags_text(
          {last.up_to_date, last.inconsistent, last.ever_synchronised, last.has_data, last.last_primary, last.restorable}),
      last.generation, wish.pairing, memory.successors, memory.taking_over ? 1 : 0,
      memory.replacing, memory.replaced ? 1 : 0);
}

std::optional<Memory> decode(const std::string& text) {
  std::istringstream in{text};
  int version = 0;
  int role = 0;
  std::int64_t terminated = -1;
  ProcessIdentity process;
  std::string wish;
  std::string ends;
  std::string marks;
  Memory memory;
  std::uint64_t pairing = 0;
  in >> version >> process.pid >> process.start_ticks >> memory.started.ns >> memory.number >> role >> wish >>
      terminated >> ends >> marks >> memory.last.generation >> pairing;
  int taking_over = 0;
  int replaced = 0;
  if (in && version >= 3) in >> memory.successors >> taking_over >> memory.replacing >> replaced;
  if (!in || version < kVersionOldest || version > kVersion || role < 0 || role > 3 || wish.size() != 4 || ends.size() != 2 ||
      marks.size() != (version < 4 ? 5U : 6U)) {
    return std::nullopt;
  }
  if (process.pid != 0) memory.process = process;
  memory.wish = {.role = static_cast<status::ReplicaOrder::Role>(role),
                 .may_be_alone = wish[0] == '1',
                 .mark_out_of_date = wish[1] == '1',
                 .pairing = pairing,
                 .force_up_to_date = wish[2] == '1',
                 .full_resync = wish[3] == '1'};
  if (terminated >= 0) memory.terminated = MonoTime{terminated};
  memory.taking_over = taking_over == 1;
  memory.replaced = replaced == 1;
  memory.killed = ends[0] == '1';
  memory.died = ends[1] == '1';
  memory.last.up_to_date = marks[0] == '1';
  memory.last.inconsistent = marks[1] == '1';
  memory.last.ever_synchronised = marks[2] == '1';
  memory.last.has_data = marks[3] == '1';
  memory.last.last_primary = marks[4] == '1';
  memory.last.restorable = version >= 4 && marks[5] == '1';
  return memory;
}

}  // namespace safekit::replication
