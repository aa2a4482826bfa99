// `resyncDetail`: one line for each file that a synchronisation has copied something of.
#include <algorithm>

#include "datapath/replica/primary.h"

namespace safekit::replica {

/// `message` was sent with `bytes` of content; the last one about a file sets its time. Caller holds content of its inode at most.
void Primary::note_copied(const wire::Message& message, std::uint64_t bytes) {
  if (const auto* state = std::get_if<wire::InodeState>(&message); state != nullptr && bytes > 0) return tell_copied(state->id, bytes);
  const auto* operation = std::get_if<wire::Operation>(&message);
  if (operation == nullptr) return;
  if (const auto* write = std::get_if<wire::Write>(operation)) {
    const std::lock_guard lock{mutex_};
    copied_[write->id.value] += bytes;
  }
  const auto* last = std::get_if<wire::SetAttributes>(operation);
  if (last == nullptr) return;
  std::uint64_t copied = 0;
  {
    const std::lock_guard lock{mutex_};
    if (const auto found = copied_.extract(last->id.value); !found.empty()) copied = found.mapped();
  }
  if (copied != 0) tell_copied(last->id, copied);
}

void Primary::tell_copied(InodeId id, std::uint64_t bytes) {
  const auto names = order_.names_shared();
  const auto path = inodes_->path_of(id);
  std::string name = path ? path->path : "(removed meanwhile)";
  std::ranges::replace_if(name, [](unsigned char c) { return c < ' '; }, '?');  // a log has lines
  log_.write(LogLevel::Info, "primary", fmt::format("copied file='{}' directory={} bytes={}", name, path ? path->root : 0, bytes));
}

}  // namespace safekit::replica
