// The worked examples of spec/config.md 7, with the results given there as far as text decides them.
#include <gtest/gtest.h>

#include "schema/check/convert.h"
#include "schema/check/load.h"

namespace safekit::check {
namespace {

using spec::CheckerAction;
using spec::GeneratedRule;
using spec::When;

std::string rendered(const std::vector<doc::Problem>& problems) {
  std::string text;
  for (const doc::Problem& problem : problems) text += render(problem) + "\n";
  return text;
}

/// A cluster of those nodes on a network `default`, and the first two on the others.
spec::Cluster cluster_of(const std::vector<std::string>& nodes,
                         const std::vector<std::string>& other_lans = {}) {
  spec::Cluster cluster;
  cluster.lans.push_back({.name = LanName{"default"}});
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    cluster.lans[0].nodes.push_back({.name = NodeName{nodes[i]}, .address = "10.0.0.1" + std::to_string(i)});
  }
  for (const std::string& name : other_lans) {
    cluster.lans.push_back({.name = LanName{name}, .nodes = cluster.lans[0].nodes});
  }
  return cluster;
}

struct Loaded {
  spec::Module module{};
  std::string problems{};  ///< rendered
};

/// Loads a userconfig.xml; checks on the way that YAML and JSON say the same and that XML comes back the
/// same.
Loaded load_module(const std::string& xml, const spec::Cluster& cluster, LoadOptions options = {}) {
  options.cluster = &cluster;
  if (options.module_name.empty()) options.module_name = "AM";
  const LoadResult result = load(xml, "userconfig.xml", options);
  Loaded loaded{.problems = rendered(result.problems)};
  if (result.modules().empty()) return loaded;
  loaded.module = *result.modules().front();
  if (result.has_errors()) return loaded;
  spec::Module complete = loaded.module;
  complete.id = 1;
  complete.nodes = nodes_of(cluster);
  if (complete.mode == spec::Mode::Mirror) complete.nodes.resize(2);
  for (const Format format : {Format::Yaml, Format::Json, Format::Xml}) {
    const std::string text = print(complete, format);
    const LoadResult back = load(text, "again", {.format = format, .platform = options.platform});
    EXPECT_FALSE(back.has_errors()) << rendered(back.problems) << text;
    if (back.modules().empty()) continue;
    EXPECT_EQ(*back.modules().front(), complete) << text;
  }
  return loaded;
}

constexpr std::string_view kE1 = R"(<!DOCTYPE safe>
<safe>
  <macro name="SERVICES" value="ledger, ledger-web"/>
  <service mode="mirror" boot="on" maxloop="3" loop_interval="24h">
    <heart><heartbeat name="default"/></heart>
    <vip><interface_list><interface><real_interface>
      <virtual_addr addr="192.0.2.50" where="one_side_alias"/>
    </real_interface></interface></interface_list></vip>
    <rfs><replicated dir="/srv/ledger"><tocheck path="VERSION"/></replicated></rfs>
    <user><var name="SERVICES" value="%SERVICES%"/></user>
  </service>
</safe>
)";

TEST(Examples, E1BasicMirror) {
  const auto [module, problems] = load_module(std::string{kE1}, cluster_of({"node1", "node2"}));
  EXPECT_EQ(problems, "");
  EXPECT_EQ(module.boot.policy, spec::BootPolicy::On);
  EXPECT_EQ(ident_of(*module.heart, module.heart->lans.at(0)), "default");
  EXPECT_EQ(module.heart->pulse, milliseconds{700});
  EXPECT_EQ(module.heart->timeout, milliseconds{30000});
  EXPECT_TRUE(module.vip->interfaces.at(0).check) << "an intf checker is made";
  EXPECT_EQ(
      generated_ip_checkers(module),
      (std::vector<spec::IpChecker>{{.ident = "192.0.2.50", .when = When::Prim, .address = "192.0.2.50"}}));
  EXPECT_EQ(flow_lan(module).str(), "default");
  EXPECT_EQ(module.replication->directories.at(0).to_check.at(0), "VERSION");
  EXPECT_EQ(module.replication->mount_over_suffix, "_For_SafeKit_Replication");
  EXPECT_EQ(module.replication->secondary_ack, spec::SecondaryAck::Received);
  EXPECT_EQ(module.scripts->environment.at(0).value, "ledger, ledger-web");
  EXPECT_NE(codec::print_expanded_xml(module).find("<var name=\"SERVICES\" value=\"ledger, ledger-web\"/>"),
            std::string::npos);
}

