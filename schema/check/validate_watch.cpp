#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "schema/check/judge.h"
#include "schema/codec/words.h"
#include "schema/rule/lua.h"
#include "schema/rule/parse.h"
#include "schema/spec/witness_url.h"

namespace safekit::check {
namespace {

using spec::CheckerAction;
using spec::Module;
using spec::When;

constexpr std::array<std::string_view, 5> kStandardClasses{"pre", "prim", "both", "second", "sec"};
constexpr std::array<std::string_view, 4> kStandardActions{"stopstart", "restart", "stop", "noaction"};
constexpr std::size_t kCommandBytesMax = 15;  // what the kernel keeps of a command name
constexpr std::size_t kServiceBytesMax = 63;

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view text) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

void judge_ident(const Judge& judge, const std::string& path, std::string_view tag, const std::string& ident,
                 std::set<std::string>& seen) {
  if (ident.empty()) return;  // reported as missing
  if (ident.find_first_of(" \t\r\n\"'") != std::string::npos) {
    judge.error(path + ".ident", "bad-name",
                fmt::format("ident '{}' of <{}> has a space or a quote", ident, tag));
  }
  if (!seen.insert(ident).second) {
    judge.error(path + ".ident", "ident-twice", fmt::format("ident {} used twice for <{}>", ident, tag),
                "give each its own");
  }
}

/// wait needs a checker that goes on in WAIT (pre); the others need a running application (all but pre).
void judge_action(const Judge& judge, const std::string& path, std::string_view tag, When when,
                  CheckerAction action) {
  if (action == CheckerAction::NoAction || (when == When::Pre) == (action == CheckerAction::Wait)) return;
  judge.error(
      path + ".action", "action-when",
      fmt::format("action {} not allowed with when={} in <{}>", codec::word(action), codec::word(when), tag),
      when == When::Pre ? "use wait or noaction" : "use stop, stopstart, restart or noaction");
}

void judge_interval(const Judge& judge, const std::string& path, Duration interval) {
  if (interval <= Duration{}) judge.error(path + ".interval", "invalid-value", "interval must not be zero");
}

void judge_tcp_and_ping(const Judge& judge, const Module& module) {
  std::set<std::string> idents;
  for (std::size_t i = 0; i < module.checkers.tcp.size(); ++i) {
    const spec::TcpChecker& tcp = module.checkers.tcp[i];
    const std::string at = fmt::format("spec.checkers.tcp[{}]", i);
    judge_ident(judge, at, "tcp", tcp.ident, idents);
    judge_interval(judge, at, tcp.interval);
    if (tcp.action) judge_action(judge, at, "tcp", when_of(module, tcp), *tcp.action);
    if (!tcp.action && when_of(module, tcp) == When::Pre) {
      judge.warning(at, "action-when", "<tcp> with when=pre has no action: wait is taken",
                    "write action=\"wait\"");
    }
  }
  idents.clear();
  for (std::size_t i = 0; i < module.checkers.ping.size(); ++i) {
    const spec::PingChecker& ping = module.checkers.ping[i];
    const std::string at = fmt::format("spec.checkers.ping[{}]", i);
    judge_ident(judge, at, "ping", ping.ident, idents);
    judge_interval(judge, at, ping.interval);
    if (ping.action) judge_action(judge, at, "ping", ping.when, *ping.action);
    if (!ping.action && ping.when != When::Pre) {
      judge.error(at, "action-when",
                  fmt::format("<ping> with when={} needs an action", codec::word(ping.when)),
                  "add stop, stopstart, restart or noaction");
    }
  }
}

void judge_local_checkers(const Judge& judge, const Module& module) {
  std::set<std::string> idents;
  for (std::size_t i = 0; i < module.checkers.interfaces.size(); ++i) {
    judge_ident(judge, fmt::format("spec.checkers.interfaces[{}]", i), "intf",
                module.checkers.interfaces[i].ident, idents);
  }
  idents.clear();
  std::set<std::string> generated;
  if (module.vip) {
    for (const spec::VipInterface& interface : module.vip->interfaces) {
      for (const spec::VirtualAddress& address : interface.addresses) {
        if (address.check) generated.insert(address.address);
      }
    }
  }
  for (std::size_t i = 0; i < module.checkers.ip.size(); ++i) {
    const spec::IpChecker& ip = module.checkers.ip[i];
    const std::string at = fmt::format("spec.checkers.ip[{}]", i);
    judge_ident(judge, at, "ip", ip.ident, idents);
    judge_interval(judge, at, ip.interval);
    if (generated.count(ip.ident) != 0) {
      judge.warning(at + ".ident", "generated-checker",
                    fmt::format("<ip> {} replaces the checker that the virtual address makes", ip.ident));
    }
  }
}

void judge_other_checkers(const Judge& judge, const Module& module) {
  std::set<std::string> idents;
  for (std::size_t i = 0; i < module.checkers.custom.size(); ++i) {
    const spec::CustomChecker& custom = module.checkers.custom[i];
    const std::string at = fmt::format("spec.checkers.custom[{}]", i);
    judge_ident(judge, at, "custom", custom.ident, idents);
    judge_action(judge, at, "custom", when_of(module, custom), custom.action);
    if (custom.interval) judge_interval(judge, at, *custom.interval);
  }
  idents.clear();
  for (std::size_t i = 0; i < module.checkers.modules.size(); ++i) {
    const spec::ModuleChecker& other = module.checkers.modules[i];
    const std::string at = fmt::format("spec.checkers.modules[{}]", i);
    judge_ident(judge, at, "module", ident_of(other), idents);
    judge_interval(judge, at, other.interval);
    if (!other.name.empty() && other.name.str() == module.metadata.name) {
      judge.error(at + ".name", "checks-itself", fmt::format("<module> {} checks itself", other.name.str()));
    }
  }
}

/// The two nodes of the module cannot judge each other: the witness is a third one.
void judge_witness_node(const Judge& judge, const Module& module, const Surroundings& around, const std::string& node,
                        const std::string& at) {
  const auto has = [&node](const std::vector<NodeName>& nodes) { return std::ranges::find(nodes, NodeName{node}) != nodes.end(); };
  if (has(module.nodes)) {
    judge.error(at, "split-brain", fmt::format("the witness '{}' of <splitbrain> is a node of the module itself", node),
                "name another node of the cluster");
  } else if (around.cluster != nullptr && !has(nodes_of(*around.cluster))) {
    judge.error(at, "split-brain", fmt::format("the cluster has no node '{}', the witness of <splitbrain>", node));
  }
}

/// Several URLs lead to one witness: two that grant leases without knowing of each other would grant two.
void judge_witness_urls(const Judge& judge, const std::vector<std::string>& urls, spec::WitnessKey key, const std::string& at) {
  std::string secret;
  for (const std::string& text : urls) {
    const auto url = spec::parse_witness_url(text, key);
    if (!url) {
      judge.error(at, "split-brain", fmt::format("witness '{}' of <splitbrain>: {}", text, url.error().what));
    } else if (!secret.empty() && url->secret != secret) {
      judge.error(at, "split-brain", "the URLs of <splitbrain> lead to different witnesses (their keys differ)",
                  "one witness grants the leases of a module; for several machines use etcd");
      return;
    } else {
      secret = url->secret;
    }
  }
}

void judge_split_brain(const Judge& judge, const Module& module, const Surroundings& around) {
  if (!module.checkers.split_brain) return;
  const spec::SplitBrainChecker& witness = *module.checkers.split_brain;
  const std::string at = "spec.checkers.splitBrain";
  const std::string where = at + ".witnesses";
  if (module.mode != spec::Mode::Mirror)
    judge.error(at, "section-mode", fmt::format("<splitbrain> not allowed in mode {}", codec::word(module.mode)));
  if (witness.lease < spec::SplitBrainChecker::kLeaseMin || witness.lease > spec::SplitBrainChecker::kLeaseMax) {
    judge.error(at + ".lease", "invalid-value",
                fmt::format("lease of <splitbrain> must be from {} to {}", to_string(spec::SplitBrainChecker::kLeaseMin),
                            to_string(spec::SplitBrainChecker::kLeaseMax)));
  }
  if (witness.witnesses.empty()) judge.error(where, "split-brain", "<splitbrain> names no witness", "put addresses into arg");
  if (witness.exec == "ping") {
    if (judge.is_given(at + ".lease"))
      judge.warning(at + ".lease", "split-brain", "lease of <splitbrain> is ignored with exec ping: an echo grants nothing");
  } else if (witness.exec == "node") {
    if (witness.witnesses.size() > 1) judge.error(where, "split-brain", "<splitbrain> names more than one node", "name one");
    for (const std::string& node : witness.witnesses) judge_witness_node(judge, module, around, node, where);
  } else if (witness.exec == "http") {
    judge_witness_urls(judge, witness.witnesses, spec::WitnessKey::Needed, where);
  } else if (witness.exec == "etcd") {
    judge_witness_urls(judge, witness.witnesses, spec::WitnessKey::None, where);
  } else if (witness.exec == "fence") {
    if (judge.is_given(at + ".lease"))
      judge.warning(at + ".lease", "split-brain", "lease of <splitbrain> is ignored with exec fence: a node that was switched off stays so");
    if (!witness.witnesses.empty() && !witness.witnesses.front().starts_with('/')) {
      judge.error(where, "split-brain", fmt::format("program '{}' of <splitbrain> must be an absolute path", witness.witnesses.front()),
                  "name the program that switches the other node off, then its arguments");
    }
  } else {
    judge.error(at + ".exec", "split-brain",
                fmt::format("exec '{}' of <splitbrain> must be ping (or, beyond SafeKit, http, node, etcd or fence)", witness.exec));
  }
}

void judge_process(const Judge& judge, const Module& module, const Surroundings& around,
                   const spec::Process& process, const std::string& at) {
  const std::string watch_class = class_of(module, process);
  const bool handler = !is_one_of(kStandardActions, process.action);
  if (handler && is_one_of(kStandardClasses, watch_class)) {
    judge.warning(at + ".action", "handler-class",
                  fmt::format("the handler {} of <proc> {} should have a class of its own, not {}",
                              process.action, process.name, watch_class));
  }
  if (!process.restart_services.empty() && (!process.service || process.action != "restart")) {
    judge.warning(
        at + ".restartServices", "restart-services",
        fmt::format("restart_services of <proc> {} is ignored without service=yes and action=restart",
                    process.name));
  }
  const std::size_t size = process.name.size();
  if (process.service && size > kServiceBytesMax) {
    judge.error(at + ".name", "long-name",
                fmt::format("service name {} is longer than 63 characters", process.name));
  } else if (!process.service && process.name_regex.empty()) {
    const std::size_t max = around.platform == Platform::Linux ? kCommandBytesMax : kServiceBytesMax;
    if (size > max) {
      judge.warning(at + ".name", "long-name",
                    fmt::format("process name {} is longer than {} characters: only these are compared",
                                process.name, max),
                    "use nameregex or argregex");
    }
  }
  if (around.platform == Platform::Windows && !process.name_regex.empty()) {
    judge.warning(at + ".nameRegex", "no-effect", "attribute nameregex has no effect on this system");
  }
  judge_regex(judge, at + ".nameRegex", "proc", process.name_regex);
  judge_regex(judge, at + ".argRegex", "proc", process.arg_regex);
}

}  // namespace

