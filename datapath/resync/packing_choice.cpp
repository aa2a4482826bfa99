#include "datapath/resync/packing_choice.h"

#include <algorithm>

namespace safekit::resync {

namespace {

constexpr double kFasterThanLine = 1.5;  ///< packing, than the line is, or it would be the bound itself
constexpr double kMuchFasterThanLine = 10;  ///< to try each piece costs no more than a tenth of a processor
constexpr double kShareOfNew = 0.25;     ///< in the average

double seconds_of(Duration time) { return std::chrono::duration<double>(time).count(); }

void average(double& into, double value) { into = into == 0 ? value : into + (value - into) * kShareOfNew; }

}  // namespace

void PackingChoice::look(const Look& look) {
  if (!has_looked_ || (!look.has_waited && look.now - last_.now > kForgetAfter)) {
    has_looked_ = true;
    score_ = 0;
    last_ = look;
    return;
  }
  const Duration since = look.now - last_.now;
  if (!is_due(look.now)) return;
  // What is neither with the peer's kernel, nor kept back by it, is on the line or waits for it. Of several connections the peer
  // reads one at a time and keeps the others back: at least so long it kept back all.
  const Duration all_held = look.held_back - last_.held_back - since * (static_cast<std::int64_t>(look.connections) - 1);
  const bool line_holds = look.unconfirmed * 2 >= look.unacknowledged && all_held * 2 < since;
  score_ = std::clamp(score_ + (line_holds ? 1 : -1), 0, kScoreMax);
  if (line_holds) average(line_rate_, static_cast<double>(look.sent - last_.sent) / seconds_of(since));
  if (score_ >= kScoreToBegin) is_packing_ = true;
  if (score_ == 0) is_packing_ = false;
  last_ = look;
}

bool PackingChoice::wants(MonoTime now) {
  if (is_packing_ && now - last_.now > kForgetAfter) {
    is_packing_ = false;
    score_ = 0;
  }
  if (!is_packing_) return false;
  if (pack_rate_ > 0 && now - packed_at_ > kTryAgainAfter) pack_rate_ = 0;
  if (pack_rate_ > 0 && pack_rate_ < line_rate_ * kFasterThanLine) return false;
  if (skip_ == 0) return true;
  --skip_;
  return false;
}

void PackingChoice::packed(std::uint64_t bytes, std::uint64_t packed_bytes, Duration took, MonoTime now) {
  average(pack_rate_, static_cast<double>(bytes) / std::max(seconds_of(took), 1e-6));
  packed_at_ = now;
  misses_ = packed_bytes < bytes ? 0 : std::min(misses_ + 1, kMissesMax);
  skip_ = pack_rate_ < line_rate_ * kMuchFasterThanLine ? (1U << misses_) - 1 : 0;
}

}  // namespace safekit::resync