TEST(Examples, E2DedicatedReplicationNetworkOnWindows) {
  const LoadResult cluster = load(R"(<cluster><lans>
  <lan name="prod" command="on"><node name="alpha" addr="10.20.0.11"/><node name="beta" addr="10.20.0.12"/></lan>
  <lan name="sync"><node name="alpha" addr="10.99.0.11"/><node name="beta" addr="10.99.0.12"/></lan>
</lans></cluster>)",
                                  "cluster.xml");
  EXPECT_EQ(rendered(cluster.problems), "");
  EXPECT_EQ(command_lan(*cluster.cluster())->name.str(), "prod");
  const auto [module, problems] = load_module(R"(<safe>
  <service mode="mirror" boot="auto" boot_delay="1m" defaultprim="alone">
    <heart pulse="500ms" timeout="15s">
      <heartbeat name="prod"/>
      <heartbeat name="sync" ident="flow" timeout="20000ms"/>
    </heart>
    <vip tcpreset="on"><interface_list><interface check="on" arpreroute="on" arpinterval="30s" arpelapse="10m">
      <real_interface><virtual_addr addr="10.20.0.60" where="one_side_alias" connections="on"/></real_interface>
    </interface></interface_list></vip>
    <rfs async="none" nbrei="8" reiallowedbw="40000" acl="on" roflags="0x10000" nfsbox_options="nocross">
      <replicated dir="D:\Data Store\db">
        <notreplicated path="temp"/>
        <notreplicated regexpath=".*\.lck$"/>
      </replicated>
    </rfs>
    <user/>
  </service>
</safe>)",
                                              *cluster.cluster(), {.platform = Platform::Windows});
  EXPECT_EQ(problems, "");
  const spec::Heart& heart = *module.heart;
  EXPECT_EQ(ident_of(heart, heart.lans[0]), "prod");
  EXPECT_EQ(ident_of(heart, heart.lans[1]), "flow");
  EXPECT_EQ(timeout_of(heart, heart.lans[0]), milliseconds{15000});
  EXPECT_EQ(timeout_of(heart, heart.lans[1]), milliseconds{20000});
  EXPECT_EQ(flow_lan(module).str(), "sync");
  EXPECT_EQ(module.boot.delay, seconds{60});
  EXPECT_EQ(module.vip->interfaces[0].arp_elapse, seconds{600});
  EXPECT_TRUE(module.vip->interfaces[0].addresses[0].connections);
  EXPECT_EQ(module.replication->secondary_ack, spec::SecondaryAck::Durable);
  EXPECT_EQ(module.replication->resync_bandwidth_kb, 40000u);
  EXPECT_EQ(module.replication->directories[0].path, "D:\\Data Store\\db");
}

TEST(Examples, E3StickyFarm) {
  const auto [module, problems] = load_module(R"(<safe>
  <service mode="farm" boot="on">
    <farm><lan name="default"/></farm>
    <vip><interface_list><interface arpreroute="on">
      <virtual_interface type="vmac_directed"><virtual_addr addr="192.0.2.80" where="alias"/></virtual_interface>
    </interface></interface_list>
    <loadbalancing_list><group name="web">
      <rule proto="arp" filter="on_addr"/>
      <rule port="80" proto="tcp" filter="on_addr"/>
      <rule port="443" proto="tcp" filter="on_addr"/>
    </group></loadbalancing_list></vip>
    <user/>
    <check><tcp ident="http" when="both"><to addr="localhost" port="80"/></tcp></check>
  </service>
</safe>)",
                                              cluster_of({"node1", "node2"}));
  EXPECT_EQ(problems, "");
  EXPECT_EQ(module.vip->groups.at(0).rules.size(), 3u);
  EXPECT_TRUE(module.vip->groups[0].hosts.empty()) << "all nodes, the same weight";
  EXPECT_EQ(module.vip->groups[0].rules[1].port, 80);
  EXPECT_EQ(generated_rules(module),
            (std::vector<GeneratedRule>{{"t_http", "tcp.http", CheckerAction::Restart}}));
  EXPECT_EQ(generated_ip_checkers(module).at(0).when, When::Both);
}

