#include "e2e/sandbox/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <unistd.h>

#include "e2e/sandbox/cluster.h"
#include "e2e/sandbox/mounts.h"
#include "e2e/sandbox/network.h"
#include "e2e/sandbox/process.h"

namespace safekit::sandbox {

namespace fs = std::filesystem;

namespace {

constexpr Duration kKillWait = seconds(20);
/// `<root>/<name>` is the directory of that sandbox, or a link to it.
const fs::path kRoot = "/var/lib/safekit-sandbox";

Error with_context(std::string_view context, const Error& error) {
  return {error.code, fmt::format("{}: {}", context, error.what)};
}

/// One command at a time changes a sandbox; the lock ends with the descriptor.
Result<Fd> lock(const fs::path& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return system_error(directory.string());
  if (::flock(fd.get(), LOCK_EX) != 0) return system_error(fmt::format("locking '{}'", directory.string()));
  return fd;
}

/// A sandbox that exists, locked for a change.
struct Opened {
  fs::path directory{};
  Fd lock{};
  State state{};
};

Result<Opened> open_sandbox(const std::string& name) {
  SK_TRY_VOID(check_name("sandbox", name));
  std::error_code failure{};
  const fs::path directory = fs::canonical(kRoot / name, failure);
  const Error none{Code::NotFound,
                   fmt::format("no sandbox '{}'; make it with: safekit sandbox up --name {}", name, name)};
  if (failure) return none;
  SK_TRY(Fd held, lock(directory));
  auto state = load_state(directory);
  if (!state && state.error().code == Code::NotFound) return none;
  if (!state) return std::move(state).error();
  return Opened{directory, std::move(held), std::move(*state)};
}

NodeFiles files_of(const Opened& box, std::size_t member) {
  return {.directory = box.directory / box.state.topology.members[member].name,
          .hosts = box.directory / "hosts",
          .private_paths = box.state.private_paths};
}

Status start_switch(Opened& box) {
  if (is_running(box.state.switch_holder)) return {};
  SK_TRY_VOID(kill_and_wait(box.state.switch_holder, kKillWait));
  SK_TRY(Spawned holder,
         spawn(CLONE_NEWNET, {"switch", "--name", box.state.name}, box.directory / "switch.log"));
  box.state.switch_holder = holder.holder;
  SK_TRY_VOID(save_state(box.directory, box.state));
  return release(holder);
}

/// The order is what makes a half-made node harmless: its number is on disk and its cables are in before it
/// runs.
Status boot(Opened& box, std::size_t member) {
  const NodeFiles files = files_of(box, member);
  const std::string& name = box.state.topology.members[member].name;
  SK_TRY_VOID(kill_and_wait(box.state.holders[member], kKillWait));
  SK_TRY_VOID(make_node_files(files));
  SK_TRY_VOID(remove_cables(box.state, member));
  const std::vector<std::string> arguments{"init", "--dir", box.directory.string(), "--node", name};
  SK_TRY(Spawned node, spawn(kNodeNamespaces, arguments, files.directory / "log" / "init.log"));
  box.state.holders[member] = node.holder;
  SK_TRY_VOID(save_state(box.directory, box.state));
  SK_TRY_VOID(connect_member(box.state, member));
  return release(node);
}

Status power_off(Opened& box, std::size_t member) {
  Holder& holder = box.state.holders[member];
  holder.ending = true;
  SK_TRY_VOID(save_state(box.directory, box.state));
  if (is_alive(box.state.switch_holder)) SK_TRY_VOID(disconnect_member(box.state, member));
  SK_TRY_VOID(kill_and_wait(holder, kKillWait));
  remove_control_groups(files_of(box, member));
  if (is_alive(box.state.switch_holder)) SK_TRY_VOID(remove_cables(box.state, member));
  holder = {};
  return save_state(box.directory, box.state);
}

Status start_all(Opened& box, const Progress& progress) {
  SK_TRY_VOID(write_text(box.directory / "hosts", hosts_text(box.state.topology)));
  SK_TRY_VOID(start_switch(box));
  SK_TRY_VOID(make_bridges(box.state));
  for (std::size_t i = 0; i < box.state.topology.members.size(); ++i) {
    const std::string& name = box.state.topology.members[i].name;
    const bool runs = is_running(box.state.holders[i]);
    const Status done = runs ? connect_member(box.state, i) : boot(box, i);
    if (!done) return with_context(fmt::format("node '{}'", name), done.error());
    progress(fmt::format("{} {}", name, runs ? "runs already" : "started"));
  }
  return wait_for_links(box.state);
}

Status stop_all(Opened& box) {
  for (std::size_t i = 0; i < box.state.holders.size(); ++i) SK_TRY_VOID(power_off(box, i));
  box.state.switch_holder.ending = true;
  SK_TRY_VOID(save_state(box.directory, box.state));
  SK_TRY_VOID(kill_and_wait(box.state.switch_holder, kKillWait));
  box.state.switch_holder = {};
  box.state.cuts.clear();
  return save_state(box.directory, box.state);
}

/// Only what a sandbox makes: the directory may have been the user's before.
Status remove_files(const Opened& box) {
  std::error_code failure{};
  for (const Member& member : box.state.topology.members)
    if (!failure) fs::remove_all(box.directory / member.name, failure);
  for (const char* file : {"hosts", "cluster.yaml", "switch.log", "sandbox.json.new", "sandbox.json"})
    if (!failure) fs::remove(box.directory / file, failure);
  if (failure) return Error{Code::Io, fmt::format("'{}': {}", box.directory.string(), failure.message())};
  if (fs::is_empty(box.directory, failure)) fs::remove(box.directory, failure);
  if (fs::is_symlink(kRoot / box.state.name)) fs::remove(kRoot / box.state.name, failure);
  return {};
}

Result<std::vector<std::string>> normal_paths(const std::vector<std::string>& paths) {
  std::vector<std::string> list{};
  for (const std::string& text : paths.empty() ? std::vector<std::string>{"/srv"} : paths) {
    const fs::path path = fs::path(text + "/").lexically_normal().parent_path();
    if (!path.is_absolute() || path == "/")
      return Error{Code::Invalid, fmt::format("private path '{}': give an absolute path below /", text)};
    list.push_back(path.string());
  }
  return list;
}

Result<std::vector<std::string>> daemon_of(const UpOptions& options) {
  if (options.bare) return std::vector<std::string>{};
  const fs::path program =
      options.daemon.empty() ? program_directory() / "safekitd" : fs::absolute(options.daemon);
  if (::access(program.c_str(), X_OK) != 0)
    return Error{Code::NotFound,
                 fmt::format("no program '{}'; build it, name another with --daemon, or use --bare for "
                             "nodes without a daemon",
                             program.string())};
  return std::vector<std::string>{program.string()};
}

/// Subnets that other sandboxes have, running or not.
std::vector<std::uint32_t> used_subnets() {
  std::vector<std::uint32_t> used{};
  for (const auto& entry : fs::directory_iterator(kRoot)) {
    const auto state = load_state(entry.path());
    if (!state) continue;
    for (const Network& network : state->topology.networks)
      if (const auto k = subnet_of(network)) used.push_back(*k);
  }
  return used;
}

Result<Topology> topology_for(const UpOptions& options) {
  if (!options.cluster_file.empty()) {
    SK_TRY(const std::string text, read_text(options.cluster_file));
    return topology_of_cluster(text);
  }
  Request request{.node_count = options.node_count.value_or(2)};
  if (!options.networks.empty()) request.networks = options.networks;
  SK_TRY(request.first_subnet, free_subnet(used_subnets(), request.networks.size()));
  return plan_topology(request);
}

Result<State> plan_state(const UpOptions& options) {
  State state{.name = options.name};
  SK_TRY(state.topology, topology_for(options));
  SK_TRY(state.private_paths, normal_paths(options.private_paths));
  SK_TRY(state.daemon, daemon_of(options));
  state.holders.resize(state.topology.members.size());
  return state;
}

Status check_same_shape(const State& state, const UpOptions& options) {
  const std::size_t nodes = state.topology.members.size() - 1;
  bool same = !options.node_count || *options.node_count == nodes;
  if (!options.networks.empty()) {
    same = same && options.networks.size() == state.topology.networks.size();
    for (std::size_t i = 0; same && i < options.networks.size(); ++i)
      same = options.networks[i] == state.topology.networks[i].name;
  }
  if (same) return {};
  return Error{
      Code::Conflict,
      fmt::format("sandbox '{}' exists with {} nodes and other networks or counts than asked; take it "
                  "down first: safekit sandbox down --purge --name {}",
                  state.name, nodes, state.name)};
}

/// Records a new sandbox under the root's lock, so that names and subnets stay unique.
Result<Opened> create(const UpOptions& options) {
  std::error_code failure{};
  fs::create_directories(kRoot, failure);
  SK_TRY(const Fd root_lock, lock(kRoot));
  const fs::path home = kRoot / options.name;
  const fs::path directory = options.directory.empty() ? home : fs::absolute(options.directory);
  if (fs::is_symlink(home) && !fs::exists(home)) fs::remove(home, failure);
  SK_TRY(State state, plan_state(options));
  fs::create_directories(directory, failure);
  if (directory != home && !fs::exists(home)) fs::create_directory_symlink(directory, home, failure);
  if (failure) return Error{Code::Io, fmt::format("'{}': {}", directory.string(), failure.message())};
  if (fs::canonical(home) != fs::canonical(directory))
    return Error{Code::Conflict,
                 fmt::format("sandbox '{}' is in '{}' already", options.name, fs::canonical(home).string())};
  SK_TRY(Fd held, lock(directory));
  std::string cluster = cluster_text(state.topology, state.name);
  if (!options.cluster_file.empty()) {
    SK_TRY(cluster, read_text(options.cluster_file));
  }
  SK_TRY_VOID(write_text(directory / "cluster.yaml", cluster));
  SK_TRY_VOID(save_state(directory, state));
  return Opened{fs::canonical(directory), std::move(held), std::move(state)};
}

/// The (member, network) pairs that a cut or heal speaks of.
Result<std::vector<Cut>> select(const State& state, const CutOptions& options) {
  std::optional<std::size_t> member{};
  std::optional<std::size_t> network{};
  if (!options.node.empty()) {
    SK_TRY(member, find_member(state, options.node));
  }
  if (!options.network.empty()) {
    SK_TRY(network, find_network(state, options.network));
  }
  std::vector<Cut> list{};
  for (std::size_t m = 0; m < state.topology.members.size(); ++m)
    for (std::size_t n = 0; n < state.topology.networks.size(); ++n)
      if (member.value_or(m) == m && network.value_or(n) == n &&
          !state.topology.members[m].addresses[n].empty())
        list.push_back(
            {.member = m, .network = n, .kind = options.silent ? CutKind::Silent : CutKind::Unplugged});
  return list;
}

Status change_cuts(const std::string& name, const CutOptions& options, bool cut) {
  SK_TRY(Opened box, open_sandbox(name));
  SK_TRY(const std::vector<Cut> chosen, select(box.state, options));
  for (const Cut& one : chosen) {
    std::erase_if(box.state.cuts,
                  [&](const Cut& old) { return old.member == one.member && old.network == one.network; });
    if (cut) box.state.cuts.push_back(one);
  }
  SK_TRY_VOID(save_state(box.directory, box.state));
  for (std::size_t i = 0; i < box.state.holders.size(); ++i)
    if (is_alive(box.state.holders[i])) SK_TRY_VOID(apply_cuts(box.state, i));
  return cut ? Status{} : wait_for_links(box.state);
}

std::string describe_cut(const State& state, std::size_t member, std::size_t network) {
  const Cut* cut = find_cut(state, member, network);
  if (cut == nullptr) return "";
  return cut->kind == CutKind::Silent ? " (cut, silent)" : " (cut)";
}

}  // namespace

Status up(const UpOptions& options, const Progress& progress) {
  SK_TRY_VOID(check_name("sandbox", options.name));
  auto box = open_sandbox(options.name);
  const bool is_new = !box && box.error().code == Code::NotFound;
  if (is_new) box = create(options);
  if (!box) return std::move(box).error();
  if (!is_new) SK_TRY_VOID(check_same_shape(box->state, options));
  Status started = start_all(*box, progress);
  if (!started && is_new)
    (void)stop_all(*box);  // the first error is the one to tell; `down` can be asked again
  if (!started || box->state.daemon.empty() || fs::path(box->state.daemon.front()).filename() != "safekitd")
    return started;
  return form_cluster(box->directory, box->state, progress);  // what fails here is left up, to be looked at
}

Status down(const std::string& name, bool purge) {
  auto box = open_sandbox(name);
  if (!box && box.error().code == Code::NotFound) return {};
  if (!box) return std::move(box).error();
  SK_TRY_VOID(stop_all(*box));
  return purge ? remove_files(*box) : Status{};
}

Status kill_node(const std::string& name, const std::string& node) {
  SK_TRY(Opened box, open_sandbox(name));
  SK_TRY(const std::size_t member, find_member(box.state, node));
  return power_off(box, member);
}

Status start_node(const std::string& name, const std::string& node) {
  SK_TRY(Opened box, open_sandbox(name));
  SK_TRY(const std::size_t member, find_member(box.state, node));
  if (!is_alive(box.state.switch_holder))
    return Error{Code::Conflict,
                 fmt::format("sandbox '{}' is down; bring it up: safekit sandbox up --name {}", name, name)};
  if (!is_running(box.state.holders[member])) SK_TRY_VOID(boot(box, member));
  return wait_for_links(box.state);
}

Status cut(const std::string& name, const CutOptions& options) {
  return change_cuts(name, options, true);
}
Status heal(const std::string& name, const CutOptions& options) {
  return change_cuts(name, options, false);
}

Result<int> execute(const std::string& name, const std::string& node, const std::vector<std::string>& argv) {
  Holder holder{};
  {
    SK_TRY(const Opened box, open_sandbox(name));
    SK_TRY(const std::size_t member, find_member(box.state, node));
    holder = box.state.holders[member];
  }
  if (!is_alive(holder))
    return Error{Code::Unavailable,
                 fmt::format("node '{}' is not running; start it: safekit sandbox start {} --name {}", node,
                             node, name)};
  return run_attached({.argv = argv, .inside = holder, .namespaces = kNodeNamespaces});
}

Result<std::string> status_text(const std::string& name, bool as_json) {
  SK_TRY(const Opened box, open_sandbox(name));
  if (as_json) return to_json(box.state);
  std::string text =
      fmt::format("sandbox {} in {}\nvirtual addresses may be taken from {} on\n\n{:<12} {:<8} {:>8}", name,
                  box.directory.string(), virtual_address(box.state.topology), "NODE", "STATE", "PID 1");
  for (const Network& network : box.state.topology.networks) text += fmt::format("  {:<24}", network.name);
  for (std::size_t m = 0; m < box.state.topology.members.size(); ++m) {
    const Member& member = box.state.topology.members[m];
    const Holder& holder = box.state.holders[m];
    const bool runs = is_running(holder);
    text += fmt::format("\n{:<12} {:<8} {:>8}", member.name, runs ? "up" : "down",
                        runs ? fmt::format("{}", holder.pid) : "-");
    for (std::size_t n = 0; n < member.addresses.size(); ++n)
      text += fmt::format("  {:<24}", member.addresses[n].empty()
                                          ? "-"
                                          : member.addresses[n] + describe_cut(box.state, m, n));
  }
  return text + "\n";
}

}  // namespace safekit::sandbox
