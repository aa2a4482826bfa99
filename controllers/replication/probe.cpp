#include "controllers/replication/probe.h"

#include <utility>

namespace safekit::replication {

ProbeStep step_probe(const Probe& probe, const ProbeInput& input, MonoTime now) {
  ProbeStep step{.next = probe};
  Probe& next = step.next;
  if (!input.replica) {
    step.next = {};  // one that hangs still ends with the mount
    return step;
  }
  const bool began = input.serving && !std::exchange(next.serving, input.serving);
  next.serving = input.serving;
  if (!input.serving) return step;
  if (began && !next.process) next.begun = now;
  const Duration since = now - next.begun;
  if (next.process) {
    next.hung = next.hung || since >= input.timeout;
    if (!next.hung) step.recheck_after = input.timeout - since;
    return step;
  }
  next.hung = false;
  step.start = since >= input.interval;
  step.recheck_after = step.start ? input.timeout : input.interval - since;
  if (step.start) next.begun = now;
  return step;
}

}  // namespace safekit::replication
