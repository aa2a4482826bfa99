// Each row of spec/config.md 6 that text alone decides; the number is that of the row.
#include "schema/check/validate.h"

#include <gtest/gtest.h>

#include "schema/check/load.h"

namespace safekit::check {
namespace {

/// The problems of one file as `line: severity message`, without positions to keep the cases short.
std::vector<std::string> said(const std::string& text, const std::string& file, LoadOptions options = {}) {
  std::vector<std::string> lines;
  for (const doc::Problem& problem : load(text, file, options).problems) {
    EXPECT_NE(problem.at.line, 0u) << problem.message;
    EXPECT_NE(problem.rule, "") << problem.message;
    lines.push_back((problem.severity == doc::Severity::Error ? "E " : "W ") + problem.message);
  }
  return lines;
}

const spec::Cluster& cluster() {
  static const LoadResult loaded = load(R"(<cluster><lans>
    <lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/><node name="n3" addr="10.0.0.3"/></lan>
    <lan name="repl"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/></lan>
    <lan name="mixed"><node name="n1" addr="10.2.0.1"/><node name="n2" addr="[2001:db8::2]"/></lan>
    </lans></cluster>)",
                                        "cluster.xml");
  return *loaded.cluster();
}

LoadOptions around(Platform platform = Platform::Linux) {
  return {.cluster = &cluster(),
          .module_name = "AM",
          .module_nodes = {NodeName{"n1"}, NodeName{"n2"}},
          .module_id = 1,
          .platform = platform};
}

std::string mirror(const std::string& sections, const std::string& attributes = "") {
  return "<safe><service mode=\"mirror\" " + attributes + "><heart><heartbeat name=\"default\"/></heart>" +
         sections + "</service></safe>";
}
const std::string kKey(64, '7');
const std::string kOtherKey(64, '8');
std::string farm(const std::string& sections) {
  return "<safe><service mode=\"farm\"><farm><lan name=\"default\"/></farm>" + sections + "</service></safe>";
}
std::string farm_vip(const std::string& groups, const std::string& type = "vmac_directed") {
  return farm("<vip><interface_list><interface><virtual_interface type=\"" + type +
              "\"><virtual_addr addr=\"192.0.2.9\"/></virtual_interface></interface></interface_list>"
              "<loadbalancing_list>" +
              groups + "</loadbalancing_list></vip>");
}
std::string mirror_vip(const std::string& interface) {
  return mirror("<vip><interface_list>" + interface + "</interface_list></vip>");
}
std::string rfs(const std::string& attributes, const std::string& inside = "<replicated dir=\"/d\"/>") {
  return mirror("<rfs " + attributes + ">" + inside + "</rfs>");
}

struct Case {
  int row{0};
  std::string xml{};
  std::vector<std::string> expected{};
};

void expect_all(const std::vector<Case>& cases, const LoadOptions& options = around()) {
  for (const Case& one : cases) {
    EXPECT_EQ(said(one.xml, "userconfig.xml", options), one.expected) << "row " << one.row << "\n" << one.xml;
  }
}

TEST(Validate, GrammarOfUserconfig) {
  expect_all({
      {1, "<safe><service mode='mirror'>", {"E no element found"}},
      {1, "<unsafe/>", {"E the root element is <unsafe>"}},
      {2, mirror("<usr/>"), {"E unexpected tag <usr> in <service>"}},
      {2, mirror("<user><tcp/></user>"), {"E unexpected tag <tcp> in <user>"}},
      {3, mirror("<user looging='x'/>"), {"E unknown attribute looging in tag <user>"}},
      {4, rfs("pmapset='on'"), {"W attribute pmapset of <rfs> is obsolete and ignored"}},
      {4, rfs("verify='on'"), {}},
      {5, rfs("nbthread='3'"), {"E nbthread is no longer supported in <rfs>"}},
      {5,
       farm_vip("<group name='g'><rule proto='forward' filter='on_addr'/></group>"),
       {"E proto=\"forward\" is no longer supported in <rule>"}},
      {5,
       farm_vip("<group name='g'><rule proto='tcp' filter='on_route'/></group>"),
       {"E filter=\"on_route\" is no longer supported in <rule>"}},
      {5, mirror("<application_module/>"), {"E <application_module> is no longer supported"}},
      {6, rfs("", "<replicated dir=''/>"), {"E attribute dir of <replicated> has no value"}},
      {6,
       mirror("<check><custom when='prim' exec=''/></check>"),
       {"E attribute ident of <custom> has no value", "E attribute exec of <custom> has no value"}},
      {7,
       mirror("", "boot='yes'"),
       {"E invalid value 'yes' for the attribute boot (expected: on|off|auto|ignore)"}},
      {7,
       mirror("", "maxloop='three'"),
       {"E invalid value 'three' for the attribute maxloop (expected: a whole number of 0 or more)"}},
      {7,
       rfs("namespacepolicy='2'"),
       {"E invalid value '2' for the attribute namespacepolicy (expected: 0|1|3|4)"}},
      {7,
       mirror("<user logging='On'/>"),
       {"E invalid value 'On' for the attribute logging (expected: userlog|none)"}},
      {7,
       mirror("<check><tcp ident='t' when='prim'><to addr='h' port='65536'/></tcp></check>"),
       {"E invalid value '65536' for the attribute port (expected: a port from 1 to 65535)"}},
      {8,
       mirror("", "boot_delay='500ms'"),
       {"E invalid value '500ms' for the attribute boot_delay (expected time unit: 's')"}},
      {8,
       mirror("", "loop_interval='1h30m'"),
       {"E invalid value '1h30m' for the attribute loop_interval (expected time unit: 'h')"}},
      {8,
       mirror("", "loop_interval='90m'"),
       {"W the value '90m' for the attribute loop_interval is cut off to 1h"}},
      {9, mirror("<user/><user/>"), {"E only one <user> allowed"}},
      {9,
       mirror("<check><splitbrain ident='a' arg='x'/><splitbrain ident='b' arg='y'/></check>"),
       {"E only one <splitbrain> allowed"}},
      {9, mirror("<check/><check/>"), {"W more than one <check>: all are taken as one"}},
      {9, mirror("<check><check/></check>"), {"W <check> inside <check>: both are taken as one"}},
      {9, "<safe><service mode='light'/><service mode='light'/></safe>", {"E only one <service> allowed"}},
      {10,
       "<safe><macro name='A' value='1'/><macro name='A' value='2'/><service mode='light'/></safe>",
       {"E macro A defined twice"}},
      {10, mirror("<user><var name='a' value='%NOT_THERE%'/></user>"), {"W %NOT_THERE% not defined"}},
  });
}

TEST(Validate, SectionsAndNetworks) {
  expect_all({
      {11, farm("<heart><heartbeat name='default'/></heart>"), {"E <heart> not allowed in mode farm"}},
      {11, farm("<rfs><replicated dir='/d'/></rfs>"), {"E <rfs> not allowed in mode farm"}},
      {11, mirror("<farm><lan name='default'/></farm>"), {"E <farm> not allowed in mode mirror"}},
      {11,
       farm("<check><splitbrain ident='w' arg='x'/></check>"),
       {"E <splitbrain> not allowed in mode farm"}},
      {12, "<safe><service mode='mirror'/></safe>", {"E at least one <heartbeat> required"}},
      {12, "<safe><service mode='mirror'><heart/></service></safe>", {"E at least one <heartbeat> required"}},
      {12, "<safe><service mode='farm'/></safe>", {"E at least one <lan> required in <farm>"}},
      {13,
       "<safe><service mode='mirror'><heart><heartbeat name='nope'/></heart></service></safe>",
       {"E network nope is not defined in the cluster configuration"}},
      {13,
       "<safe><service mode='farm'><farm><lan name='nope'/></farm></service></safe>",
       {"E network nope is not defined in the cluster configuration"}},
      {13,
       rfs("", "<flow name='nope'/><replicated dir='/d'/>"),
       {"E network nope is not defined in the cluster configuration"}},
      {15,
       "<safe><service mode='mirror'><heart><heartbeat name='default'/><heartbeat ident='o'><server "
       "addr='1.1.1.1'/>"
       "<server addr='1.1.1.2'/></heartbeat></heart></service></safe>",
       {"E legacy <server>/<node> and name= cannot be used together"}},
      {16,
       "<safe><service mode='mirror'><heart><heartbeat name='mixed'/></heart></service></safe>",
       {"E addresses of heartbeat mixed must be all IPv4 or all IPv6"}},
      {16,
       "<safe><service mode='mirror'><heart><heartbeat><server addr='1.1.1.1'/><server "
       "addr='[::1]'/></heartbeat>"
       "</heart></service></safe>",
       {"E addresses of heartbeat 0 must be all IPv4 or all IPv6"}},
      {17,
       "<safe><service mode='mirror'><heart><heartbeat name='default'/><heartbeat name='repl' "
       "ident='default'/>"
       "</heart></service></safe>",
       {"E ident default used twice for <heartbeat>"}},
      {18,
       "<safe><service mode='mirror'><heart><heartbeat name='default' "
       "ident='flow'/></heart></service></safe>",
       {"W heartbeat flow without <rfs>: the module will stay in WAIT"}},
      {19,
       "<safe><service mode='mirror'><heart><heartbeat name='default' ident='flow'/></heart>"
       "<rfs><flow name='repl'/><replicated dir='/d'/></rfs></service></safe>",
       {"E <flow> and heartbeat flow designate different networks"}},
      {42,
       mirror("", "defaultprim='n9'"),
       {"E defaultprim 'n9' is neither alone, lastprim nor a node of the module"}},
      {0,
       "<safe><service mode='mirror'><heart timeout='1' pulse='2'><heartbeat "
       "name='default'/></heart></service></safe>",
       {"E timeout 1ms of heartbeat default must exceed its pulse 2ms"}},
  });
  LoadOptions third = around();
  third.module_nodes[1] = NodeName{"n3"};
  EXPECT_EQ(said("<safe><service mode='mirror'><heart><heartbeat name='repl'/></heart></service></safe>",
                 "u.xml", third),
            (std::vector<std::string>{"E node n3 has no address on network repl"}))
      << "row 14";
}

TEST(Validate, Replication) {
  const auto dirs = [](const std::string& inside) { return rfs("", inside); };
  expect_all({
      {24,
       dirs("<replicated dir='/d'><notreplicated regexpath='!(a'/></replicated>"),
       {"E bad regular expression '!(a' in <notreplicated>: Unmatched ( or \\("}},
      {24,
       dirs("<replicated dir='/d'><notreplicated regexpath='{.*SID.*}'/></replicated>"),
       {"E bad regular expression '{.*SID.*}' in <notreplicated>: Invalid preceding regular expression"}},
      {27,
       rfs("reipacketsize='3000' ruzone_blocksize='8192'"),
       {"E ruzone_blocksize must be a multiple of reipacketsize"}},
      {27, rfs("packetsize='4096' reipacketsize='8192'"), {"E reipacketsize must not exceed packetsize"}},
      {28, dirs("<replicated dir='data'/>"), {"E replicated dir must be an absolute path, 'data' is not"}},
      {28,
       dirs("<replicated dir='/d'><notreplicated path='/x'/><tocheck path='a/../../b'/></replicated>"),
       {"E path '/x' of <notreplicated> must stay inside the replicated directory",
        "E path 'a/../../b' of <tocheck> must stay inside the replicated directory"}},
      {28,
       dirs("<replicated dir='/d'><notreplicated/></replicated>"),
       {"E <notreplicated> needs either path or regexpath"}},
      {29, dirs("<replicated dir='/my data'/>"), {"E replicated dir '/my data' contains a space"}},
      {30,
       dirs("<replicated dir='/a'/><replicated dir='/a/b/'/><replicated dir='/ab'/>"),
       {"E /a and /a/b/ overlap"}},
      {30, dirs("<replicated dir='/a/'/><replicated dir='//a'/>"), {"E /a/ and //a overlap"}},
      {32, dirs("<replicated dir='/'/>"), {"E / is the root of a file system"}},
      {54,
       rfs("iotimeout='10' roflags='0x10000' allocthreshold='5' nfsbox_options='nocross'"),
       {"W attribute iotimeout has no effect on this system",
        "W attribute allocthreshold has no effect on this system",
        "W attribute nfsbox_options has no effect on this system"}},
      {0, rfs("verifyevery='168h' verifybw='0'"), {}},
      {0,
       rfs("verifyevery='90'"),
       {"W each verification reads all data on both nodes: more often than once an hour is a lot"}},
      {55, rfs("syncat='01 0 * *'"), {"W syncat names no date, it has not the five fields of crontab"}},
      {55, rfs("syncat='01 24 * * *'"), {"W syncat names no date, '24' is no hour of a crontab (0 to 23)"}},
      {55, rfs("syncat='01 0 * * *'"), {}},
      {0, mirror("<rfs/>"), {"E at least one <replicated> required in <rfs>"}},
  });
  const LoadOptions windows = around(Platform::Windows);
  EXPECT_EQ(
      said(rfs("packetsize='65536' checktime='1s'", "<replicated dir='D:\\data base\\'/>"), "u.xml", windows),
      (std::vector<std::string>{"W attribute packetsize has no effect on this system",
                                "W attribute checktime has no effect on this system"}))
      << "rows 29, 54";
}

TEST(Validate, OtherModules) {
  spec::Module other;
  other.metadata.name = "other";
  other.id = 1;
  other.nodes = {NodeName{"n2"}, NodeName{"n3"}};
  other.vip.emplace().interfaces.push_back({.addresses = {{.address = "192.0.2.50"}}});
  other.replication.emplace().directories.push_back({.path = "/srv/a"});
  LoadOptions options = around();
  options.others = {&other};
  const std::string text = mirror(
      "<vip><interface_list><interface><real_interface><virtual_addr addr='192.0.2.50' "
      "where='one_side_alias'/>"
      "</real_interface></interface></interface_list></vip><rfs><replicated dir='/srv'/></rfs>");
  const std::vector<std::string> expected = {"E id 1 is that of module other",
                                             "E virtual address 192.0.2.50 already used by module other",
                                             "E /srv already replicated by module other"};
  EXPECT_EQ(said(text, "u.xml", options), expected) << "rows 31, 36";
  other.nodes = {NodeName{"n3"}};
  EXPECT_EQ(said(text, "u.xml", options), (std::vector<std::string>{expected[0]})) << "no node in common";
}

TEST(Validate, Addresses) {
  const std::string one = "<virtual_addr addr='192.0.2.1' where='one_side_alias'/>";
  expect_all({
      {36,
       mirror_vip("<interface><real_interface>" + one + one + "</real_interface></interface>"),
       {"E virtual address 192.0.2.1 is given twice"}},
      {6,
       mirror_vip("<interface><real_interface><virtual_addr addr='192.0.2.1'/></real_interface></interface>"),
       {"E attribute where of <virtual_addr> has no value"}},
      {38,
       mirror_vip("<interface><real_interface><virtual_addr addr='192.0.2.1' where='alias'/></real_interface>"
                  "</interface>"),
       {"E where=\"alias\" is for farms: an address of a mirror is on one node only"}},
      {38,
       mirror_vip(
           "<interface><real_interface><virtual_addr addr='192.0.2.1' where='one_side'/></real_interface>"
           "</interface>"),
       {"W where=\"one_side\" is old: the address becomes the preferred source address of the primary"}},
      {38,
       farm(
           "<vip><interface_list><interface><real_interface><virtual_addr addr='192.0.2.1'/></real_interface>"
           "</interface></interface_list></vip>"),
       {"E <real_interface> is not for farms"}},
      {38,
       farm("<vip><interface_list><interface><virtual_interface type='vmac_directed'>" + one +
            "</virtual_interface></interface></interface_list></vip>"),
       {"E an address of a farm is on every node"}},
      {38,
       mirror("<vip><interface_list><interface><real_interface>" + one +
              "</real_interface></interface></interface_list><loadbalancing_list>"
              "<group name='g'/></loadbalancing_list></vip>"),
       {"E <loadbalancing_list> not allowed in mode mirror"}},
      {41,
       mirror_vip("<interface><virtual_interface type='vmac_invisible' addr='5A-FE'>" + one +
                  "</virtual_interface></interface>"),
       {"E '5A-FE' is no MAC address"}},
      {41,
       mirror_vip("<interface><virtual_interface type='vmac_invisible' addr='01:00:5E:00:00:01'>" + one +
                  "</virtual_interface></interface>"),
       {"E '01:00:5E:00:00:01' is a multicast MAC address"}},
      {0,
       farm("<vip><interface_list><interface><virtual_interface><virtual_addr "
            "addr='192.0.2.1'/></virtual_interface>"
            "</interface></interface_list></vip>"),
       {"W <virtual_interface> has no type: vmac_directed is taken"}},
  });
}

TEST(Validate, LoadBalancing) {
  const auto group = [](const std::string& inside, const std::string& type = "vmac_directed") {
    return farm_vip("<group name='g'>" + inside + "</group>", type);
  };
  expect_all({
      {39,
       group("<rule virtual_addr='192.0.2.8' proto='tcp' filter='on_addr'/>"),
       {"E virtual address 192.0.2.8 of the rule is not declared"}},
      {39,
       group("<rule port='80' proto='tcp' filter='on_addr'/><rule port='80' proto='tcp' filter='on_port'/>"),
       {"E two rules have the same virtual_addr, proto and port"}},
      {39,
       group("<rule proto='arp' filter='on_port'/>"),
       {"E a rule with proto=\"arp\" needs filter=\"on_addr\", vmac_directed and no port"}},
      {39,
       group("<rule proto='arp' filter='on_addr'/>", "vmac_invisible"),
       {"E a rule with proto=\"arp\" needs filter=\"on_addr\", vmac_directed and no port"}},
      {39, group("<rule proto='tcp' filter='on_ipid'/>"), {"W filter=\"on_ipid\" makes no sense for tcp"}},
      {40,
       group("<cluster><host name='n9'/></cluster>"),
       {"E node n9 of group g is not defined in the cluster configuration"}},
      {40,
       group("<cluster><host name='n1' power='-1'/></cluster>"),
       {"E invalid value '-1' for the attribute power (expected: a whole number of 0 or more)"}},
      {40,
       group("<cluster><host name='n1'/><host name='n1'/></cluster>"),
       {"E node n1 is given twice in group g"}},
      {40,
       group("<cluster><host name='n1' power='0'/></cluster>"),
       {"E every node of group g has power 0: no one would answer"}},
      {0, farm_vip("<group name='g'/><group name='g'/>"), {"E group g is defined twice"}},
  });
}

TEST(Validate, CheckersAndProcesses) {
  const auto check = [](const std::string& inside) { return mirror("<check>" + inside + "</check>"); };
  const std::string to = "<to addr='h' port='1'/>";
  const auto errd = [](const std::string& proc) { return mirror("<user/><errd>" + proc + "</errd>"); };
  expect_all({
      {17,
       check("<tcp ident='a' when='prim'>" + to + "</tcp><tcp ident='a' when='prim'>" + to + "</tcp>"),
       {"E ident a used twice for <tcp>"}},
      {17, check("<tcp ident='a' when='prim'>" + to + "</tcp><ping ident='a'><to addr='h'/></ping>"), {}},
      {17,
       errd("<proc name='p' class='prim' argregex='a'/><proc name='p' class='prim' argregex='b'/>"),
       {"W <proc> p is given twice: both share the resource proc.p, down when one is down"}},
      {20, mirror("<errd/>"), {"E <errd> requires <user/>"}},
      {21,
       check("<tcp ident='a' when='prim' action='wait'>" + to + "</tcp>"),
       {"E action wait not allowed with when=prim in <tcp>"}},
      {21,
       check("<tcp ident='a' when='pre' action='restart'>" + to + "</tcp>"),
       {"E action restart not allowed with when=pre in <tcp>"}},
      {21,
       check("<tcp ident='a' when='pre'>" + to + "</tcp>"),
       {"W <tcp> with when=pre has no action: wait is taken"}},
      {21,
       check("<ping ident='a' when='prim'><to addr='h'/></ping>"),
       {"E <ping> with when=prim needs an action"}},
      {21, check("<ping ident='a' when='prim' action='noaction'><to addr='h'/></ping>"), {}},
      {21,
       check("<custom ident='a' when='second' exec='x' action='wait'/>"),
       {"E action wait not allowed with when=second in <custom>"}},
      {22,
       errd("<proc name='p' class='prim' action='handler'/>"),
       {"W the handler handler of <proc> p should have a class of its own, not prim"}},
      {22,
       errd("<proc name='p' class='prim' restart_services='a,b'/>"),
       {"W restart_services of <proc> p is ignored without service=yes and action=restart"}},
      {23,
       errd("<proc name='abcdefghijklmnop' class='prim'/>"),
       {"W process name abcdefghijklmnop is longer than 15 characters: only these are compared"}},
      {23, errd("<proc name='abcdefghijklmnop' nameregex='x' class='prim'/>"), {}},
      {23,
       errd("<proc service='yes' class='prim' name='" + std::string(64, 's') + "'/>"),
       {"E service name " + std::string(64, 's') + " is longer than 63 characters"}},
      {24,
       errd("<proc name='p' class='prim' argregex='[a'/>"),
       {"E bad regular expression '[a' in <proc>: Unmatched [, [^, [:, [., or [="}},
      {25,
       mirror("<failover period='2s' handle_time='5s'/>"),
       {"E handle_time must be a multiple of period"}},
      {25, mirror("<failover period='0' handle_time='5s'/>"), {"E period must not be zero"}},
      {25, mirror("<failover><![CDATA[r: if (remote.tcp.x == down) then swap();]]></failover>"), {}},
      {25,
       mirror("<failover><![CDATA[\nr: if (tcp.x == down) then reboot();\ns: if (up) then stop();]]></failover>"),
       {"E line 2, column 28 of these rules: there is no action 'reboot();'",
        "E line 3, column 8 of these rules: a state alone is no condition: 'up'"}},
      {25, mirror("<failover><![CDATA[--Lua Rules\nRules.disable('x')]]></failover>"), {}},
      {25,
       mirror("<failover><![CDATA[\n--Lua Rules\nRules.disable(5)]]></failover>"),
       {"E line 3, column 1 of these rules: Rules.disable: the label of a rule, such as \"ip_failure\""}},
      {51,
       check("<splitbrain ident='w' exec='arping' arg='x'/>"),
       {"E exec 'arping' of <splitbrain> must be ping (or, beyond SafeKit, http, node, etcd or fence)"}},
      {51, check("<splitbrain ident='w' exec='ping' arg=' '/>"), {"E <splitbrain> names no witness"}},
      {51,
       check("<splitbrain ident='w' exec='ping' arg='x' lease='20'/>"),
       {"W lease of <splitbrain> is ignored with exec ping: an echo grants nothing"}},
      {51,
       check("<splitbrain ident='w' exec='etcd' arg='http://e1 https://e2:2379' lease='2'/>"),
       {"E lease of <splitbrain> must be from 3s to 1m"}},
      {51,
       check("<splitbrain ident='w' exec='etcd' arg='e1'/>"),
       {"E witness 'e1' of <splitbrain>: it must begin with https:// or http://"}},
      {51,
       check("<splitbrain ident='w' exec='http' arg='https://w/" + kKey + " https://w.b/" + kKey + "' lease='60'/>"),
       {}},
      {51,
       check("<splitbrain ident='w' exec='http' arg='https://w'/>"),
       {"E witness 'https://w' of <splitbrain>: it must end with '/' and the witness's key (`safekit witness --show` prints it)"}},
      {51,
       check("<splitbrain ident='w' exec='http' arg='https://w/" + kKey + " https://v/" + kOtherKey + "'/>"),
       {"E the URLs of <splitbrain> lead to different witnesses (their keys differ)"}},
      {51, check("<splitbrain ident='w' exec='fence' arg='/sbin/off -x'/>"), {}},
      {51,
       check("<splitbrain ident='w' exec='fence' arg='off' lease='20'/>"),
       {"E program 'off' of <splitbrain> must be an absolute path",
        "W lease of <splitbrain> is ignored with exec fence: a node that was switched off stays so"}},
      {51,
       check("<splitbrain ident='w' exec='node' arg='n1'/>"),
       {"E the witness 'n1' of <splitbrain> is a node of the module itself"}},
      {51,
       check("<splitbrain ident='w' exec='node' arg='n9 n8'/>"),
       {"E <splitbrain> names more than one node", "E the cluster has no node 'n9', the witness of <splitbrain>",
        "E the cluster has no node 'n8', the witness of <splitbrain>"}},
      {51,
       check("<splitbrain ident='w' exec='ping' arg='x' when='prim'/>"),
       {"E invalid value 'prim' for the attribute when (expected: pre)"}},
      {52, check("<module name='AM'/>"), {"E <module> AM checks itself"}},
  });
}

TEST(Validate, ScriptsWithoutUser) {
  const std::string yaml =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: l}\nspec:\n  mode: light\n  id: 1\n  nodes: "
      "[n1]\n"
      "  scripts:\n    enabled: false\n    environment: {1x: a}\n    files: {start_both: 'x', a/b: 'y'}\n";
  EXPECT_EQ(said(yaml, "m.yaml"), (std::vector<std::string>{"W <user> absent, scripts will not be executed",
                                                            "E '1x' is no name of an environment variable",
                                                            "E 'a/b' is no name of a script"}))
      << "row 45";
}

