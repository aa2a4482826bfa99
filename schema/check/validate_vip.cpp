#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include "schema/check/judge.h"
#include "schema/codec/suggest.h"

namespace safekit::check {
namespace {

using spec::InterfaceType;
using spec::Mode;
using spec::Module;
using spec::VipInterface;
using spec::VirtualAddress;
using spec::Where;

bool is_mac(std::string_view text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (i % 3 == 2 ? c != ':' : !hex) return false;
  }
  return true;
}

/// The lowest bit of the first byte says: to many.
bool is_multicast(std::string_view mac) {
  return std::string_view{"13579bBdDfF"}.find(mac[1]) != std::string_view::npos;
}

void judge_where(const Judge& judge, const Module& module, const Surroundings& around,
                 const VipInterface& interface, const VirtualAddress& address, const std::string& path) {
  const bool in_xml = around.dialect == spec::Dialect::SafekitXml;
  if (module.mode == Mode::Mirror && in_xml && !judge.is_given(path + ".where")) {
    judge.error(path, "no-value", "attribute where of <virtual_addr> has no value",
                "write where=\"one_side_alias\"");
  }
  const Where where = where_of(module, address);
  if (module.mode == Mode::Mirror && where == Where::Alias) {
    judge.error(path + ".where", "where",
                "where=\"alias\" is for farms: an address of a mirror is on one node only",
                "write one_side_alias");
  }
  if (module.mode == Mode::Farm && where != Where::Alias) {
    judge.error(path + ".where", "where", "an address of a farm is on every node",
                "write alias, or leave it out");
  }
  if (module.mode == Mode::Mirror && where == Where::OneSide) {
    judge.warning(
        path + ".where", "where",
        interface.type == InterfaceType::Real
            ? "where=\"one_side\" is old: the address becomes the preferred source address of the primary"
            : "where=\"one_side\" is old, and means one_side_alias on a virtual interface",
        "write one_side_alias if that is not needed");
  }
}

void judge_interface(const Judge& judge, const Module& module, const VipInterface& interface,
                     const std::string& path) {
  if (module.mode == Mode::Farm && interface.type == InterfaceType::Real) {
    judge.error(path + ".type", "interface-type", "<real_interface> is not for farms",
                "use <virtual_interface type=\"vmac_directed\">");
  }
  if (module.mode == Mode::Mirror && interface.type == InterfaceType::VmacDirected) {
    judge.error(path + ".type", "interface-type", "vmac_directed is not for mirrors",
                "use <real_interface>, or vmac_invisible for a fixed MAC address");
  }
  if (interface.addresses.empty()) {
    judge.error(path, "no-address", "at least one <virtual_addr> required in <interface>");
  }
  if (!interface.mac.empty() && !is_mac(interface.mac)) {
    judge.error(path + ".mac", "bad-mac", fmt::format("'{}' is no MAC address", interface.mac),
                "write it as 5A:FE:C0:A8:38:14");
  } else if (!interface.mac.empty() && is_multicast(interface.mac)) {
    judge.error(path + ".mac", "bad-mac", fmt::format("'{}' is a multicast MAC address", interface.mac),
                "its second digit must be even");
  }
  if (interface.arp_reroute && interface.arp_interval <= Duration{}) {
    judge.error(path + ".arpInterval", "invalid-value", "arpinterval must not be zero");
  }
}

void judge_other_modules(const Judge& judge, const Module& module, const Surroundings& around,
                         const VirtualAddress& address, const std::string& path) {
  for (const Module* other : around.others) {
    if (!other->vip || other->metadata.name == module.metadata.name || !share_a_node(module, *other))
      continue;
    for (const VipInterface& interface : other->vip->interfaces) {
      for (const VirtualAddress& used : interface.addresses) {
        if (used.address != address.address) continue;
        judge.error(path, "address-in-use",
                    fmt::format("virtual address {} already used by module {}", address.address,
                                other->metadata.name),
                    "each module needs its own");
      }
    }
  }
}

void judge_hosts(const Judge& judge, const Module& module, const Surroundings& around,
                 const spec::BalancingGroup& group, const std::string& path) {
  std::vector<NodeName> known = module.nodes;
  if (known.empty() && around.cluster != nullptr) known = nodes_of(*around.cluster);
  std::set<NodeName> seen;
  bool some_power = group.hosts.empty();
  for (std::size_t i = 0; i < group.hosts.size(); ++i) {
    const spec::GroupHost& host = group.hosts[i];
    const std::string at = fmt::format("{}.nodes[{}]", path, i);
    some_power |= host.power > 0;
    if (!known.empty() && std::find(known.begin(), known.end(), host.name) == known.end()) {
      judge.error(at, "node-unknown",
                  fmt::format("node {} of group {} is not defined in the cluster configuration",
                              host.name.str(), group.name),
                  codec::suggestion(host.name.str(), names_of(known)));
    }
    if (!seen.insert(host.name).second) {
      judge.error(at, "node-twice",
                  fmt::format("node {} is given twice in group {}", host.name.str(), group.name));
    }
  }
  if (!some_power) {
    judge.error(path, "no-power",
                fmt::format("every node of group {} has power 0: no one would answer", group.name));
  }
}

void judge_rule(const Judge& judge, const Module& module, const spec::BalancingRule& rule,
                const std::string& path) {
  bool declared = rule.virtual_address == "*";
  bool all_directed = true;
  bool v6 = false;
  for (const VipInterface& interface : module.vip->interfaces) {
    all_directed &= interface.type == InterfaceType::VmacDirected;
    for (const VirtualAddress& address : interface.addresses) {
      const bool meant = rule.virtual_address == "*" || rule.virtual_address == address.address;
      declared |= meant && where_of(module, address) == Where::Alias;
      v6 |= meant && family_of(address.address) == Family::V6;
    }
  }
  if (!declared) {
    judge.error(path + ".virtualAddress", "address-unknown",
                fmt::format("virtual address {} of the rule is not declared", rule.virtual_address),
                "name one of the virtual_addr with where=\"alias\", or *");
  }
  const bool arp = rule.protocol == spec::Protocol::Arp;
  if (arp && (rule.filter != spec::ClientKey::OnAddr || !all_directed || rule.port)) {
    judge.error(path, "arp-rule",
                "a rule with proto=\"arp\" needs filter=\"on_addr\", vmac_directed and no port");
  }
  const bool tcp = rule.protocol == spec::Protocol::Tcp;
  if (rule.filter == spec::ClientKey::OnIpid && (tcp || v6)) {
    judge.warning(path + ".filter", "on-ipid",
                  fmt::format("filter=\"on_ipid\" makes no sense for {}", tcp ? "tcp" : "IPv6 addresses"),
                  "use on_addr or on_port");
  }
}

void judge_groups(const Judge& judge, const Module& module, const Surroundings& around) {
  std::set<std::string> names;
  std::set<std::tuple<std::string, int, int>> keys;
  for (std::size_t i = 0; i < module.vip->groups.size(); ++i) {
    const spec::BalancingGroup& group = module.vip->groups[i];
    const std::string at = fmt::format("spec.vip.loadBalancing[{}]", i);
    if (!is_plain_name(group.name)) {
      judge.error(at + ".name", "bad-name", fmt::format("'{}' is no group name", group.name),
                  "use up to 63 letters, digits, '_', '.', '-'");
    }
    if (!names.insert(group.name).second) {
      judge.error(at + ".name", "group-twice", fmt::format("group {} is defined twice", group.name));
    }
    judge_hosts(judge, module, around, group, at);
    for (std::size_t k = 0; k < group.rules.size(); ++k) {
      const spec::BalancingRule& rule = group.rules[k];
      const std::string path = fmt::format("{}.rules[{}]", at, k);
      judge_rule(judge, module, rule, path);
      if (!keys.insert({rule.virtual_address, rule.port.value_or(0), static_cast<int>(rule.protocol)})
               .second) {
        judge.error(path, "rule-twice", "two rules have the same virtual_addr, proto and port", "remove one");
      }
    }
  }
}

}  // namespace

