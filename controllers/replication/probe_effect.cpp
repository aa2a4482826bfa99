// The process that asks the mount of a primary.
#include "controllers/replication/effect.h"

namespace safekit::replication {

std::optional<Duration> ReplicationController::probe_mount(const std::string& module, Live& live) {
  const auto spec = ports_.store.module(ModuleName{module});
  const auto& report = live.observed.report;
  const bool checks = spec != nullptr && spec->replication && spec->replication->check_timeout > Duration{0} &&
                      spec->replication->check_interval > Duration{0};
  const bool serving = checks && report && report->settled && report->role == control::ReplicaRole::Primary &&
                       live.memory.wish.role == status::ReplicaOrder::Role::Primary;
  const ProbeStep step = step_probe(live.probe,
                                    {.replica = live.observed.running,
                                     .serving = serving,
                                     .timeout = checks ? spec->replication->check_timeout : Duration{0},
                                     .interval = checks ? spec->replication->check_interval : Duration{0}},
                                    ports_.clock.mono_now());
  live.probe = step.next;
  live.observed.hung = step.next.hung;
  if (!step.start || !live.configure) return step.recheck_after;
  ProcessSpec ask{.argv = {"/usr/bin/stat", "-f", "--"}, .environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}};
  for (const auto& directory : live.configure->directories) ask.argv.push_back(directory.path);
  const MonoTime begun = live.probe.begun;
  const auto process = ports_.processes.start(ask, [this, module, begun](const ExitStatus&) {
    // Of an earlier replica: nobody waits for it any more.
    const auto found = modules_.find(module);
    if (found == modules_.end() || found->second.probe.begun != begun) return;
    found->second.probe.process.reset();
    wake_(engine::Request{module});
  });
  // One that cannot be started says nothing of the mount.
  if (process) live.probe.process = *process;
  return step.recheck_after;
}

}  // namespace safekit::replication
