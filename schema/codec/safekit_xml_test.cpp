#include "schema/codec/safekit_xml.h"

#include <gtest/gtest.h>

#include "schema/codec/encode.h"
#include "schema/codec/xml_value.h"
#include "schema/doc/xml.h"
#include "schema/doc/yaml.h"

namespace safekit::codec {
namespace {

using doc::Problems;

std::string lines_of(const Problems& problems) {
  std::string text;
  for (const doc::Problem& problem : problems.list()) text += to_string(problem) + "\n";
  return text;
}

template <class T>
T read_xml(const std::string& text, Problems& problems, const Environment& environment = {}) {
  const auto documents = doc::parse_xml(text, problems);
  if (documents.empty()) {
    ADD_FAILURE() << lines_of(problems);
    return {};
  }
  return std::get<T>(decode_xml(documents.front(), environment, problems)->object);
}

template <class T>
T through_yaml(const T& object) {
  Problems problems{"y"};
  const auto documents = doc::parse_yaml(doc::print_yaml(encode(object)), problems);
  const auto decoded = decode(documents.at(0), problems);
  EXPECT_EQ(lines_of(problems), "") << doc::print_yaml(encode(object));
  return std::get<T>(decoded->object);
}

/// XML -> spec -> YAML -> spec -> XML -> spec: nothing may change on the way, and the second XML is the first
/// again.
template <class T>
void expect_round_trip(const std::string& xml, const Environment& environment = {}) {
  Problems problems{"a.xml"};
  T object = read_xml<T>(xml, problems, environment);
  EXPECT_FALSE(problems.has_errors()) << lines_of(problems);
  if constexpr (std::is_same_v<T, spec::Module>) object.metadata.name = "m";
  const T from_yaml = through_yaml(object);
  EXPECT_EQ(from_yaml, object) << doc::print_yaml(encode(object));
  const std::string printed = print_safekit_xml(from_yaml);
  Problems again{"b.xml"};
  const T back = read_xml<T>(printed, again, environment);
  EXPECT_EQ(back, object) << printed << "\n"
                          << doc::print_yaml(encode(object)) << doc::print_yaml(encode(back));
  EXPECT_EQ(print_safekit_xml(back), printed);
}

constexpr std::string_view kEverything = R"(<!DOCTYPE safe>
<safe>
  <macro name="ROOT" value="/srv"/>
  <macro name="APP" value="%ROOT%/app"/>
  <service mode="mirror" id="2" boot="auto" boot_delay="60" failover="off" defaultprim="lastprim" maxloop="5"
           loop_interval="48" automatic_reboot="on">
    <heart port="9999" pulse="700" timeout="30" permanent_arp="off">
      <heartbeat name="default" pulse="500ms"/>
      <heartbeat name="repl" ident="flow" timeout="20s"/>
    </heart>
    <vip tcpreset="off" scriptcontrol="on"><interface_list>
      <interface check="off" arpreroute="on" arpinterval="30" arpelapse="10m" name="bond0"><real_interface>
        <virtual_addr addr="192.0.2.50" where="one_side_alias" check="off" connections="on" netmask="255.255.255.0"/>
        <virtual_addr addr="[2001:db8::5]" where="one_side_alias"/>
      </real_interface></interface>
      <interface><virtual_interface type="vmac_invisible" addr="5A:FE:C0:A8:38:14">
        <virtual_addr addr="192.0.2.51" where="one_side_alias"/></virtual_interface></interface>
    </interface_list></vip>
    <rfs mountoversuffix="_x" acl="on" async="none" packetsize="65536" reipacketsize="65536" ruzone_blocksize="131072"
         iotimeout="10" roflags="0x10000" locktimeout="200" sendtimeout="1m" nbrei="3" namespacepolicy="0"
         reitimeout="1h" reicommit="4" reidetail="on" allocthreshold="200" nbremconn="2" checktime="1000" checkintv="1m"
         nfsbox_options="nocross" scripts="on" reiallowedbw="40000" verifyevery="168h" verifybw="5000" syncdelta="10m" syncat="30 1 * * *"
         mountover="off" verify="on">
      <flow name="repl"/>
      <replicated dir="%APP%" mode="read_only">
        <notreplicated path="temp"/><notreplicated regexpath="!.*\.mdf$"/><tocheck path="VERSION"/>
      </replicated>
      <replicated dir="/data"/>
    </rfs>
    <user nicestoptimeout="5m" forcestoptimeout="10" logging="none" userlogsize="4096">
      <var name="HOME_OF" value="%HOME%"/><var name="EMPTY" value=""/><var name="PERCENT" value="100% %"/>
    </user>
    <vhost><virtualhostname name="v" envfile="vhostenv" when="both"/></vhost>
    <errd polltimer="10">
      <proc name="a" service="yes" nameregex="^a$" argregex=".*x" class="prim" action="restart"
            restart_services="b c, d" start_after="3" atleast="-1" atmax="0"/>
    </errd>
    <check>
      <tcp ident="t" when="prim" action="stopstart"><to addr="localhost" port="80" interval="5" timeout="1"/></tcp>
      <ping ident="p"><to addr="192.0.2.1"/></ping>
      <intf ident="i" when="pre" intf="eth0"><to local_addr="10.0.0.1"/></intf>
      <ip ident="x" when="prim"><to addr="192.0.2.7" interval="20s"/></ip>
      <custom ident="c" when="second" exec="c.sh" arg="a b" action="stop"/>
      <module name="other"><to addr="192.0.2.9" port="9453" secure="on"/></module>
      <module name="leader"/>
      <splitbrain ident="w" exec="ping" arg="192.0.2.1 192.0.2.2" when="pre"/>
    </check>
    <failover extends="no" period="1s" handle_time="4000">
      <![CDATA[
a: if (tcp.t == down) then restart();
      ]]>
      <![CDATA[--Lua Rules
Rules.disable("ip_failure")]]>
    </failover>
  </service>
</safe>
)";

TEST(SafekitXml, EveryElementAndAttributeIsReadAndKept) {
  Problems problems{"u.xml"};
  const auto module = read_xml<spec::Module>(std::string{kEverything}, problems, {{"HOME", "/root"}});
  EXPECT_FALSE(problems.has_errors()) << lines_of(problems);
  EXPECT_EQ(module.id, 2u);
  EXPECT_EQ(module.boot.delay, minutes{1});
  EXPECT_EQ(module.loop_interval, hours{48});
  EXPECT_EQ(module.heart->timeout, milliseconds{30});
  EXPECT_EQ(module.vip->interfaces.size(), 2u);
  EXPECT_EQ(module.replication->write_flags, 0x10000u);
  EXPECT_TRUE(module.replication->verify_after_resync);
  EXPECT_EQ(module.replication->verify_every, hours{168});
  EXPECT_EQ(module.replication->verify_rate_kb, 5000u);
  EXPECT_EQ(module.replication->directories[0].path, "/srv/app");
  EXPECT_EQ(module.replication->secondary_ack, spec::SecondaryAck::Durable);
  EXPECT_EQ(module.scripts->environment[0].value, "/root");
  EXPECT_EQ(module.scripts->environment[2].value, "100% %");
  EXPECT_EQ(module.errd->processes[0].restart_services, (std::vector<std::string>{"b c", "d"}));
  EXPECT_EQ(module.checkers.split_brain->witnesses.size(), 2u);
  EXPECT_EQ(ident_of(module.checkers.modules[1]), "leader_127.0.0.1");
  EXPECT_EQ(module.failover_rules->rules.size(), 2u);
  expect_round_trip<spec::Module>(std::string{kEverything}, {{"HOME", "/root"}});
}

TEST(SafekitXml, GivesBackMacrosAndTheWayThingsWereWritten) {
  Problems problems{"u.xml"};
  auto module = read_xml<spec::Module>(std::string{kEverything}, problems, {{"HOME", "/root"}});
  std::string text = print_safekit_xml(through_yaml(module));
  for (const std::string_view part : {R"(<macro name="APP" value="%ROOT%/app"/>)", R"(dir="%APP%")",
                                      R"(value="%HOME%")", R"(boot_delay="60")", R"(mountover="off")",
                                      R"(intf="eth0")", R"(mode="read_only")", R"(loop_interval="48")"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("<?safekit"), std::string::npos) << "XML can say all of it\n" << text;
  module.replication->directories[0].path = "/elsewhere";
  text = print_safekit_xml(module);
  EXPECT_NE(text.find(R"(dir="/elsewhere")"), std::string::npos)
      << "what was changed is written as it is now";
  EXPECT_NE(text.find(R"(boot_delay="60")"), std::string::npos);
}

TEST(SafekitXml, CarriesWhatXmlCannotSay) {
  spec::Module module;
  module.metadata = {.name = "pg", .labels = {{"a", "b?>"}}};
  module.id = 3;
  module.nodes = {NodeName{"n1"}, NodeName{"n2"}};
  module.heart.emplace().lans.push_back({.lan = LanName{"default"}});
  module.replication.emplace().directories.push_back({.path = "/d"});
  module.replication->durability = spec::Durability::Write;
  module.scripts.emplace().files["start_prim"] = "#!/bin/sh\necho '<&>' %PATH%\n";
  module.checkers.tcp.push_back(
      {.ident = "t", .when = spec::When::Second, .address = "a", .port = 1, .interval = milliseconds{500}});
  const std::string text = print_safekit_xml(module);
  Problems problems{"u.xml"};
  auto back = read_xml<spec::Module>(text, problems);
  EXPECT_FALSE(problems.has_errors()) << lines_of(problems);
  back.xml = {};
  EXPECT_EQ(back, module) << text;
}

TEST(SafekitXml, ClusterRoundTrip) {
  const std::string text =
      "<cluster><lans port=\"4801\" pulse=\"200\"><lan name=\"wan\" console=\"on\" command=\"on\">"
      "<node name=\"a\" addr=\"a.example\" laddr=\"10.0.0.5\"/><node name=\"b\" addr=\"[2001:db8::1]\"/>"
      "</lan></lans></cluster>";
  Problems problems{"cluster.xml"};
  const auto cluster = read_xml<spec::Cluster>(text, problems);
  EXPECT_EQ(lines_of(problems),
            "cluster.xml:1:56: warning: attribute console of <lan> is obsolete and ignored [obsolete]\n");
  EXPECT_EQ(cluster.pulse, milliseconds{200});
  EXPECT_EQ(cluster.lans[0].nodes[0].local_address, "10.0.0.5");
  expect_round_trip<spec::Cluster>(text);
}

TEST(SafekitXml, YamlModulesSurviveXml) {
  const std::string yaml =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: web}\nspec:\n  mode: farm\n  id: 2\n"
      "  nodes: [a, b, c]\n  farm: [default]\n  virtualIPs: [10.0.0.9]\n  vip:\n    loadBalancing:\n"
      "    - {name: g, nodes: {a: 3, b: 1}, rules: [{port: 80, protocol: tcp, filter: on_addr}]}\n"
      "  scripts: {}\n  processes: [nginx]\n";
  Problems problems{"m.yaml"};
  const auto decoded = decode(doc::parse_yaml(yaml, problems).at(0), problems);
  EXPECT_EQ(lines_of(problems), "");
  const auto& module = std::get<spec::Module>(decoded->object);
  EXPECT_EQ(through_yaml(module), module);
  const std::string xml = print_safekit_xml(module);
  const auto back = read_xml<spec::Module>(xml, problems);
  EXPECT_EQ(lines_of(problems), "") << xml;
  EXPECT_EQ(print_safekit_xml(back), xml);
  EXPECT_EQ(back.nodes, module.nodes);
  EXPECT_EQ(back.vip->groups, module.vip->groups);
}

TEST(SafekitXml, EveryErrorAtOnceWithItsPlace) {
  const std::string text = R"(<safe><macro name="M" value="a"/><macro name="M" value="b"/>
<service mode="miror" maxlop="3" boot_delay="500ms" maxloop="x">
  <hart/>
  <heart><heartbeat name="d" timeot="1"/></heart><heart/>
  <rfs nbthread="3" async="third"><replicated dir=""/></rfs>
  <http/>
  <check><tcp ident="a" when="prim"/><check><ping ident="p"><to addr="h"/></ping></check></check>
  <user><var name="%NOPE%x" value="%NOPE%"/>text</user>
  <vip><interface_list><interface><virtual_interface type="vmac_visible"/></interface></interface_list></vip>
</service></safe>)";
  Problems problems{"u.xml"};
  (void)read_xml<spec::Module>(text, problems);
  problems.sort();
  EXPECT_EQ(
      lines_of(problems),
      "u.xml:1:41: error: macro M defined twice (remove one) [macro-twice]\n"
      "u.xml:2:10: error: invalid value 'miror' for the attribute mode (expected: mirror|farm|light) (did "
      "you mean "
      "'mirror'?) [invalid-value]\n"
      "u.xml:2:23: error: unknown attribute maxlop in tag <service> (did you mean 'maxloop'?) "
      "[unknown-attribute]\n"
      "u.xml:2:34: error: invalid value '500ms' for the attribute boot_delay (expected time unit: 's') "
      "[time-unit]\n"
      "u.xml:2:53: error: invalid value 'x' for the attribute maxloop (expected: a whole number of 0 or "
      "more) "
      "[invalid-value]\n"
      "u.xml:3:3: error: unexpected tag <hart> in <service> (did you mean 'heart'?) [unknown-tag]\n"
      "u.xml:4:30: error: unknown attribute timeot in tag <heartbeat> (did you mean 'timeout'?) "
      "[unknown-attribute]\n"
      "u.xml:4:50: error: only one <heart> allowed (merge them) [only-one]\n"
      "u.xml:5:8: error: nbthread is no longer supported in <rfs> (remove it) [removed]\n"
      "u.xml:5:21: error: invalid value 'third' for the attribute async (expected: second|none) "
      "[invalid-value]\n"
      "u.xml:5:47: error: attribute dir of <replicated> has no value (write dir=\"...\") [no-value]\n"
      "u.xml:6:3: error: <http> is no longer supported (remove it) [removed]\n"
      "u.xml:7:10: error: <to> required in <tcp> [no-value]\n"
      "u.xml:7:38: warning: <check> inside <check>: both are taken as one [nested-check]\n"
      "u.xml:8:14: warning: %NOPE% not defined (add <macro name=\"NOPE\" value=\"...\"/>) [macro-unknown]\n"
      "u.xml:8:29: warning: %NOPE% not defined (add <macro name=\"NOPE\" value=\"...\"/>) [macro-unknown]\n"
      "u.xml:8:45: error: unexpected text in <user> (remove it) [unexpected-text]\n"
      "u.xml:9:54: error: type=\"vmac_visible\" is no longer supported in <virtual_interface> [removed]\n");
}