void judge_checkers(const Judge& judge, const Module& module, const Surroundings& around) {
  judge_tcp_and_ping(judge, module);
  judge_local_checkers(judge, module);
  judge_other_checkers(judge, module);
  judge_split_brain(judge, module, around);
}

void judge_errd(const Judge& judge, const Module& module, const Surroundings& around) {
  if (!module.errd) return;
  if (!module.scripts || !module.scripts->enabled) {
    judge.error("spec.errd", "errd-user", "<errd> requires <user/>",
                "without scripts there is nothing to restart: add 'scripts'");
  }
  if (module.errd->poll <= Duration{})
    judge.error("spec.errd.poll", "invalid-value", "polltimer must not be zero");
  std::set<std::string> names;
  for (std::size_t i = 0; i < module.errd->processes.size(); ++i) {
    const spec::Process& process = module.errd->processes[i];
    const std::string at = fmt::format("spec.errd.processes[{}]", i);
    if (process.name.empty()) continue;  // reported as missing
    if (!names.insert(process.name).second) {
      judge.warning(
          at + ".name", "process-twice",
          fmt::format("<proc> {} is given twice: both share the resource proc.{}, down when one is down",
                      process.name, process.name));
    }
    judge_process(judge, module, around, process, at);
  }
}

void judge_failover_rules(const Judge& judge, const Module& module) {
  if (!module.failover_rules) return;
  const spec::FailoverRules& rules = *module.failover_rules;
  if (rules.period <= Duration{}) {
    judge.error("spec.failoverRules.period", "period", "period must not be zero");
  } else if (rules.handle_time % rules.period != Duration{}) {
    judge.error("spec.failoverRules.handleTime", "period", "handle_time must be a multiple of period",
                fmt::format("period is {}", to_string(rules.period)));
  }
  for (std::size_t i = 0; i < rules.rules.size(); ++i) {
    const std::string& text = rules.rules[i];
    const auto peers = module.mode == spec::Mode::Mirror ? rule::Peers::One : rule::Peers::Several;
    const auto problems = rule::is_lua(text) ? rule::run_lua(text, peers).problems : rule::parse(text, peers).problems;
    for (const rule::Problem& problem : problems) {
      judge.error(fmt::format("spec.failoverRules.rules[{}]", i), "failover-rule",
                  fmt::format("line {}, column {} of these rules: {}", problem.line, problem.column, problem.what), problem.fix);
    }
  }
}

}  // namespace safekit::check
