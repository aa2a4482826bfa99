#include "schema/check/unhonoured.h"

#include <fmt/format.h>

namespace safekit::check {
namespace {

using spec::Module;

class Found {
 public:
  /// Notes `path` when the setting says something.
  void note(bool said, std::string path, std::string reason) {
    if (said) list.push_back({std::move(path), std::move(reason)});
  }
  std::vector<Unhonoured> list{};
};

void look_at_replication(const Module& module, Found& found) {
  if (!module.replication) return;
  const spec::Replication& given = *module.replication;
  const spec::Replication usual;
  const auto note = [&](bool said, std::string_view field, std::string reason) {
    found.note(said, fmt::format("spec.replication.{}", field), std::move(reason));
  };
  note(given.connections > spec::kConnectionsMax, "connections",
       fmt::format("{} connections are used", spec::kConnectionsMax));
  const bool has_scripts = module.scripts && module.scripts->enabled;
  note(given.callbacks && !has_scripts, "callbacks", "_rfs_callback is run only where there are scripts");
  note(given.resync_commit != 0, "resyncCommit", "there are no intermediate commits during a file copy");
  note(given.packet_size.has_value(), "packetSize",
       "the size of packets is chosen by the replication engine");
  note(given.resync_packet_size.has_value(), "resyncPacketSize", "it only sets the size of a zone");
  note(given.mount_over_suffix != usual.mount_over_suffix, "mountOverSuffix",
       "the directory is mounted over in place and never renamed");
  note(!given.legacy_flow_servers.empty(), "legacyFlowServers", "name a network of the cluster with 'lan'");
}

void look_at_addresses(const Module& module, Found& found) {
  if (!module.vip) return;
  found.note(!module.vip->groups.empty(), "spec.vip.loadBalancing",
             "traffic is not shared between the nodes");
  found.note(module.vip->script_control, "spec.vip.scriptControl",
             "addresses are set and unset with the role");
  for (std::size_t i = 0; i < module.vip->interfaces.size(); ++i) {
    const spec::VipInterface& interface = module.vip->interfaces[i];
    const std::string at = fmt::format("spec.vip.interfaces[{}]", i);
    found.note(interface.type != spec::InterfaceType::Real, at + ".type",
               "the address is not set with a virtual MAC");
    found.note(interface.arp_reroute, at + ".arpReroute",
               "the address is announced when it is set, and not again at intervals");
    bool counted = false;
    bool source = false;
    for (const spec::VirtualAddress& address : interface.addresses) {
      counted |= address.connections;
      source |= address.where == spec::Where::OneSide;
    }
    found.note(counted, at + ".addresses.connections", "connections are not counted");
    found.note(source, at + ".addresses.where", "the address is not made the preferred source address");
  }
}

}  // namespace

std::vector<Unhonoured> unhonoured(const Module& module) {
  Found found;
  found.note(module.mode == spec::Mode::Farm, "spec.mode", "farm modules do not run");
  found.note(module.automatic_reboot, "spec.automaticReboot",
             "a node is rebooted only where safekitd runs with --may-reboot; elsewhere the module is stopped and started");
  look_at_addresses(module, found);
  look_at_replication(module, found);
  found.note(!module.virtual_hostnames.empty(), "spec.virtualHostnames",
             "applications see the real host name");
  if (module.heart) {
    bool legacy = false;
    for (const spec::Heartbeat& heartbeat : module.heart->lans) legacy |= !heartbeat.legacy_servers.empty();
    found.note(legacy, "spec.heartbeats.lans.legacyServers",
               "name networks of the cluster in place of addresses");
    found.note(module.heart->port.has_value(), "spec.heartbeats.port",
               "one heartbeat serves all modules on its own port");
  }
  return found.list;
}

}  // namespace safekit::check