struct TimeVector {
  As unit{As::Seconds};
  std::string_view text{};
  std::int64_t ms{-1};  ///< -1: refused
  bool truncated{false};
};

TEST(XmlTime, ConvertsAsSpecified) {
  constexpr std::int64_t kHour = 3'600'000;
  const TimeVector vectors[] = {{As::Hours, "24", 24 * kHour},
                                {As::Hours, "24h", 24 * kHour},
                                {As::Hours, "1d", 24 * kHour},
                                {As::Seconds, "0", 0},
                                {As::Seconds, "0s", 0},
                                {As::Seconds, "500ms"},
                                {As::Seconds, "5ms"},
                                {As::Seconds, "50us"},
                                {As::Seconds, "0ms"},
                                {As::Milliseconds, "30000", 30000},
                                {As::Milliseconds, "30000ms", 30000},
                                {As::Milliseconds, "30s", 30000},
                                {As::Hours, "90m", kHour, true},
                                {As::Hours, "30m"},
                                {As::Minutes, "30s"},
                                {As::Minutes, "120s", 120000},
                                {As::Seconds, "1m", 60000},
                                {As::Seconds, "1500ms", 1000, true},
                                {As::Seconds, "10 s"},
                                {As::Seconds, "1.5s"},
                                {As::Seconds, "1h30m"},
                                {As::Seconds, "-1s"},
                                {As::Seconds, "10S"},
                                {As::Seconds, ""},
                                {As::Seconds, "s"},
                                {As::Seconds, "99999999999999999999"},
                                {As::Seconds, "9223372036854775807d"},
                                {As::Milliseconds, "5000000ns"}};
  for (const TimeVector& vector : vectors) {
    const auto time = parse_xml_time(vector.text, vector.unit);
    ASSERT_EQ(time.has_value(), vector.ms >= 0) << vector.text << unit_suffix(vector.unit);
    if (!time) continue;
    EXPECT_EQ(time->value, milliseconds{vector.ms}) << vector.text;
    EXPECT_EQ(time->truncated, vector.truncated) << vector.text;
  }
}

