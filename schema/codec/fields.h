#pragma once

#include "schema/spec/cluster.h"
#include "schema/spec/module.h"

/// Names of all fields of the spec, once: decode and encode each walk them with a form of their own. A form
/// has
///   form(name, member, use)                  one field
///   form.keyed(name, list, key, value)       a list that reads best as `key: value` lines
namespace safekit::codec {

enum class Use {
  Optional,
  Required,  ///< must be given and not be empty
  Always,    ///< required, and written even when it equals the default
  Written,   ///< optional, and written even when it equals the default
  Main,      ///< what a bare scalar or list in place of the map means; not required
  MainRequired,
};

template <class Form>
void fields(Form& form, spec::Metadata& v) {
  form("name", v.name);
  form("labels", v.labels);
  form("annotations", v.annotations);
}

template <class Form>
void fields(Form& form, spec::Macro& v) {
  form("name", v.name, Use::Required);
  form("value", v.value, Use::Written);
}

template <class Form>
void fields(Form& form, spec::WrittenXml& v) {
  form.keyed("macros", v.macros, "name", "value");
  form("environment", v.environment);
  form("text", v.text);
}

template <class Form>
void fields(Form& form, spec::NodeAddress& v) {
  form("name", v.name, Use::Required);
  form("address", v.address, Use::Required);
  form("localAddress", v.local_address);
}

template <class Form>
void fields(Form& form, spec::Lan& v) {
  form("name", v.name, Use::Required);
  form("command", v.command);
  form.keyed("nodes", v.nodes, "name", "address");
}

template <class Form>
void fields(Form& form, spec::Cluster& v) {
  form("port", v.port);
  form("pulse", v.pulse);
  form("leaderLostCount", v.leader_lost_count);
  form("followerLostCount", v.follower_lost_count);
  form("lans", v.lans, Use::Required);
  form("xml", v.xml);
}

template <class Form>
void fields(Form& form, spec::Boot& v) {
  form("policy", v.policy, Use::Main);
  form("delay", v.delay);
}

template <class Form>
void fields(Form& form, spec::Heartbeat& v) {
  form("name", v.lan, Use::Main);
  form("ident", v.ident);
  form("pulse", v.pulse);
  form("timeout", v.timeout);
  form("legacyServers", v.legacy_servers);
}

template <class Form>
void fields(Form& form, spec::Heart& v) {
  form("port", v.port);
  form("pulse", v.pulse);
  form("timeout", v.timeout);
  form("permanentArp", v.permanent_arp);
  form("lans", v.lans, Use::Main);
}

template <class Form>
void fields(Form& form, spec::LegacyFarmNode& v) {
  form("name", v.name, Use::Required);
  form("address", v.address, Use::Required);
}

template <class Form>
void fields(Form& form, spec::FarmLan& v) {
  form("name", v.name, Use::Main);
  form.keyed("legacyNodes", v.legacy_nodes, "name", "address");
}

template <class Form>
void fields(Form& form, spec::Farm& v) {
  form("port", v.port);
  form("pulse", v.pulse);
  form("leaderLostCount", v.leader_lost_count);
  form("followerLostCount", v.follower_lost_count);
  form("lans", v.lans, Use::Main);
}

template <class Form>
void fields(Form& form, spec::GroupHost& v) {
  form("name", v.name, Use::Required);
  form("power", v.power, Use::Written);
}

template <class Form>
void fields(Form& form, spec::BalancingRule& v) {
  form("virtualAddress", v.virtual_address);
  form("port", v.port);
  form("protocol", v.protocol, Use::Always);
  form("filter", v.filter, Use::Always);
}

template <class Form>
void fields(Form& form, spec::BalancingGroup& v) {
  form("name", v.name, Use::Required);
  form.keyed("nodes", v.hosts, "name", "power");
  form("rules", v.rules);
}

template <class Form>
void fields(Form& form, spec::VirtualAddress& v) {
  form("address", v.address, Use::MainRequired);
  form("where", v.where);
  form("check", v.check);
  form("connections", v.connections);
  form("netmask", v.netmask);
}

template <class Form>
void fields(Form& form, spec::VipInterface& v) {
  form("name", v.name);
  form("type", v.type);
  form("mac", v.mac);
  form("check", v.check);
  form("arpReroute", v.arp_reroute);
  form("arpInterval", v.arp_interval);
  form("arpElapse", v.arp_elapse);
  form("addresses", v.addresses);
}

template <class Form>
void fields(Form& form, spec::Vip& v) {
  form("tcpReset", v.tcp_reset);
  form("scriptControl", v.script_control);
  form("interfaces", v.interfaces);
  form("loadBalancing", v.groups);
}

template <class Form>
void fields(Form& form, spec::NotReplicated& v) {
  form("path", v.path, Use::Main);
  form("regex", v.regex);
}

template <class Form>
void fields(Form& form, spec::ReplicatedDirectory& v) {
  form("path", v.path, Use::MainRequired);
  form("notReplicated", v.not_replicated);
  form("toCheck", v.to_check);
}

template <class Form>
void fields(Form& form, spec::Replication& v) {
  form("lan", v.lan);
  form("legacyFlowServers", v.legacy_flow_servers);
  form("durability", v.durability);
  form("secondaryAck", v.secondary_ack);
  form("writeBack", v.write_back);
  form("idlePoll", v.idle_poll);
  form("lostWritesMax", v.lost_writes_max);
  form("snapshot", v.snapshot);
  form("verifyAfterResync", v.verify_after_resync);
  form("verifyEvery", v.verify_every);
  form("verifyRateKb", v.verify_rate_kb);
  form("acl", v.acl);
  form("zoneSize", v.zone_size);
  form("packetSize", v.packet_size);
  form("sendTimeout", v.send_timeout);
  form("lockTimeout", v.lock_timeout);
  form("checkTimeout", v.check_timeout);
  form("checkInterval", v.check_interval);
  form("connections", v.connections);
  form("resyncThreads", v.resync_threads);
  form("resyncTimeout", v.resync_timeout);
  form("resyncPacketSize", v.resync_packet_size);
  form("resyncBandwidthKb", v.resync_bandwidth_kb);
  form("resyncCommit", v.resync_commit);
  form("resyncDetail", v.resync_detail);
  form("namespacePolicy", v.namespace_policy);
  form("syncDelta", v.sync_delta);
  form("syncAt", v.sync_at);
  form("callbacks", v.callbacks);
  form("mountOverSuffix", v.mount_over_suffix);
  form("ioTimeout", v.io_timeout);
  form("writeFlags", v.write_flags);
  form("preallocateGb", v.preallocate_gb);
  form("reparsePoints", v.reparse_points);
  form("directories", v.directories);
}

template <class Form>
void fields(Form& form, spec::Variable& v) {
  form("name", v.name, Use::Required);
  form("value", v.value, Use::Written);
}

template <class Form>
void fields(Form& form, spec::Scripts& v) {
  form("enabled", v.enabled);
  form("directory", v.directory);
  form("niceStopTimeout", v.nice_stop_timeout);
  form("forceStopTimeout", v.force_stop_timeout);
  form("logging", v.logging);
  form("logSizeKb", v.log_size_kb);
  form.keyed("environment", v.environment, "name", "value");
  form("files", v.files);
}

template <class Form>
void fields(Form& form, spec::VirtualHostname& v) {
  form("name", v.name, Use::Required);
  form("envFile", v.env_file, Use::Required);
  form("when", v.when);
}

template <class Form>
void fields(Form& form, spec::Process& v) {
  form("name", v.name, Use::MainRequired);
  form("service", v.service);
  form("nameRegex", v.name_regex);
  form("argRegex", v.arg_regex);
  form("class", v.watch_class);
  form("action", v.action);
  form("restartServices", v.restart_services);
  form("startAfter", v.start_after);
  form("atLeast", v.at_least);
  form("atMost", v.at_most);
}

template <class Form>
void fields(Form& form, spec::Errd& v) {
  form("poll", v.poll);
  form("processes", v.processes);
}

template <class Form>
void fields(Form& form, spec::TcpChecker& v) {
  form("ident", v.ident, Use::Required);
  form("when", v.when);
  form("action", v.action);
  form("address", v.address, Use::Required);
  form("port", v.port, Use::Required);
  form("interval", v.interval);
  form("timeout", v.timeout);
}

template <class Form>
void fields(Form& form, spec::PingChecker& v) {
  form("ident", v.ident, Use::Required);
  form("when", v.when);
  form("action", v.action);
  form("address", v.address, Use::Required);
  form("interval", v.interval);
  form("timeout", v.timeout);
}

template <class Form>
void fields(Form& form, spec::InterfaceChecker& v) {
  form("ident", v.ident, Use::Required);
  form("localAddress", v.local_address, Use::Required);
}

template <class Form>
void fields(Form& form, spec::IpChecker& v) {
  form("ident", v.ident, Use::Required);
  form("when", v.when);
  form("address", v.address, Use::Required);
  form("interval", v.interval);
}

template <class Form>
void fields(Form& form, spec::CustomChecker& v) {
  form("ident", v.ident, Use::Required);
  form("when", v.when);
  form("action", v.action);
  form("exec", v.exec, Use::Required);
  form("arg", v.arg);
  form("interval", v.interval);
  form("timeout", v.timeout);
}

template <class Form>
void fields(Form& form, spec::ModuleChecker& v) {
  form("name", v.name, Use::MainRequired);
  form("ident", v.ident);
  form("address", v.address);
  form("port", v.port);
  form("secure", v.secure);
  form("interval", v.interval);
  form("timeout", v.timeout);
}

template <class Form>
void fields(Form& form, spec::SplitBrainChecker& v) {
  form("ident", v.ident, Use::Required);
  form("exec", v.exec);
  form("witnesses", v.witnesses);
  form("lease", v.lease);
}

template <class Form>
void fields(Form& form, spec::Checkers& v) {
  form("tcp", v.tcp);
  form("ping", v.ping);
  form("interfaces", v.interfaces);
  form("ip", v.ip);
  form("custom", v.custom);
  form("modules", v.modules);
  form("splitBrain", v.split_brain);
}

template <class Form>
void fields(Form& form, spec::FailoverRules& v) {
  form("extends", v.extends);
  form("period", v.period);
  form("handleTime", v.handle_time);
  form("rules", v.rules, Use::Main);
}

template <class Form>
void fields(Form& form, spec::Module& v) {
  form("mode", v.mode, Use::Always);
  form("id", v.id);
  form("nodes", v.nodes);
  form("boot", v.boot);
  form("failover", v.failover);
  form("defaultPrimary", v.default_primary);
  form("maxLoop", v.max_loop);
  form("loopInterval", v.loop_interval);
  form("automaticReboot", v.automatic_reboot);
  form("heartbeats", v.heart);
  form("farm", v.farm);
  form("vip", v.vip);
  form("replication", v.replication);
  form("scripts", v.scripts);
  form("virtualHostnames", v.virtual_hostnames);
  form("errd", v.errd);
  form("checkers", v.checkers);
  form("failoverRules", v.failover_rules);
  form("xml", v.xml);
}

}  // namespace safekit::codec