TEST(Examples, E4WeightsAndScriptControl) {
  const auto [module, problems] = load_module(R"(<safe>
  <service mode="farm">
    <farm pulse="100ms" mlost_count="80" slost_count="40"><lan name="default"/></farm>
    <vip scriptcontrol="on"><interface_list><interface>
      <virtual_interface type="vmac_directed"><virtual_addr addr="192.0.2.81" where="alias"/></virtual_interface>
    </interface></interface_list>
    <loadbalancing_list>
      <group name="api"><cluster>
        <host name="node1" power="3"/><host name="node2" power="1"/><host name="node3" power="1"/></cluster>
        <rule port="8080" proto="tcp" filter="on_addr"/></group>
      <group name="dns"><rule port="53" proto="udp" filter="on_ipid"/></group>
      <group name="bulk"><cluster><host name="node2" power="1"/><host name="node3" power="1"/></cluster>
        <rule port="9999" proto="tcp" filter="on_port"/></group>
    </loadbalancing_list></vip>
    <user/>
  </service>
</safe>)",
                                              cluster_of({"node1", "node2", "node3"}));
  EXPECT_EQ(problems, "");
  EXPECT_EQ(module.farm->leader_lost_count, 80u);
  EXPECT_TRUE(module.vip->script_control);
  EXPECT_EQ(module.vip->groups.at(0).hosts.at(0), (spec::GroupHost{NodeName{"node1"}, 3}));
  EXPECT_EQ(module.vip->groups.at(2).hosts.size(), 2u);
  EXPECT_EQ(module.vip->groups.at(1).rules.at(0).filter, spec::ClientKey::OnIpid);
}

TEST(Examples, E5CascadingFarm) {
  const auto [module, problems] = load_module(R"(<safe><service mode="farm"><farm><lan name="default"/></farm>
    <vip><interface_list><interface><virtual_interface type="vmac_directed">
      <virtual_addr addr="192.0.2.82" where="alias"/></virtual_interface></interface></interface_list>
    <loadbalancing_list><group name="chain"><cluster>
  <host name="node1" power="4096"/><host name="node2" power="64"/><host name="node3" power="1"/></cluster>
  <rule port="5432" proto="tcp" filter="on_addr"/></group></loadbalancing_list></vip></service></safe>)",
                                              cluster_of({"node1", "node2", "node3"}));
  EXPECT_EQ(problems, "");
  EXPECT_EQ(module.vip->groups.at(0).hosts.at(0).power, 4096u);
}

TEST(Examples, E6FarmThatWaitsForAMirror) {
  const spec::Cluster cluster = cluster_of({"node1", "node2"});
  spec::Module db = load_module(std::string{kE1}, cluster, {.module_name = "db", .module_id = 1}).module;
  const std::string front_xml = R"(<safe>
  <service mode="farm" boot="on">
    <farm><lan name="default"/></farm>
    <vip><interface_list><interface>
      <virtual_interface type="vmac_directed"><virtual_addr addr="192.0.2.51" where="alias"/></virtual_interface>
    </interface></interface_list>
    <loadbalancing_list><group name="front"><rule port="443" proto="tcp" filter="on_addr"/></group></loadbalancing_list></vip>
    <user/>
    <check><module name="db"><to addr="192.0.2.50" port="9453" secure="on" interval="10s" timeout="5s"/></module></check>
  </service>
</safe>)";
  const auto [front, problems] =
      load_module(front_xml, cluster, {.others = {&db}, .module_name = "front", .module_id = 2});
  EXPECT_EQ(problems, "");
  EXPECT_EQ(ident_of(front.checkers.modules.at(0)), "db_192.0.2.50");
  EXPECT_TRUE(front.checkers.modules[0].secure);
  EXPECT_EQ(heart_port(db), 8888);
  EXPECT_EQ(replication_port(db), 5600);
  EXPECT_EQ(farm_port(front), 4806);
}

