#include "datapath/replica/window.h"

#include "schema/base/result.h"

namespace safekit::replica {

void Window::restart(SequenceNumber next) {
  entries_.clear();
  first_ = next.value;
  bytes_ = resync_bytes_ = 0;
}

void Window::push(const Touch& touch, std::uint32_t bytes, MonoTime now, Source source) {
  entries_.push_back({touch, bytes, source, now});
  (source == Source::Resync ? resync_bytes_ : bytes_) += bytes;
}

bool Window::acknowledge(SequenceNumber sequence, std::vector<Touch>& freed) {
  if (sequence.value >= first_ + entries_.size()) return false;
  while (!entries_.empty() && first_ <= sequence.value) {
    const Entry& oldest = entries_.front();
    std::uint64_t& counted = oldest.source == Source::Resync ? resync_bytes_ : bytes_;
    SK_ASSERT(counted >= oldest.bytes);
    counted -= oldest.bytes;
    if (oldest.touch.what == Touch::kForget) freed.push_back(oldest.touch);
    entries_.pop_front();
    ++first_;
  }
  return true;
}

std::vector<Touch> Window::unacknowledged() const {
  std::vector<Touch> touches;
  touches.reserve(entries_.size());
  for (const Entry& entry : entries_) touches.push_back(entry.touch);
  return touches;
}

}  // namespace safekit::replica