TEST(Validate, OurFormNamesIdAndNodes) {
  const auto yaml = [](const std::string& rest) {
    return "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: m}\nspec:\n  mode: mirror\n  heartbeats: "
           "[default]\n" +
           rest;
  };
  EXPECT_EQ(said(yaml(""), "m.yaml"),
            (std::vector<std::string>{"E spec.id has no value", "E spec.nodes has no value"}));
  EXPECT_EQ(said(yaml("  id: 1\n  nodes: [a, a, b]\n"), "m.yaml"),
            (std::vector<std::string>{"E a mirror runs on exactly two nodes, 3 are given",
                                      "E node a is given twice"}));
  EXPECT_EQ(said(yaml("  id: 10000\n  nodes: [a, b]\n"), "m.yaml"),
            (std::vector<std::string>{"E invalid value '10000' for the attribute id (expected: 1 to 9999)"}));
}

TEST(Validate, Clusters) {
  const std::string node1 = "<node name='a' addr='10.0.0.1'/>";
  const std::string node2 = "<node name='b' addr='10.0.0.2'/>";
  const auto lans = [](const std::string& inside) {
    return "<cluster><lans>" + inside + "</lans></cluster>";
  };
  const auto lan = [](const std::string& name, const std::string& nodes, const std::string& more = "") {
    return "<lan name='" + name + "' " + more + ">" + nodes + "</lan>";
  };
  const std::vector<Case> cases = {
      {48, lans(""), {"E at least one <lan> required"}},
      {48, lans(lan("l", node1)), {"E a cluster needs at least two nodes"}},
      {48,
       lans(lan("l", node1) + lan("m", node2)),
       {"E no network lists every node",
        "E the first network l carries the commands, but does not list every node"}},
      {48,
       lans(lan("l", node1 + node2, "command='on'") + lan("m", node1 + node2, "command='on'")),
       {"E more than one network has command=\"on\""}},
      {48,
       lans(lan("l", node1 + node2) + lan("m", node1, "command='on'")),
       {"E the command network m does not list every node"}},
      {48, lans(lan("l", node1 + node2) + lan("l", node1 + node2)), {"E network l is defined twice"}},
      {48,
       lans(lan("l", node1 + node2 + "<node name='a' addr='10.0.0.3'/>")),
       {"E node a is given twice on network l"}},
      {48,
       lans(lan("l", node1 + "<node name='b' addr='10.0.0.1'/>")),
       {"E address 10.0.0.1 is given twice on network l"}},
      {48,
       lans(lan("l", node1 + "<node name='b' addr='b.example' laddr='c.example'/>")),
       {"W address b.example is a name: it is looked up when the configuration is applied",
        "E laddr 'c.example' is no IP address"}},
      {4,
       lans(lan("l", node1 + node2, "admin='on' connect='off'")),
       {"W attribute admin of <lan> is obsolete and ignored",
        "W attribute connect of <lan> is obsolete and ignored"}},
      {2, "<cluster/>", {"E <lans> required in <cluster>", "E at least one <lan> required"}},
      {3,
       "<cluster version='1'><lans/></cluster>",
       {"E at least one <lan> required", "E unknown attribute version in tag <cluster>"}},
      {0, lans(lan("a b", node1 + node2)), {"E 'a b' is no network name"}},
  };
  for (const Case& one : cases) EXPECT_EQ(said(one.xml, "cluster.xml"), one.expected) << one.xml;
}

}  // namespace
}  // namespace safekit::check