TEST(Examples, E7MutualTakeover) {
  const spec::Cluster cluster = cluster_of({"node1", "node2"});
  const auto xml = [](int n) {
    return "<safe><service mode=\"mirror\" boot=\"on\" defaultprim=\"node" + std::to_string(n) +
           "\"><heart><heartbeat name=\"default\"/></heart><vip><interface_list><interface><real_interface>"
           "<virtual_addr addr=\"192.0.2.6" +
           std::to_string(n) +
           "\" where=\"one_side_alias\"/></real_interface>"
           "</interface></interface_list></vip><rfs><replicated dir=\"/srv/app" +
           std::to_string(n) + "\"/></rfs><user/></service></safe>";
  };
  const spec::Module app1 = load_module(xml(1), cluster, {.module_name = "app1", .module_id = 1}).module;
  const auto [app2, problems] =
      load_module(xml(2), cluster, {.others = {&app1}, .module_name = "app2", .module_id = 2});
  EXPECT_EQ(problems, "");
  EXPECT_EQ(app2.default_primary, "node2");
  const auto same = load_module(xml(1), cluster, {.others = {&app1}, .module_name = "app2", .module_id = 2});
  EXPECT_NE(same.problems.find("virtual address 192.0.2.61 already used by module app1"), std::string::npos);
  EXPECT_NE(same.problems.find("/srv/app1 already replicated by module app1"), std::string::npos);
}

TEST(Examples, E8OneBackupForTwoPrimaries) {
  const LoadResult cluster = load(R"(<cluster><lans>
  <lan name="default"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/><node name="bk" addr="10.1.0.9"/></lan>
  <lan name="repl1"><node name="n1" addr="10.2.1.1"/><node name="bk" addr="10.2.1.9"/></lan>
</lans></cluster>)",
                                  "cluster.xml");
  EXPECT_EQ(rendered(cluster.problems), "");
  const std::string a = R"(<safe><service mode="mirror" defaultprim="n1"><heart><heartbeat name="default"/>
    <heartbeat name="repl1" ident="flow"/></heart><rfs><replicated dir="/a"/></rfs><user/></service></safe>)";
  EXPECT_EQ(load_module(a, *cluster.cluster(), {.module_nodes = {NodeName{"n1"}, NodeName{"bk"}}}).problems,
            "");
  const std::string b = R"(<safe><service mode="mirror" defaultprim="n2"><heart><heartbeat name="default"/>
    <heartbeat name="repl1"/></heart></service></safe>)";
  EXPECT_EQ(load_module(b, *cluster.cluster(), {.module_nodes = {NodeName{"n2"}, NodeName{"bk"}}}).problems,
            "userconfig.xml:2:5: error: node n2 has no address on network repl1 (add it in the cluster "
            "configuration, "
            "or take another network) [node-not-on-network]\n");
}