TEST(SafekitXml, MacrosAreExpandedInOrder) {
  Problems problems{"u.xml"};
  const auto module = read_xml<spec::Module>(
      R"(<safe><macro name="A" value="%HOME%"/><macro name="B" value="%A%-%C%"/><macro name="C" value="c"/>
         <service mode="light"><user><var name="X" value="%B% %C% 5% %%"/></user></service></safe>)",
      problems, {{"HOME", "h"}, {"A", "from the environment"}});
  EXPECT_EQ(module.scripts->environment[0].value, "h-%C% c 5% %%");
  EXPECT_EQ(module.xml.environment, (std::map<std::string, std::string>{{"HOME", "h"}}));
  EXPECT_EQ(problems.list().size(), 1u) << "C is used before it is known\n" << lines_of(problems);
}

TEST(SafekitXml, MutatedInputNeverCrashes) {
  std::uint64_t state = 7;
  const auto next = [&] {
    return state = state * 6364136223846793005ULL + 1442695040888963407ULL, state >> 33;
  };
  for (int round = 0; round < 400; ++round) {
    std::string text{kEverything};
    for (std::uint64_t edits = 1 + next() % 3; edits > 0; --edits) {
      const std::size_t at = next() % text.size();
      if (next() % 2 == 0) {
        // Between quotes a change keeps the file well-formed and reaches the values.
        const std::size_t quote = text.find('"', at);
        if (quote != std::string::npos) text.insert(quote, std::string(1, "x0%-. ["[next() % 7]));
      } else {
        text.erase(at, 1 + next() % 3);
      }
    }
    Problems problems{"f.xml"};
    for (const doc::Node& document : doc::parse_xml(text, problems)) {
      const auto decoded = decode_xml(document, {}, problems);
      if (decoded && !problems.has_errors()) (void)print_safekit_xml(std::get<spec::Module>(decoded->object));
    }
  }
}

}  // namespace
}  // namespace safekit::codec
