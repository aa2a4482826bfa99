#include "e2e/sandbox/network.h"

#include <poll.h>
#include <sched.h>

#include <sstream>

#include "e2e/sandbox/process.h"

namespace safekit::sandbox {

namespace {

constexpr Duration kLinkWaitMax = seconds(10);
constexpr Duration kLinkPoll = milliseconds(10);

/// Commands of ip(8), one a line, in the network namespace of `holder`.
Status run_ip(const Holder& holder, const std::string& batch) {
  if (batch.empty()) return {};
  SK_TRY(const Completed done,
         run({.argv = {"ip", "-batch", "-"}, .inside = holder, .namespaces = CLONE_NEWNET, .input = batch}));
  if (done.code == 0) return {};
  return Error{Code::Io, fmt::format("ip: {}(while doing:\n{})", done.output, batch)};
}

bool has_interface(const Holder& holder, const std::string& name) {
  const auto text = read_text(fmt::format("/proc/{}/net/dev", holder.pid));
  std::istringstream lines(text.value_or(""));
  for (std::string line{}; std::getline(lines, line);) {
    const auto begin = line.find_first_not_of(' ');
    if (begin != std::string::npos && line.compare(begin, name.size() + 1, name + ":") == 0) return true;
  }
  return false;
}

/// The same after each power-on, as with a real network card: peers need not learn it again.
std::string hardware_address(std::size_t member, std::size_t network) {
  return fmt::format("02:99:00:{:02x}:00:{:02x}", network, member + 1);
}

/// One line for each cable of a member that is there; `{}` of the pattern is the switch's end.
std::string for_each_port(const State& state, std::size_t member, std::string_view pattern) {
  std::string batch{};
  for (std::size_t i = 0; i < state.topology.networks.size(); ++i)
    if (has_interface(state.switch_holder, port_name(member, i)))
      batch += fmt::format(fmt::runtime(pattern), port_name(member, i));
  return batch;
}

/// Does it to all ports of a member at once. A port may vanish meanwhile, when its node has just died.
Status change_ports(const State& state, std::size_t member, std::string_view pattern) {
  for (;;) {
    const std::string batch = for_each_port(state, member, pattern);
    Status done = run_ip(state.switch_holder, batch);
    if (done || for_each_port(state, member, pattern) == batch) return done;
  }
}

/// Every cable that should carry frames does, by the output of `ip -br link`: "port0e0@if4  UP  ...".
bool all_links_up(const State& state, const std::string& links) {
  for (std::size_t m = 0; m < state.holders.size(); ++m)
    for (std::size_t n = 0; n < state.topology.networks.size(); ++n) {
      if (!is_alive(state.holders[m]) || state.topology.members[m].addresses[n].empty() ||
          find_cut(state, m, n) != nullptr)
        continue;
      const auto line = links.find(port_name(m, n) + "@");
      if (line == std::string::npos ||
          links.substr(line, links.find('\n', line) - line).find(" UP ") == std::string::npos)
        return false;
    }
  return true;
}

}  // namespace

Status make_bridges(const State& state) {
  std::string batch{};
  for (std::size_t i = 0; i < state.topology.networks.size(); ++i) {
    const std::string bridge = bridge_name(i);
    if (!has_interface(state.switch_holder, bridge))
      batch += fmt::format("link add {} type bridge forward_delay 0 mcast_snooping 0\n", bridge);
    batch += fmt::format("link set {} up\n", bridge);
  }
  return run_ip(state.switch_holder, batch);
}

Status connect_member(const State& state, std::size_t member) {
  const Holder& holder = state.holders[member];
  const std::vector<std::string>& addresses = state.topology.members[member].addresses;
  std::string cables{};
  std::string interfaces = "link set lo up\n";
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].empty()) continue;
    const std::string name = interface_name(i);
    if (!has_interface(state.switch_holder, port_name(member, i)))
      cables += fmt::format("link add {} type veth peer name {} address {} netns {}\n", port_name(member, i),
                            name, hardware_address(member, i), holder.pid);
    interfaces +=
        fmt::format("addr replace {}/24 broadcast + dev {}\nlink set {} up\n", addresses[i], name, name);
  }
  SK_TRY_VOID(run_ip(state.switch_holder, cables));
  SK_TRY_VOID(run_ip(holder, interfaces));
  return apply_cuts(state, member);
}

Status disconnect_member(const State& state, std::size_t member) {
  return change_ports(state, member, "link set {} down\n");
}

Status remove_cables(const State& state, std::size_t member) {
  return change_ports(state, member, "link del {}\n");
}

Status wait_for_links(const State& state) {
  if (!is_alive(state.switch_holder)) return {};
  std::string links{};
  for (Duration waited{0}; waited < kLinkWaitMax; waited += kLinkPoll) {
    SK_TRY(const Completed done,
           run({.argv = {"ip", "-br", "link"}, .inside = state.switch_holder, .namespaces = CLONE_NEWNET}));
    if (all_links_up(state, done.output)) return {};
    links = done.output;
    (void)::poll(nullptr, 0, static_cast<int>(kLinkPoll / milliseconds(1)));
  }
  return Error{Code::Timeout,
               fmt::format("the cables carry nothing after {}:\n{}", to_string(kLinkWaitMax), links)};
}

Status apply_cuts(const State& state, std::size_t member) {
  std::string batch{};
  for (std::size_t i = 0; i < state.topology.networks.size(); ++i) {
    const std::string port = port_name(member, i);
    if (!has_interface(state.switch_holder, port)) continue;
    const Cut* cut = find_cut(state, member, i);
    if (cut == nullptr)
      batch += fmt::format("link set {} master {} up\n", port, bridge_name(i));
    else if (cut->kind == CutKind::Silent)
      batch += fmt::format("link set {} nomaster up\n", port);
    else
      batch += fmt::format("link set {} down\n", port);
  }
  return run_ip(state.switch_holder, batch);
}

}  // namespace safekit::sandbox