TEST(Examples, E9AllCheckers) {
  const auto [module, problems] = load_module(R"(<safe><service mode="mirror">
<heart><heartbeat name="default"/></heart><user/>
<check>
  <tcp ident="listener" when="prim" action="stopstart"><to addr="127.0.0.1" port="1521" interval="15s" timeout="3s"/></tcp>
  <tcp ident="ldap" when="pre" action="wait"><to addr="ldap.example.net" port="389"/></tcp>
  <ping ident="gw"><to addr="192.0.2.1"/></ping>
  <intf ident="backup_net"><to local_addr="10.20.0.11"/></intf>
  <ip ident="extra"><to addr="192.0.2.70" interval="20s"/></ip>
  <custom ident="probe" when="prim" exec="probe.sh" arg="/srv/ledger 3 10" action="restart"/>
  <module name="auth"/>
  <splitbrain ident="witness" exec="ping" arg="192.0.2.1 192.0.2.2"/>
</check></service></safe>)",
                                              cluster_of({"node1", "node2"}));
  EXPECT_EQ(problems, "");
  EXPECT_EQ(generated_rules(module), (std::vector<GeneratedRule>{
                                         {"t_listener", "tcp.listener", CheckerAction::StopStart},
                                         {"t_ldap", "tcp.ldap", CheckerAction::Wait},
                                         {"p_gw", "ping.gw", CheckerAction::Wait},
                                         {"c_probe", "custom.probe", CheckerAction::Restart},
                                     }));
  EXPECT_EQ(module.checkers.ping.at(0).when, When::Pre);
  EXPECT_EQ(module.checkers.ip.at(0).interval, seconds{20});
  EXPECT_EQ(when_of(module, module.checkers.ip[0]), When::Prim);
  EXPECT_EQ(module.checkers.custom.at(0).arg, "/srv/ledger 3 10");
  EXPECT_EQ(ident_of(module.checkers.modules.at(0)), "auth_127.0.0.1");
  EXPECT_EQ(module.checkers.split_brain->witnesses, (std::vector<std::string>{"192.0.2.1", "192.0.2.2"}));
}

TEST(Examples, E10LegacyTopology) {
  const auto [module, problems] = load_module(R"(<safe><service mode="mirror" maxloop="3" loop_interval="24">
  <heart pulse="700" timeout="30000">
    <heartbeat><server addr="10.0.0.1"/><server addr="10.0.0.2"/></heartbeat>
    <heartbeat ident="flow"><server addr="10.1.0.1"/><server addr="10.1.0.2"/></heartbeat>
  </heart>
  <rfs mountover="off" smartreintegration="8" locktimeout="200" nbrei="3"><replicated dir="/data" mode="read_only"/>
    <flow><server addr="10.1.0.1"/><server addr="10.1.0.2"/></flow></rfs>
  <user nicestoptimeout="300" forcestoptimeout="300" logging="userlog"/>
  <check><custom ident="queue" exec="q.sh" when="prim"/><tcp ident="t1" when="prim"><to addr="127.0.0.1" port="25"/></tcp></check>
  <failover><![CDATA[ c_queue: if (custom.queue == down) then restart(); ]]></failover>
</service></safe>)",
                                              cluster_of({"node1", "node2"}));
  EXPECT_EQ(problems,
            "userconfig.xml:6:8: warning: attribute mountover of <rfs> is obsolete and ignored [obsolete]\n"
            "userconfig.xml:6:24: warning: attribute smartreintegration of <rfs> is obsolete and ignored "
            "[obsolete]\n");
  const spec::Heart& heart = *module.heart;
  EXPECT_EQ(ident_of(heart, heart.lans[0]), "0");
  EXPECT_EQ(ident_of(heart, heart.lans[1]), "flow");
  EXPECT_EQ(heart.lans[0].legacy_servers.size(), 2u);
  EXPECT_EQ(module.loop_interval, hours{24});
  EXPECT_EQ(module.replication->lock_timeout, seconds{200});
  EXPECT_EQ(module.replication->namespace_policy, 4u);
  EXPECT_EQ(generated_rules(module),
            (std::vector<GeneratedRule>{{"t_t1", "tcp.t1", CheckerAction::Restart}}));
  EXPECT_NE(module.failover_rules->rules.at(0).find("c_queue:"), std::string::npos);
}

