#include "schema/check/validate.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/check/judge.h"
#include "schema/codec/suggest.h"
#include "schema/codec/words.h"

namespace safekit::check {
namespace {

using spec::Mode;
using spec::Module;

constexpr std::uint32_t kModuleIdMax = 9999;  // the ports derived from it stay below 65536
constexpr std::size_t kMirrorNodes = 2;

std::vector<std::string_view> lan_names(const spec::Cluster& cluster) {
  std::vector<std::string_view> names;
  for (const spec::Lan& lan : cluster.lans) names.push_back(lan.name.value);
  return names;
}

void judge_identity(const Judge& judge, const Module& module, const Surroundings& around) {
  const bool ours = around.dialect == spec::Dialect::Ours;
  if (module.metadata.name.empty() && ours) {
    judge.error("metadata", "no-value", "metadata.name has no value", "add 'name: ...'");
  } else if (!module.metadata.name.empty() && !is_plain_name(module.metadata.name)) {
    judge.error("metadata.name", "bad-name", fmt::format("'{}' is no module name", module.metadata.name),
                "use up to 63 letters, digits, '_', '.', '-'");
  }
  if (module.id == 0 && ours) {
    judge.error("spec", "no-value", "spec.id has no value", "add 'id: 1', a number that no other module has");
  } else if (module.id > kModuleIdMax) {
    judge.error(
        "spec.id", "invalid-value",
        fmt::format("invalid value '{}' for the attribute id (expected: 1 to {})", module.id, kModuleIdMax));
  }
  for (const Module* other : around.others) {
    if (other->metadata.name == module.metadata.name || module.id == 0 || other->id != module.id) continue;
    judge.error("spec.id", "id-in-use",
                fmt::format("id {} is that of module {}", module.id, other->metadata.name),
                "ports derive from it: each module needs its own");
  }
}

void judge_module_nodes(const Judge& judge, const Module& module, const Surroundings& around) {
  if (module.nodes.empty() && around.dialect == spec::Dialect::Ours) {
    judge.error("spec", "no-value", "spec.nodes has no value", "add 'nodes: [node1, node2]'");
    return;
  }
  if (module.mode == Mode::Mirror && !module.nodes.empty() && module.nodes.size() != kMirrorNodes) {
    judge.error("spec.nodes", "node-count",
                fmt::format("a mirror runs on exactly two nodes, {} are given", module.nodes.size()));
  }
  if (module.mode == Mode::Farm && module.nodes.size() == 1) {
    judge.error("spec.nodes", "node-count", "a farm runs on two nodes or more, one is given");
  }
  std::set<NodeName> seen;
  for (std::size_t i = 0; i < module.nodes.size(); ++i) {
    const NodeName& node = module.nodes[i];
    const std::string at = fmt::format("spec.nodes[{}]", i);
    if (!seen.insert(node).second)
      judge.error(at, "node-twice", fmt::format("node {} is given twice", node.str()));
    if (around.cluster == nullptr) continue;
    const auto known = nodes_of(*around.cluster);
    if (std::find(known.begin(), known.end(), node) == known.end()) {
      judge.error(at, "node-unknown",
                  fmt::format("node {} is not defined in the cluster configuration", node.str()),
                  codec::suggestion(node.str(), names_of(known)));
    }
  }
}

void judge_default_primary(const Judge& judge, const Module& module, const Surroundings& around) {
  const std::string& name = module.default_primary;
  if (name == "alone" || name == "lastprim") return;
  std::vector<NodeName> known = module.nodes;
  if (known.empty() && around.cluster != nullptr) known = nodes_of(*around.cluster);
  if (known.empty() || std::find(known.begin(), known.end(), NodeName{name}) != known.end()) return;
  std::vector<std::string_view> words = names_of(known);
  words.insert(words.end(), {"alone", "lastprim"});
  judge.error("spec.defaultPrimary", "default-primary",
              fmt::format("defaultprim '{}' is neither alone, lastprim nor a node of the module", name),
              codec::suggestion(name, words));
}

void judge_sections(const Judge& judge, const Module& module) {
  const auto refuse = [&](bool given, bool allowed, std::string_view tag, std::string_view field) {
    if (!given || allowed) return;
    judge.error(fmt::format("spec.{}", field), "section-mode",
                fmt::format("<{}> not allowed in mode {}", tag, codec::word(module.mode)), "remove it");
  };
  const bool mirror = module.mode == Mode::Mirror;
  const bool farm = module.mode == Mode::Farm;
  refuse(module.heart.has_value(), mirror, "heart", "heartbeats");
  refuse(module.farm.has_value(), farm, "farm", "farm");
  refuse(module.replication.has_value(), mirror, "rfs", "replication");
  refuse(module.vip.has_value(), mirror || farm, "vip", "vip");
  if (mirror && (!module.heart || module.heart->lans.empty())) {
    judge.error(module.heart ? "spec.heartbeats" : "spec", "no-heartbeat",
                "at least one <heartbeat> required", "add 'heartbeats: [...]' with names of networks");
  }
  if (farm && (!module.farm || module.farm->lans.empty())) {
    judge.error(module.farm ? "spec.farm" : "spec", "no-lan", "at least one <lan> required in <farm>",
                "add 'farm: [...]' with names of networks");
  }
}

/// The network exists, has every node of the module, and, for heartbeats, addresses of one family.
void judge_network(const Judge& judge, const Module& module, const Surroundings& around, const LanName& name,
                   const std::string& path, bool one_family) {
  if (around.cluster == nullptr || name.empty()) return;
  const spec::Lan* lan = find_lan(*around.cluster, name);
  if (lan == nullptr) {
    judge.error(path, "network-unknown",
                fmt::format("network {} is not defined in the cluster configuration", name.str()),
                codec::suggestion(name.str(), lan_names(*around.cluster)));
    return;
  }
  std::set<Family> families;
  for (const NodeName& node : module.nodes) {
    const spec::NodeAddress* address = find_node(*lan, node);
    if (address == nullptr) {
      judge.error(path, "node-not-on-network",
                  fmt::format("node {} has no address on network {}", node.str(), name.str()),
                  "add it in the cluster configuration, or take another network");
      continue;
    }
    if (const auto family = family_of(address->address)) families.insert(*family);
  }
  if (one_family && families.size() > 1) {
    judge.error(path, "address-family",
                fmt::format("addresses of heartbeat {} must be all IPv4 or all IPv6", name.str()));
  }
}

void judge_heart(const Judge& judge, const Module& module, const Surroundings& around) {
  if (!module.heart) return;
  const spec::Heart& heart = *module.heart;
  std::set<std::string> idents;
  for (std::size_t i = 0; i < heart.lans.size(); ++i) {
    const spec::Heartbeat& heartbeat = heart.lans[i];
    const std::string at = fmt::format("spec.heartbeats.lans[{}]", i);
    const std::string ident = ident_of(heart, heartbeat);
    if (heartbeat.lan.empty() && heartbeat.legacy_servers.empty()) {
      judge.error(at, "no-value", "attribute name of <heartbeat> has no value",
                  "name a network of the cluster");
    }
    judge_network(judge, module, around, heartbeat.lan, at, true);
    if (!idents.insert(ident).second) {
      judge.error(at, "ident-twice", fmt::format("ident {} used twice for <heartbeat>", ident),
                  "give each its own");
    }
    if (timeout_of(heart, heartbeat) <= pulse_of(heart, heartbeat) ||
        pulse_of(heart, heartbeat) <= Duration{}) {
      judge.error(
          at, "timeout-pulse",
          fmt::format("timeout {} of heartbeat {} must exceed its pulse {}",
                      to_string(timeout_of(heart, heartbeat)), ident, to_string(pulse_of(heart, heartbeat))));
    }
    if (!heartbeat.legacy_servers.empty() && heartbeat.legacy_servers.size() != kMirrorNodes) {
      judge.error(at, "legacy-servers", "<heartbeat> needs two <server>, one for each node");
    }
    std::set<Family> families;
    for (const std::string& server : heartbeat.legacy_servers) {
      if (const auto family = family_of(server)) families.insert(*family);
    }
    if (families.size() > 1) {
      judge.error(at, "address-family",
                  fmt::format("addresses of heartbeat {} must be all IPv4 or all IPv6", ident));
    }
    if (heartbeat.ident == "flow" && !module.replication) {
      judge.warning(at, "flow-without-rfs", "heartbeat flow without <rfs>: the module will stay in WAIT",
                    "give it another ident");
    }
    const LanName flow = module.replication ? module.replication->lan : LanName{};
    if (heartbeat.ident == "flow" && !flow.empty() && !heartbeat.lan.empty() && flow != heartbeat.lan) {
      judge.error("spec.replication.lan", "flow-network",
                  "<flow> and heartbeat flow designate different networks", "leave <flow> out");
    }
  }
}

void judge_networks(const Judge& judge, const Module& module, const Surroundings& around) {
  bool legacy = false;
  bool current = false;
  if (module.heart) {
    for (const spec::Heartbeat& heartbeat : module.heart->lans) {
      legacy |= !heartbeat.legacy_servers.empty();
      current |= !heartbeat.lan.empty();
    }
  }
  if (module.replication) {
    legacy |= !module.replication->legacy_flow_servers.empty();
    current |= !module.replication->lan.empty();
    judge_network(judge, module, around, module.replication->lan, "spec.replication.lan", true);
  }
  if (module.farm) {
    for (std::size_t i = 0; i < module.farm->lans.size(); ++i) {
      const spec::FarmLan& lan = module.farm->lans[i];
      const std::string at = fmt::format("spec.farm.lans[{}]", i);
      legacy |= !lan.legacy_nodes.empty();
      current |= !lan.name.empty() && lan.legacy_nodes.empty();
      if (lan.name.empty() && lan.legacy_nodes.empty()) {
        judge.error(at, "no-value", "attribute name of <lan> has no value", "name a network of the cluster");
      }
      if (lan.legacy_nodes.empty()) judge_network(judge, module, around, lan.name, at, false);
    }
    if (module.farm->pulse <= Duration{})
      judge.error("spec.farm.pulse", "invalid-value", "pulse must not be zero");
  }
  if (legacy && current) {
    judge.error(module.farm ? "spec.farm" : "spec.heartbeats", "mixed-syntax",
                "legacy <server>/<node> and name= cannot be used together", "use name= everywhere");
  }
}

void judge_scripts(const Judge& judge, const Module& module) {
  if (!module.scripts) return;
  const spec::Scripts& scripts = *module.scripts;
  for (std::size_t i = 0; i < scripts.environment.size(); ++i) {
    const std::string& name = scripts.environment[i].name;
    if (name.empty() || is_variable_name(name)) continue;
    judge.error(fmt::format("spec.scripts.environment[{}]", i), "bad-name",
                fmt::format("'{}' is no name of an environment variable", name),
                "use letters, digits and '_', a letter first");
  }
  bool starts = false;
  for (const auto& [name, text] : scripts.files) {
    starts |= name.starts_with("start_") || name.starts_with("stop_");
    if (name.find('/') != std::string::npos || name.empty() || name == "." || name == "..") {
      judge.error(fmt::format("spec.scripts.files.{}", name), "bad-name",
                  fmt::format("'{}' is no name of a script", name), "a file name without '/'");
    }
  }
  if (!scripts.enabled && starts) {
    judge.warning("spec.scripts", "no-user", "<user> absent, scripts will not be executed", "add <user/>");
  }
}

void judge_virtual_hostnames(const Judge& judge, const Module& module) {
  std::set<std::string> files;
  for (std::size_t i = 0; i < module.virtual_hostnames.size(); ++i) {
    const spec::VirtualHostname& name = module.virtual_hostnames[i];
    if (name.env_file.empty() || files.insert(name.env_file).second) continue;
    judge.error(fmt::format("spec.virtualHostnames[{}].envFile", i), "env-file-twice",
                fmt::format("envfile {} is used for two names", name.env_file));
  }
}

}  // namespace

void validate(const Module& module, const Surroundings& around, const codec::Positions& positions,
              doc::Problems& problems) {
  const Judge judge{positions, problems};
  judge_identity(judge, module, around);
  judge_module_nodes(judge, module, around);
  judge_default_primary(judge, module, around);
  judge_sections(judge, module);
  judge_networks(judge, module, around);
  judge_heart(judge, module, around);
  judge_vip(judge, module, around);
  judge_replication(judge, module, around);
  judge_scripts(judge, module);
  judge_virtual_hostnames(judge, module);
  judge_errd(judge, module, around);
  judge_checkers(judge, module, around);
  judge_failover_rules(judge, module);
}

}  // namespace safekit::check
