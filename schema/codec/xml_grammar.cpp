#include "schema/codec/xml_grammar.h"

#include <algorithm>
#include <array>

namespace safekit::codec {
namespace {

constexpr bool kRequired = true;
constexpr std::string_view kWhen = "pre prim second both";
constexpr std::string_view kAction = "stop stopstart restart wait noaction";

const XmlElement kServer{"server", {{"addr", "", As::Text, "", kRequired}}, {}, {}};

// cluster.xml

const XmlElement kClusterNode{"node",
                              {{"name", "name", As::Text, "", kRequired},
                               {"addr", "address", As::Text, "", kRequired},
                               {"laddr", "localAddress"}},
                              {},
                              {}};
const XmlElement kClusterLan{"lan",
                             {{"name", "name", As::Text, "", kRequired},
                              {"command", "command", As::OnOff},
                              {"console", "", As::Obsolete},
                              {"framework", "", As::Obsolete},
                              {"connect", "", As::Obsolete},
                              {"admin", "", As::Obsolete}},
                             {{&kClusterNode, "nodes", How::List}},
                             {}};
const XmlElement kLans{"lans",
                       {{"port", "port", As::Port},
                        {"pulse", "pulse", As::Milliseconds},
                        {"mlost_count", "leaderLostCount", As::Count},
                        {"slost_count", "followerLostCount", As::Count}},
                       {{&kClusterLan, "lans", How::List}},
                       {}};
const XmlElement kCluster{"cluster", {}, {{&kLans, "", How::Merge, true, true}}, {}};

// heart, farm

const XmlElement kHeartbeat{"heartbeat",
                            {{"name", "name"},
                             {"ident", "ident"},
                             {"pulse", "pulse", As::Milliseconds},
                             {"timeout", "timeout", As::Milliseconds}},
                            {{&kServer, "legacyServers", How::Texts}},
                            {}};
const XmlElement kHeart{"heart",
                        {{"port", "port", As::Port},
                         {"pulse", "pulse", As::Milliseconds},
                         {"timeout", "timeout", As::Milliseconds},
                         {"permanent_arp", "permanentArp", As::OnOff}},
                        {{&kHeartbeat, "lans", How::List}},
                        {}};
const XmlElement kFarmNode{
    "node",
    {{"name", "name", As::Text, "", kRequired}, {"addr", "address", As::Text, "", kRequired}},
    {},
    {}};
const XmlElement kFarmLan{
    "lan", {{"name", "name"}, {"addr", "", As::Removed}}, {{&kFarmNode, "legacyNodes", How::List}}, {}};
const XmlElement kFarm{"farm",
                       {{"port", "port", As::Port},
                        {"pulse", "pulse", As::Milliseconds},
                        {"mlost_count", "leaderLostCount", As::Count},
                        {"slost_count", "followerLostCount", As::Count}},
                       {{&kFarmLan, "lans", How::List}},
                       {}};

// vip

const XmlElement kVirtualAddr{"virtual_addr",
                              {{"addr", "address", As::Text, "", kRequired},
                               {"where", "where", As::Word, "alias one_side_alias one_side"},
                               {"check", "check", As::OnOff},
                               {"connections", "connections", As::OnOff},
                               {"netmask", "netmask"}},
                              {},
                              {}};
const XmlElement kRealInterface{"real_interface", {}, {{&kVirtualAddr, "addresses", How::List}}, {}};
const XmlElement kVirtualInterface{
    "virtual_interface",
    {{"type", "type", As::Word, "vmac_directed vmac_invisible !vmac_visible"}, {"addr", "mac"}},
    {{&kVirtualAddr, "addresses", How::List}},
    {}};
const XmlElement kInterface{"interface",
                            {{"name", "name"},
                             {"check", "check", As::OnOff},
                             {"arpreroute", "arpReroute", As::OnOff},
                             {"arpinterval", "arpInterval", As::Seconds},
                             {"arpelapse", "arpElapse", As::Seconds}},
                            {},
                            {}};
const XmlElement kInterfaceList{"interface_list", {}, {{&kInterface, "interfaces", How::Interface}}, {}};
const XmlElement kHost{
    "host", {{"name", "name", As::Text, "", kRequired}, {"power", "power", As::Count}}, {}, {}};
const XmlElement kGroupCluster{"cluster", {}, {{&kHost, "nodes", How::List}}, {}};
const XmlElement kRule{"rule",
                       {{"virtual_addr", "virtualAddress"},
                        {"port", "port", As::Port, "*"},
                        {"proto", "protocol", As::Word, "tcp udp arp !forward", kRequired},
                        {"filter", "filter", As::Word, "on_addr on_port on_ipid !on_route", kRequired}},
                       {},
                       {}};
const XmlElement kGroup{"group",
                        {{"name", "name", As::Text, "", kRequired}},
                        {{&kGroupCluster, "", How::Merge, true}, {&kRule, "rules", How::List}},
                        {}};
const XmlElement kBalancing{"loadbalancing_list", {}, {{&kGroup, "loadBalancing", How::List}}, {}};
const XmlElement kVip{"vip",
                      {{"tcpreset", "tcpReset", As::OnOff}, {"scriptcontrol", "scriptControl", As::OnOff}},
                      {{&kInterfaceList, "", How::Merge, true}, {&kBalancing, "", How::Merge, true}},
                      {}};

// rfs

const XmlElement kNotReplicated{"notreplicated", {{"path", "path"}, {"regexpath", "regex"}}, {}, {}};
const XmlElement kToCheck{"tocheck", {{"path", "", As::Text, "", kRequired}}, {}, {}};
const XmlElement kReplicated{
    "replicated",
    {{"dir", "path", As::Text, "", kRequired}, {"mode", "", As::Word, "read_only"}},
    {{&kNotReplicated, "notReplicated", How::List}, {&kToCheck, "toCheck", How::Texts}},
    {}};
const XmlElement kFlow{"flow", {{"name", "lan"}}, {{&kServer, "legacyFlowServers", How::Texts}}, {}};
const XmlElement kRfs{"rfs",
                      {{"mountoversuffix", "mountOverSuffix"},
                       {"acl", "acl", As::OnOff},
                       {"async", "secondaryAck", As::Word, "second=received none=durable"},
                       {"packetsize", "packetSize", As::Count},
                       {"reipacketsize", "resyncPacketSize", As::Count},
                       {"ruzone_blocksize", "zoneSize", As::Count},
                       {"iotimeout", "ioTimeout", As::Seconds},
                       {"roflags", "writeFlags", As::Hex},
                       {"locktimeout", "lockTimeout", As::Seconds},
                       {"sendtimeout", "sendTimeout", As::Seconds},
                       {"nbrei", "resyncThreads", As::Count},
                       {"namespacepolicy", "namespacePolicy", As::Word, "0 1 3 4"},
                       {"reitimeout", "resyncTimeout", As::Seconds},
                       {"reicommit", "resyncCommit", As::Count},
                       {"reidetail", "resyncDetail", As::OnOff},
                       {"allocthreshold", "preallocateGb", As::Count},
                       {"nbremconn", "connections", As::Count},
                       {"checktime", "checkTimeout", As::Milliseconds},
                       {"checkintv", "checkInterval", As::Seconds},
                       {"nfsbox_options", "reparsePoints", As::Word, "cross nocross"},
                       {"scripts", "callbacks", As::OnOff},
                       {"reiallowedbw", "resyncBandwidthKb", As::Count},
                       {"verify", "verifyAfterResync", As::OnOff},
                       {"verifyevery", "verifyEvery", As::Seconds},
                       {"verifybw", "verifyRateKb", As::Count},
                       {"syncdelta", "syncDelta", As::Minutes},
                       {"syncat", "syncAt"},
                       {"mountover", "", As::Obsolete},
                       {"smartreintegration", "namespacePolicy", As::Obsolete, "4=0 5=0 8=4"},
                       {"pmapset", "", As::Obsolete},
                       {"smartwrite", "", As::Obsolete},
                       {"nbnfsd", "", As::Removed},
                       {"nbbiod", "", As::Removed},
                       {"maxnbretrans", "", As::Removed},
                       {"synctime", "", As::Removed},
                       {"nfs_vers", "", As::Removed},
                       {"transport", "", As::Removed},
                       {"nbthread", "", As::Removed}},
                      {{&kFlow, "", How::Merge, true}, {&kReplicated, "directories", How::List}},
                      {}};

// user, vhost, errd

const XmlElement kVar{"var", {{"name", "name", As::Text, "", kRequired}, {"value", "value"}}, {}, {}};
const XmlElement kUser{"user",
                       {{"nicestoptimeout", "niceStopTimeout", As::Seconds},
                        {"forcestoptimeout", "forceStopTimeout", As::Seconds},
                        {"logging", "logging", As::Word, "userlog none"},
                        {"userlogsize", "logSizeKb", As::Count}},
                       {{&kVar, "environment", How::List}},
                       {}};
const XmlElement kVirtualHostname{"virtualhostname",
                                  {{"name", "name", As::Text, "", kRequired},
                                   {"envfile", "envFile", As::Text, "", kRequired},
                                   {"when", "when", As::Word, "prim second both"}},
                                  {},
                                  {}};
const XmlElement kVhost{"vhost", {}, {{&kVirtualHostname, "virtualHostnames", How::List}}, {}};
const XmlElement kProc{"proc",
                       {{"name", "name", As::Text, "", kRequired},
                        {"service", "service", As::YesNo},
                        {"nameregex", "nameRegex"},
                        {"argregex", "argRegex"},
                        {"class", "class", As::Text, "", kRequired},
                        {"action", "action"},
                        {"restart_services", "restartServices", As::CommaList},
                        {"start_after", "startAfter", As::Count},
                        {"atleast", "atLeast", As::Int},
                        {"atmax", "atMost", As::Int},
                        {"failureifexit", "", As::Removed},
                        {"failureifexception", "", As::Removed}},
                       {},
                       {}};
const XmlElement kErrd{"errd", {{"polltimer", "poll", As::Seconds}}, {{&kProc, "processes", How::List}}, {}};

// check

const XmlAttribute kIdent{"ident", "ident", As::Text, "", kRequired};
const XmlAttribute kInterval{"interval", "interval", As::Seconds};
const XmlAttribute kTimeout{"timeout", "timeout", As::Seconds};
const XmlAttribute kAddr{"addr", "address", As::Text, "", kRequired};
const XmlAttribute kCheckerAction{"action", "action", As::Word, kAction};
const XmlElement kTcpTo{
    "to", {kAddr, {"port", "port", As::Port, "", kRequired}, kInterval, kTimeout}, {}, {}};
const XmlElement kTcp{"tcp",
                      {kIdent, {"when", "when", As::Word, kWhen, kRequired}, kCheckerAction},
                      {{&kTcpTo, "", How::Merge, true, kRequired}},
                      {}};
const XmlElement kPingTo{"to", {kAddr, kInterval, kTimeout}, {}, {}};
const XmlElement kPing{"ping",
                       {kIdent, {"when", "when", As::Word, kWhen}, kCheckerAction},
                       {{&kPingTo, "", How::Merge, true, kRequired}},
                       {}};
const XmlElement kIntfTo{"to", {{"local_addr", "localAddress", As::Text, "", kRequired}}, {}, {}};
const XmlElement kIntf{"intf",
                       {kIdent, {"when", "", As::Word, "pre"}, {"intf", "", As::Obsolete}},
                       {{&kIntfTo, "", How::Merge, true, kRequired}},
                       {}};
const XmlElement kIpTo{"to", {kAddr, kInterval}, {}, {}};
const XmlElement kIp{
    "ip", {kIdent, {"when", "when", As::Word, "prim both"}}, {{&kIpTo, "", How::Merge, true, kRequired}}, {}};
const XmlElement kCustom{"custom",
                         {kIdent,
                          {"when", "when", As::Word, kWhen, kRequired},
                          {"exec", "exec", As::Text, "", kRequired},
                          {"arg", "arg"},
                          kCheckerAction,
                          kInterval,
                          kTimeout},
                         {},
                         {}};
const XmlElement kModuleTo{
    "to",
    {{"addr", "address"}, {"port", "port", As::Port}, kInterval, kTimeout, {"secure", "secure", As::OnOff}},
    {},
    {}};
const XmlElement kModule{"module",
                         {{"name", "name", As::Text, "", kRequired}, {"ident", "ident"}},
                         {{&kModuleTo, "", How::Merge, true}},
                         {}};
const XmlElement kSplitBrain{
    "splitbrain",
    {kIdent, {"exec", "exec"}, {"arg", "witnesses", As::SpaceList}, {"lease", "lease", As::Seconds}, {"when", "", As::Word, "pre"}},
    {},
    {}};
const XmlElement kCheck{"check",
                        {},
                        {{&kTcp, "tcp", How::List},
                         {&kPing, "ping", How::List},
                         {&kIntf, "interfaces", How::List},
                         {&kIp, "ip", How::List},
                         {&kCustom, "custom", How::List},
                         {&kModule, "modules", How::List},
                         {&kSplitBrain, "splitBrain", How::Map, true}},
                        {}};

const XmlElement kFailover{"failover",
                           {{"extends", "extends", As::YesNo},
                            {"period", "period", As::Milliseconds},
                            {"handle_time", "handleTime", As::Milliseconds}},
                           {},
                           "rules"};

const XmlElement kService{"service",
                          {{"mode", "mode", As::Word, "mirror farm light", kRequired},
                           {"id", "id", As::Count},
                           {"boot", "boot.policy", As::Word, "on off auto ignore"},
                           {"boot_delay", "boot.delay", As::Seconds},
                           {"failover", "failover", As::OnOff},
                           {"defaultprim", "defaultPrimary"},
                           {"maxloop", "maxLoop", As::Count},
                           {"loop_interval", "loopInterval", As::Hours},
                           {"automatic_reboot", "automaticReboot", As::OnOff}},
                          {{&kHeart, "heartbeats", How::Map, true},
                           {&kFarm, "farm", How::Map, true},
                           {&kVip, "vip", How::Map, true},
                           {&kRfs, "replication", How::Map, true},
                           {&kUser, "scripts", How::Map, true},
                           {&kVhost, "", How::Merge, true},
                           {&kErrd, "errd", How::Map, true},
                           {&kCheck, "checkers", How::Map},
                           {&kFailover, "failoverRules", How::Map, true}},
                          {}};

}  // namespace

const XmlElement& cluster_grammar() {
  return kCluster;
}
const XmlElement& service_grammar() {
  return kService;
}
const XmlElement& real_interface_grammar() {
  return kRealInterface;
}
const XmlElement& virtual_interface_grammar() {
  return kVirtualInterface;
}

bool is_removed_element(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kRemoved{"application_module", "proxyudp", "http", "snmp"};
  return std::find(kRemoved.begin(), kRemoved.end(), name) != kRemoved.end();
}

}  // namespace safekit::codec