TEST(Examples, E11AvailabilityFirst) {
  const auto xml = [](const std::string& rfs) {
    return "<safe><service mode=\"mirror\"><heart><heartbeat name=\"default\"/></heart>" + rfs +
           "<user/><check><splitbrain ident=\"witness\" exec=\"ping\" "
           "arg=\"203.0.113.1\"/></check></service></safe>";
  };
  const spec::Cluster cluster = cluster_of({"node1", "node2"});
  const auto delta =
      load_module(xml("<rfs syncdelta=\"10m\"><replicated dir=\"/srv/shop\"/></rfs>"), cluster);
  EXPECT_EQ(delta.problems, "");
  EXPECT_EQ(delta.module.replication->sync_delta, minutes{10});
  const auto at =
      load_module(xml("<rfs syncat=\"30 1 * * *\"><replicated dir=\"/srv/shop\"/></rfs>"), cluster);
  EXPECT_EQ(at.problems, "");
  EXPECT_EQ(at.module.replication->sync_at, "30 1 * * *");
}

TEST(Examples, E12LeaderAndFollower) {
  const spec::Cluster cluster = cluster_of({"node1", "node2"});
  const auto follower = load_module(R"(<safe><service mode="light"><user/>
  <errd polltimer="10s">
    <proc name="reportd" class="both" action="restart" start_after="3"/>
    <proc name="ntpd" service="yes" class="both" action="noaction"/>
  </errd>
  <check><module name="leader"/></check></service></safe>)",
                                    cluster);
  EXPECT_EQ(follower.problems, "");
  EXPECT_EQ(ident_of(follower.module.checkers.modules.at(0)), "leader_127.0.0.1");
  const spec::Process& reportd = follower.module.errd->processes.at(0);
  EXPECT_EQ((reportd.start_after - 1) * follower.module.errd->poll, seconds{20});
  EXPECT_TRUE(follower.module.errd->processes.at(1).service);

  const auto [leader, problems] = load_module(R"(<safe>
  <macro name="VNAME" value="erp-virtual"/>
  <service mode="mirror">
    <heart><heartbeat name="default"/></heart>
    <user nicestoptimeout="5m"><var name="VNAME" value="%VNAME%"/></user>
    <vhost><virtualhostname name="%VNAME%" envfile="vhostenv" when="prim"/></vhost>
    <errd>
      <proc name="worker" nameregex="^worker[0-9]+$" class="prim" action="restart" atleast="2" atmax="8"/>
      <proc name="indexer" class="indexer" action="fix_indexer"/>
      <proc name="svcB" service="yes" class="prim" action="restart" restart_services="svcB, svcC"/>
    </errd>
    <failover period="5s" handle_time="15s">
      <![CDATA[
--Lua Rules
Rules.disable("interface_failure")
      ]]>
      <![CDATA[
      only_if_all: if (intf.* == down) then wait();
      ]]>
    </failover>
  </service>
</safe>)",
                                              cluster, {.module_name = "leader"});
  EXPECT_EQ(problems, "");
  EXPECT_EQ(leader.virtual_hostnames.at(0).name, "erp-virtual");
  EXPECT_EQ(leader.scripts->nice_stop_timeout, minutes{5});
  EXPECT_EQ(leader.errd->processes.at(0).at_most, 8);
  EXPECT_EQ(leader.errd->processes.at(1).watch_class, "indexer");
  EXPECT_EQ(leader.errd->processes.at(2).restart_services, (std::vector<std::string>{"svcB", "svcC"}));
  EXPECT_EQ(leader.failover_rules->period, milliseconds{5000});
  ASSERT_EQ(leader.failover_rules->rules.size(), 2u);
  EXPECT_TRUE(leader.failover_rules->rules[0].find("--Lua Rules") != std::string::npos);
}

