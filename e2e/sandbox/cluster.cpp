#include "e2e/sandbox/cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "e2e/sandbox/process.h"

namespace safekit::sandbox {

namespace fs = std::filesystem;

namespace {

constexpr Duration kDaemonWaitMax = seconds(30);
constexpr Duration kDaemonPoll = milliseconds(20);
constexpr std::string_view kTokenStart = "sk1.";

/// The node's socket lies in a directory of this machine; a path through its descriptor is always short
/// enough.
bool daemon_answers(const fs::path& run_directory) {
  const Fd directory(::open(run_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = fmt::format("/proc/self/fd/{}/safekitd.sock", directory.get());
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

Status wait_for_daemon(const fs::path& node_directory) {
  for (Duration waited{0}; waited < kDaemonWaitMax; waited += kDaemonPoll) {
    if (daemon_answers(node_directory / "run")) return {};
    (void)::poll(nullptr, 0, static_cast<int>(kDaemonPoll / milliseconds(1)));
  }
  return Error{Code::Timeout,
               fmt::format("safekitd does not answer after {}; see '{}'", to_string(kDaemonWaitMax),
                           (node_directory / "log" / "safekitd.log").string())};
}

/// What `safekit WORDS...` prints on a node.
Result<std::string> safekit_on(const Holder& node, std::vector<std::string> words) {
  words.insert(words.begin(), "safekit");
  SK_TRY(const Completed done, run({.argv = words, .inside = node, .namespaces = kNodeNamespaces}));
  if (done.code == 0) return done.output;
  return Error{Code::Io, fmt::format("safekit {} {}: {}", words[1], words[2], done.output)};
}

Result<std::string> new_token(const Holder& node) {
  SK_TRY(const std::string text, safekit_on(node, {"cluster", "token"}));
  const auto begin = text.find(kTokenStart);
  if (begin == std::string::npos)
    return Error{Code::Io, fmt::format("'safekit cluster token' gave no token: {}", text)};
  return text.substr(begin, text.find_first_of(" \n\"',", begin) - begin);
}

Status add_node(const fs::path& directory, const State& state, std::size_t member) {
  const std::string& name = state.topology.members[member].name;
  const fs::path files = directory / name;
  SK_TRY_VOID(wait_for_daemon(files));
  if (fs::exists(files / "state" / "pki" / "cluster.id")) return {};
  if (member == 0) {
    SK_TRY(const std::string cluster, read_text(directory / "cluster.yaml"));
    SK_TRY_VOID(write_text(files / "etc" / "cluster.yaml", cluster));
    const std::string file = "/etc/safekit/cluster.yaml";
    SK_TRY_VOID(safekit_on(state.holders[0], {"cluster", "init", "--node", name, "-f", file}));
    return {};
  }
  SK_TRY(const std::string token, new_token(state.holders[0]));
  SK_TRY_VOID(safekit_on(state.holders[member], {"cluster", "join", token, "--node", name}));
  return {};
}

}  // namespace

Status form_cluster(const fs::path& directory, const State& state, const Progress& progress) {
  for (std::size_t i = 0; i < state.topology.members.size(); ++i) {
    const std::string& name = state.topology.members[i].name;
    if (name == kClientName) continue;
    if (const Status added = add_node(directory, state, i); !added)
      return Error{added.error().code, fmt::format("node '{}': {}", name, added.error().what)};
  }
  progress(fmt::format("cluster of {} nodes formed", state.topology.members.size() - 1));
  return {};
}

}  // namespace safekit::sandbox