void judge_vip(const Judge& judge, const Module& module, const Surroundings& around) {
  if (!module.vip) return;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < module.vip->interfaces.size(); ++i) {
    const VipInterface& interface = module.vip->interfaces[i];
    const std::string at = fmt::format("spec.vip.interfaces[{}]", i);
    judge_interface(judge, module, interface, at);
    for (std::size_t k = 0; k < interface.addresses.size(); ++k) {
      const VirtualAddress& address = interface.addresses[k];
      const std::string path = fmt::format("{}.addresses[{}]", at, k);
      judge_where(judge, module, around, interface, address, path);
      if (!address.address.empty() && !seen.insert(address.address).second) {
        judge.error(path, "address-twice", fmt::format("virtual address {} is given twice", address.address));
      }
      if (!address.netmask.empty() && family_of(address.netmask) != Family::V4) {
        judge.error(path + ".netmask", "bad-netmask", fmt::format("'{}' is no netmask", address.netmask),
                    "write it as 255.255.255.0");
      }
      judge_other_modules(judge, module, around, address, path);
    }
  }
  if (module.mode == Mode::Mirror && !module.vip->groups.empty()) {
    judge.error("spec.vip.loadBalancing", "section-mode", "<loadbalancing_list> not allowed in mode mirror");
  }
  judge_groups(judge, module, around);
}

}  // namespace safekit::check