TEST(Examples, E13MacrosAndProcessClasses) {
  const auto [module, problems] = load_module(R"(<safe>
  <macro name="ROOT" value="/var/lib/vmstore"/>
  <macro name="VM" value="vm7"/>
  <service mode="mirror" boot="on" defaultprim="lastprim" automatic_reboot="off">
    <heart><heartbeat name="default"/></heart>
    <rfs scripts="on" acl="on" namespacepolicy="0" syncdelta="0">
      <replicated dir="%ROOT%/%VM%">
        <notreplicated regexpath="!.*\.(img|xml)$"/>
      </replicated>
    </rfs>
    <user logging="userlog" userlogsize="4096"><var name="VM" value="%VM%"/><var name="VM_DIR" value="%ROOT%/%VM%"/></user>
    <errd>
      <proc name="qemu-sys" nameregex="qemu.*" argregex=".*-name guest=%VM%.*" class="prim" action="restart"/>
      <proc name="syncagent" class="second" action="stop"/>
      <proc name="bridge" class="pre" action="stopstart" atleast="1"/>
    </errd>
    <check><custom ident="%VM%_alive" exec="vmalive" arg="%VM%" when="prim" action="restart"/></check>
  </service>
</safe>)",
                                              cluster_of({"node1", "node2"}));
  EXPECT_EQ(problems, "");
  EXPECT_TRUE(generated_ip_checkers(module).empty());
  EXPECT_EQ(module.replication->directories.at(0).path, "/var/lib/vmstore/vm7");
  EXPECT_EQ(module.replication->directories[0].not_replicated.at(0).regex, "!.*\\.(img|xml)$");
  EXPECT_EQ(module.replication->namespace_policy, 0u);
  EXPECT_TRUE(module.replication->callbacks);
  EXPECT_EQ(module.errd->processes.at(0).arg_regex, ".*-name guest=vm7.*");
  EXPECT_EQ(module.checkers.custom.at(0).ident, "vm7_alive");
  EXPECT_EQ(module.checkers.custom[0].arg, "vm7");
  EXPECT_NE(codec::print_expanded_xml(module).find("<var name=\"VM\" value=\"vm7\"/>"), std::string::npos);
}

TEST(Examples, E14ASpareThirdServer) {
  const spec::Cluster cluster = cluster_of({"s1", "s2", "s3"});
  const auto with = [&](const std::string& second) {
    return load_module(std::string{kE1}, cluster, {.module_nodes = {NodeName{"s1"}, NodeName{second}}});
  };
  EXPECT_EQ(with("s2").problems, "");
  EXPECT_EQ(with("s3").problems, "") << "the same file serves the new pair";
}

TEST(Examples, E15ClusterVariants) {
  const LoadResult nat = load(R"(<cluster><lans port="4801" pulse="200"><lan name="wan">
  <node name="paris" addr="paris.example.net" laddr="10.0.0.5"/>
  <node name="lyon" addr="lyon.example.net" laddr="10.8.0.5"/></lan></lans></cluster>)",
                              "cluster.xml");
  EXPECT_FALSE(nat.has_errors()) << rendered(nat.problems);
  EXPECT_EQ(nat.problems.size(), 2u) << "the names are looked up at the apply";
  EXPECT_EQ(nat.cluster()->port, 4801);
  EXPECT_EQ(nat.cluster()->pulse, milliseconds{200});
  EXPECT_EQ(nat.cluster()->lans[0].nodes[1].local_address, "10.8.0.5");
  const LoadResult v6 = load(R"(<cluster><lans><lan name="v6" console="on" framework="on" command="on">
  <node name="s1" addr="[2001:db8::11]"/><node name="s2" addr="[2001:db8::12]"/></lan></lans></cluster>)",
                             "cluster.xml");
  EXPECT_FALSE(v6.has_errors()) << rendered(v6.problems);
  EXPECT_EQ(v6.problems.size(), 2u) << "console and framework are obsolete";
  for (const auto& loaded : {&nat, &v6}) {
    for (const Format format : {Format::Yaml, Format::Json, Format::Xml}) {
      const std::string text = print(*loaded->cluster(), format);
      EXPECT_EQ(*load(text, "again", {.format = format}).cluster(), *loaded->cluster()) << text;
    }
  }
}

}  // namespace
}  // namespace safekit::check
