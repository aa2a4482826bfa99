#include "controllers/replication/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/spec/defaults.h"

namespace safekit::replication {
namespace {

using OrderRole = status::ReplicaOrder::Role;

bool is_active(OrderRole role) {
  return role == OrderRole::Primary || role == OrderRole::Secondary;
}

control::ReplicaRole wire_role(OrderRole role) {
  switch (role) {
    case OrderRole::Primary: return control::ReplicaRole::Primary;
    case OrderRole::Secondary: return control::ReplicaRole::Secondary;
    case OrderRole::None:
    case OrderRole::Idle: return control::ReplicaRole::Idle;
  }
  return control::ReplicaRole::Idle;
}

control::Want want_of(std::uint64_t number, const status::ReplicaOrder& order) {
  control::Want want;
  want.order = number;
  want.role = wire_role(order.role);
  want.may_be_alone = order.may_be_alone;
  want.mark_out_of_date = order.mark_out_of_date;
  want.pairing = order.pairing;
  want.force_up_to_date = order.force_up_to_date;
  want.full_resync = order.full_resync;
  want.by_lease = order.by_lease;
  want.peer_left = order.peer_left;
  return want;
}

void end_process(Memory& memory, MonoTime now, Plan& plan) {
  if (!memory.terminated) {
    memory.terminated = now;
    plan.actions.push_back(SignalProcess{.kill = false});
    plan.recheck_after = kStopLimit;
  } else if (now < *memory.terminated + kStopLimit) {
    plan.recheck_after = *memory.terminated + kStopLimit - now;
  } else {
    if (!memory.killed) plan.actions.push_back(SignalProcess{.kill = true});
    memory.killed = true;
    plan.recheck_after = kStopLimit;
  }
}

/// Why nobody can follow a process that died in an active role; empty: somebody can.
std::string why_no_successor(const Observed& observed, const Memory& memory) {
  if (observed.not_taken) return observed.last_words;
  if (memory.successors >= kSuccessorsMax) return fmt::format("so did {} that followed", memory.successors);
  if (memory.wish.role == OrderRole::Secondary) return {};  // its journal says all
  // What the peer did meanwhile is not known: it may have become primary by right.
  return memory.heard ? "" : "safekitd was not there when it died";
}

/// The process of the memory is gone.
void note_exit(const Observed& observed, Memory& memory, Plan& plan) {
  const bool orderly = memory.terminated.has_value();
  if (!orderly && !observed.reported && memory.successors == 0) ++memory.early_exits;
  // One that has handed over is followed whatever the rest says; its successor only if it could take over.
  const bool expected = memory.replacing != 0 && !std::exchange(memory.replaced, true);
  if (!orderly && !expected && is_active(memory.wish.role) && !memory.died) {
    memory.untaken = why_no_successor(observed, memory);
    memory.died = !memory.untaken.empty();
    if (memory.died && memory.wish.role == OrderRole::Primary) plan.actions.push_back(LetGo{});
    if (!memory.died) ++memory.successors;
  }
  memory.taking_over = false;
  memory.process.reset();
  memory.terminated.reset();
  memory.killed = false;
}

void note_steadiness(const Observed& observed, Memory& memory, MonoTime now) {
  if (!memory.process || !observed.report || !observed.report->settled || observed.report->order != memory.number) return;
  if (!is_active(memory.wish.role)) return;
  memory.heard = true;
  memory.taking_over = false;
  if (observed.report->peer_synchronised || now >= memory.started + kSteady) memory.successors = 0;
}

/// `upgrade-datapath`: the process hands over to the program that is installed now.
void replace(const Desired& desired, const Observed& observed, Memory& memory, Plan& plan) {
  const auto finish = [&](std::string outcome) {
    plan.finished = FinishedOperation{.id = desired.replace, .outcome = std::move(outcome)};
    memory.replacing = 0;
    memory.replaced = false;
  };
  if (desired.replace == 0) {
    memory.replacing = 0;
    memory.replaced = false;
    return;
  }
  if (memory.died) return finish("the new process could not take over: " + memory.untaken);
  if (!desired.configured || desired.order.role == OrderRole::None) {
    return finish(memory.replaced ? "done" : "no replication process runs; the next start takes the program that is installed");
  }
  const bool settled = memory.process && observed.connected && observed.report && observed.report->settled &&
                       observed.sent_number == memory.number && observed.report->order == memory.number;
  if (memory.replacing == desired.replace) {
    if (settled && memory.replaced) finish("done");
    return;
  }
  if (!settled) return;  // a report will come
  if (!observed.report->replaceable) {
    return finish("its mounts cannot be taken over, replicad.log says why; stop the module and start it again instead");
  }
  memory.replacing = desired.replace;
  memory.replaced = false;
  plan.actions.push_back(HandOver{});
}

std::string_view phase_text(control::SyncPhase phase) {
  switch (phase) {
    case control::SyncPhase::None: return "";
    case control::SyncPhase::Connecting: return "connecting";
    case control::SyncPhase::Comparing: return "comparing";
    case control::SyncPhase::Copying: return "copying";
    case control::SyncPhase::Done: return "done";
  }
  return "";
}

void copy_report(const control::Report& report, status::ReplicationSection& section) {
  section.up_to_date = report.up_to_date;
  section.inconsistent = report.inconsistent;
  section.ever_synchronised = report.ever_synchronised;
  section.has_data = report.has_data;
  section.last_primary = report.last_primary;
  section.connected = report.connected;
  section.peer_synchronised = report.peer_synchronised;
  section.waiting_for_alone = report.waiting_for_alone;
  section.diverged = report.diverged;
  section.unverified = report.unverified;
  section.restorable = report.restorable;
  section.phase = report.unverified && report.peer_synchronised ? "verifying" : phase_text(report.phase);
  section.files_total = report.files_total;
  section.files_done = report.files_done;
  section.bytes_copied = report.bytes_copied;
  section.generation = report.generation.value;
  section.pairing = report.pairing;
  section.frozen = report.frozen;
  section.outside_writes = report.outside_writes;
  section.outside_last = report.outside_last;
  section.problem = report.problem;
  section.fatal = report.fatal;
}

}  // namespace

control::Lease lease_of(const status::LeaseSection& lease, status::LeaseNeed need) {
  using Answer = status::LeaseSection::Answer;
  const bool is_no = lease.answer == Answer::Refused || lease.answer == Answer::Silent;
  using enum status::LeaseNeed;
  return {.until = lease.answer == Answer::Granted ? lease.until : MonoTime{}, .refused = need == Forgone || (is_no && (need == Needed || need == Stands))};
}

Plan decide(const Desired& desired, const Observed& observed, const Memory& before, MonoTime now) {
  Plan plan;
  plan.memory = before;
  Memory& memory = plan.memory;
  if (memory.process && !observed.running) note_exit(observed, memory, plan);
  note_steadiness(observed, memory, now);
  if (observed.reported || desired.order.role == OrderRole::None) memory.early_exits = 0;
  const OrderRole role = desired.configured ? desired.order.role : OrderRole::None;
  if (!is_active(role)) {
    memory.died = memory.heard = false;
    memory.successors = 0;
    memory.untaken.clear();
  }

  // One that hangs would never say that it has left its role.
  const bool hangs = observed.hung && !is_active(role);
  if (memory.process && (role == OrderRole::None || memory.terminated || hangs)) {
    end_process(memory, now, plan);
    return plan;
  }
  replace(desired, observed, memory, plan);
  if (role == OrderRole::None || memory.died) return plan;
  if (!memory.process) {
    const bool at_once = memory.replacing != 0 || (memory.successors > 0 && memory.successors <= kSuccessorsAtOnce);
    // A start in the future was one of an earlier boot: the clock has begun anew since.
    const bool too_soon = !at_once && memory.started <= now && memory.started != MonoTime{} && now < memory.started + kRestartPause;
    if (too_soon) {
      plan.recheck_after = memory.started + kRestartPause - now;
      return plan;
    }
    memory.started = now;
    memory.taking_over = (memory.successors > 0 || memory.replacing != 0) && memory.wish.role == OrderRole::Primary;
    plan.actions.push_back(StartProcess{.take_over = memory.taking_over});
    plan.recheck_after = kConnectPause;
    return plan;
  }
  if (!observed.connected) {
    plan.actions.push_back(Connect{});
    plan.recheck_after = now < memory.started + kStartTime ? kConnectPause : kRestartPause;
    return plan;
  }
  if (memory.wish != desired.order || memory.number == 0) {
    memory.wish = desired.order;
    memory.number = std::max(memory.number, observed.report ? observed.report->order : 0) + 1;
  }
  if (desired.configure && observed.sent_configure != desired.configure) {
    plan.actions.push_back(SendConfigure{*desired.configure});
  }
  // Before the wish that may rest on it.
  if (desired.lease && observed.sent_lease != desired.lease) plan.actions.push_back(SendLease{*desired.lease});
  if (observed.sent_number != memory.number)
    plan.actions.push_back(SendWant{want_of(memory.number, memory.wish)});
  return plan;
}

status::ReplicationSection section_of(const Desired& desired, const Observed& observed,
                                      const Memory& memory) {
  status::ReplicationSection section;
  section.configured = desired.configured;
  if (!desired.configured) return section;
  section.died = memory.died;
  section.hung = observed.hung;
  section.successors = memory.successors;
  if (memory.died) section.problem = memory.untaken;
  section.order = memory.wish;
  section.up_to_date = memory.last.up_to_date;
  section.inconsistent = memory.last.inconsistent;
  section.ever_synchronised = memory.last.ever_synchronised;
  section.has_data = memory.last.has_data;
  section.last_primary = memory.last.last_primary;
  section.restorable = memory.last.restorable;
  section.generation = memory.last.generation;
  if (observed.running && observed.connected && observed.report) {
    copy_report(*observed.report, section);
    // Want number 1 may also be the answer to an older safekitd's: only what was sent on this connection
    // counts.
    section.settled = observed.report->settled && observed.sent_number == memory.number &&
                      observed.report->order == memory.number;
  }
  if (memory.early_exits >= kEarlyExits) {
    section.fatal = true;
    section.order = desired.order;
    section.problem = "the replication process ends as soon as it is started: " + observed.last_words;
  }
  section.alive = observed.running && (observed.reported || memory.terminated);
  if (section.problem.empty()) section.problem = desired.problem;
  return section;
}

std::vector<Line> lines_between(const status::ReplicationSection& before,
                                const status::ReplicationSection& after,
                                const std::vector<std::string>& directories) {
  std::vector<Line> lines;
  const auto copies = [](const std::string& phase) { return phase == "comparing" || phase == "copying"; };
  // A replica that this safekitd has just found again told its story to the one before.
  const bool secondary = after.order.role == OrderRole::Secondary && before.alive;
  if (after.died && !before.died) {
    lines.push_back(
        {"rfsplug", 'C', "The replication process died; the module is stopped and started again" +
                             (after.problem.empty() ? std::string{} : ": " + after.problem)});
  }
  if (after.successors > before.successors) {
    lines.push_back({"rfsplug", 'E', "The replication process died; another one takes its place, the application goes on"});
  }
  if (secondary && copies(after.phase) && !copies(before.phase)) {
    for (const std::string& directory : directories) {
      lines.push_back({"reintegre", 'E', "Updating directory tree from " + directory});
    }
  }
  if (secondary && after.phase == "verifying" && before.phase != "verifying") {
    lines.push_back({"rfsplug", 'E', "Reintegration ended; the primary compares both copies before this node is ready (verify=on)"});
  }
  if (secondary && after.phase == "done" && before.phase != "done" && after.peer_synchronised) {
    lines.push_back({"reintegre", 'E',
                     fmt::format("Copied {} files, {} KB", after.files_done, after.bytes_copied / 1024)});
    lines.push_back({"rfsplug", 'E', "Reintegration ended (synchronize)"});
  }
  if (after.diverged && !before.diverged) {
    const bool loses = after.order.role == OrderRole::Secondary;
    lines.push_back({"rfsplug", 'E',
                     loses ? "Both nodes have written since they were parted: what this one wrote alone is set aside, then overwritten"
                           : "Both nodes have written since they were parted: what the other one wrote alone is set aside there, "
                             "then overwritten"});
  }
  if (after.outside_writes > before.outside_writes) {
    lines.push_back({"rfsplug", 'E', fmt::format("This secondary's copy was changed, and not by the replication: {} ({} changes so far)",
                                                 after.outside_last, after.outside_writes)});
  }
  if (after.frozen && !before.frozen && after.order.role == OrderRole::Primary) {
    lines.push_back({"rfsplug", 'E', "Writes are held: neither the other node nor the witness allows them now"});
  }
  if (before.frozen && !after.frozen && after.order.role == OrderRole::Primary) lines.push_back({"rfsplug", 'E', "Writes go on"});
  if (after.problem != before.problem && !after.problem.empty())
    lines.push_back({"rfsplug", 'E', after.problem});
  return lines;
}

std::vector<std::pair<std::string, std::string>> resources_of(const status::ReplicationSection& section) {
  if (!section.configured) return {};
  const auto up = [](bool value) { return std::string{value ? "up" : "down"}; };
  return {{"rfs.uptodate", up(section.up_to_date)},
          {"rfs.degraded", up(false)},
          {"rfs.lastprimstate", up(section.last_primary)},
          {"rfs.rfssync", up(section.sync_ready)},
          {"usersetting.rfssyncmode", section.sync_mode},
          {"usersetting.rfssyncrole", section.sync_role},
          {"usersetting.rfssyncuid", section.sync_uid}};
}

Result<control::Configure> configure_of(const spec::Cluster& cluster, const spec::Module& module,
                                        const NodeName& node, const ClusterIdentity& identity) {
  const std::string& name = module.metadata.name;
  if (!module.replication)
    return Error{Code::Invalid, fmt::format("module '{}' replicates no directory", name)};
  const auto peer = std::ranges::find_if(module.nodes, [&](const NodeName& other) { return other != node; });
  if (module.nodes.size() != 2 || peer == module.nodes.end()) {
    return Error{Code::Invalid,
                 fmt::format("module '{}' names {} nodes; a mirror has two", name, module.nodes.size())};
  }
  const LanName lan_name = module.replication->lan.empty() ? spec::flow_lan(module) : module.replication->lan;
  const spec::Lan* lan = spec::find_lan(cluster, lan_name);
  if (lan == nullptr) {
    return Error{Code::Invalid,
                 fmt::format("replication of module '{}' names network '{}', which the cluster has not", name,
                             lan_name.str())};
  }
  const spec::NodeAddress* here = spec::find_node(*lan, node);
  const spec::NodeAddress* there = spec::find_node(*lan, *peer);
  if (here == nullptr || there == nullptr) {
    return Error{Code::Invalid, fmt::format("network '{}' has no address of node '{}'", lan_name.str(),
                                            (here == nullptr ? node : *peer).str())};
  }
  const spec::Replication& from = *module.replication;
  control::Configure to;
  to.module = name;
  to.node = node.str();
  to.peer = peer->str();
  to.cluster_id = identity.cluster_id;
  to.listen_address = here->local_address.empty() ? here->address : here->local_address;
  to.peer_address = there->address;
  to.port = spec::replication_port(module);
  for (const spec::ReplicatedDirectory& directory : from.directories) {
    std::vector<control::NotReplicated> rules;
    for (const spec::NotReplicated& rule : directory.not_replicated) rules.push_back({rule.path, rule.regex});
    to.directories.push_back({.path = directory.path, .must_exist = directory.to_check, .not_replicated = std::move(rules)});
  }
  switch (from.durability) {
    case spec::Durability::Barrier: to.durability = control::Durability::Barrier; break;
    case spec::Durability::Fsync: to.durability = control::Durability::Fsync; break;
    case spec::Durability::Write: to.durability = control::Durability::Write; break;
  }
  to.secondary_ack = from.secondary_ack == spec::SecondaryAck::Durable ? control::SecondaryAck::Durable
                                                                       : control::SecondaryAck::Received;
  to.write_back = from.write_back;
  to.idle_poll = from.idle_poll;
  to.verify_after_resync = from.verify_after_resync;
  to.write_flags = from.write_flags;
  to.lost_bytes_max = from.lost_writes_max;
  switch (from.snapshot) {
    case spec::Snapshot::Auto: to.snapshot = control::Snapshot::Auto; break;
    case spec::Snapshot::Always: to.snapshot = control::Snapshot::Always; break;
    case spec::Snapshot::Never: to.snapshot = control::Snapshot::Never; break;
  }
  to.send_timeout = from.send_timeout;
  to.lock_timeout = from.lock_timeout;
  to.resync_timeout = from.resync_timeout;
  // SafeKit's 8 MiB is a choice for its own file format; where nobody chose, the replica's finer zones stand.
  if (from.zone_size)
    to.zone_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(*from.zone_size, 1U << 30));
  to.resync_workers = from.resync_threads;
  to.resync_rate = std::min<std::uint64_t>(from.resync_bandwidth_kb.value_or(0), UINT64_MAX / 1024) * 1024;
  to.uses_zones = from.namespace_policy != 0;
  to.resync_detail = from.resync_detail;
  to.connections = from.connections;
  // Well within the time-out of the heartbeats, which waits for it.
  to.silence = spec::longest_heartbeat_timeout(module) * 2 / 3;
  to.leased = module.checkers.has_leases();
  // A secondary takes over no earlier than this time-out after it has heard its primary last.
  to.promise = spec::longest_heartbeat_timeout(module) * 9 / 10;
  to.certificate_file = identity.certificate_file;
  to.key_file = identity.key_file;
  to.authority_file = identity.authority_file;
  return to;
}

}  // namespace safekit::replication
