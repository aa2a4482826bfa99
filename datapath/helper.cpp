/// safekit-helper: the helpers of scripts that `safekit -r NAME` runs (spec/operations.md 1.12).
///
///   boundcmd SECONDS COMMAND [argument...]          exit code of the command, or 2 when it did not end in time
///   processtree list|kill all|COMMAND [REGEX|MODULE]   processes below each other; `all MODULE`: those with SAFEMODULE=MODULE
///   errdpoll_running                                 every process, a line each, into $SAFEVAR/errdpoll_reserrd
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "datapath/linux/files.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/process.h"

namespace {

using safekit::ProcessInfo;

constexpr int kUsage = 64;      // EX_USAGE
constexpr int kTimeOut = 2;     // boundcmd
constexpr int kNotFound = 127;  // as shells say it

int complain(const std::string& what) {
  std::fprintf(stderr, "safekit-helper: %s\n", what.c_str());
  return 1;
}

void on_alarm(int) {}

int bound_command(char** words) {
  char* end = nullptr;
  const unsigned long limit = words[0] == nullptr ? 0 : std::strtoul(words[0], &end, 10);
  if (limit == 0 || *end != '\0' || words[1] == nullptr) return complain("say boundcmd SECONDS COMMAND [argument...]"), kUsage;
  const pid_t child = ::fork();
  if (child < 0) return complain("no process");
  if (child == 0) {
    ::setpgid(0, 0);
    ::execvp(words[1], words + 1);
    ::_exit(kNotFound);
  }
  ::setpgid(child, child);
  struct sigaction action {};
  action.sa_handler = on_alarm;  // without SA_RESTART: it ends the wait
  ::sigaction(SIGALRM, &action, nullptr);
  ::alarm(static_cast<unsigned>(limit));
  int status = 0;
  const bool ended = ::waitpid(child, &status, 0) == child;
  if (!ended) {
    ::kill(-child, SIGKILL);
    ::waitpid(child, &status, 0);
    return kTimeOut;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

safekit::Result<std::vector<ProcessInfo>> all_processes() {
  safekit::linux_os::AsioLoop loop;
  return safekit::linux_os::SystemProcesses{loop}.list();
}

bool is_of_module(const ProcessInfo& process, const std::string& module) {
  const auto text = safekit::linux_os::read_file(fmt::format("/proc/{}/environ", process.identity.pid));
  const std::string wanted = "SAFEMODULE=" + module;
  return text && (text->starts_with(wanted + '\0') || text->find('\0' + wanted + '\0') != std::string::npos);
}

struct Tree {
  std::map<std::int32_t, std::vector<const ProcessInfo*>> children{};
  std::vector<const ProcessInfo*> roots{};
};

/// The matching ones and all that they have started.
Tree tree_of(const std::vector<ProcessInfo>& all, const std::vector<const ProcessInfo*>& matching) {
  Tree tree;
  std::map<std::int32_t, const ProcessInfo*> known;
  for (const ProcessInfo& process : all) {
    known[process.identity.pid] = &process;
    tree.children[process.parent].push_back(&process);
  }
  const auto is_below_another = [&](const ProcessInfo* process) {
    for (auto up = known.find(process->parent); up != known.end(); up = known.find(up->second->parent)) {
      if (std::ranges::find(matching, up->second) != matching.end()) return true;
    }
    return false;
  };
  std::ranges::copy_if(matching, std::back_inserter(tree.roots), [&](const ProcessInfo* one) { return !is_below_another(one); });
  return tree;
}

/// Children first, so that nothing is started again by who is left.
void visit(const Tree& tree, const ProcessInfo& process, std::size_t depth, bool kill) {
  if (!kill) {
    std::printf("%s%d %s\n", std::string(depth * 2, ' ').c_str(), process.identity.pid,
                process.arguments.empty() ? process.command.c_str() : process.arguments.c_str());
  }
  if (const auto children = tree.children.find(process.identity.pid); children != tree.children.end()) {
    for (const ProcessInfo* child : children->second) visit(tree, *child, depth + 1, kill);
  }
  if (kill && process.identity.pid != ::getpid()) ::kill(process.identity.pid, SIGKILL);
}

int process_tree(char** words) {
  const std::string verb = words[0] == nullptr ? "" : words[0];
  const std::string command = verb.empty() || words[1] == nullptr ? "" : words[1];
  const std::string more = command.empty() || words[2] == nullptr ? "" : words[2];
  const bool kill = verb == "kill";
  if ((!kill && verb != "list") || command.empty()) return complain("say processtree list|kill all|COMMAND [REGEX|MODULE]"), kUsage;
  if (kill && command == "all" && more.empty()) return complain("kill all of which module?"), kUsage;
  const auto all = all_processes();
  if (!all) return complain(all.error().what);
  std::vector<const ProcessInfo*> matching;
  try {
    const std::regex pattern{more, std::regex::extended};
    for (const ProcessInfo& process : *all) {
      const bool is_own = process.identity.pid == ::getpid() || process.identity.pid == ::getppid();
      const bool matches = command == "all" ? more.empty() || is_of_module(process, more)
                                            : process.command == command.substr(0, 15) && std::regex_search(process.arguments, pattern);
      if (matches && !is_own) matching.push_back(&process);
    }
  } catch (const std::regex_error& error) {
    return complain(fmt::format("'{}' is no regular expression: {}", more, error.what())), kUsage;
  }
  const Tree tree = tree_of(*all, matching);
  for (const ProcessInfo* root : tree.roots) visit(tree, *root, 0, kill);
  return 0;
}

int running() {
  const char* var = std::getenv("SAFEVAR");
  const auto all = all_processes();
  if (!all) return complain(all.error().what);
  std::string text;
  for (const ProcessInfo& process : *all) {
    text += fmt::format("{} {} {} (parent={})\n", process.identity.pid, process.command, process.arguments, process.parent);
  }
  const auto done = safekit::linux_os::replace_file(fmt::format("{}/errdpoll_reserrd", var == nullptr ? "/var/lib/safekit" : var), text, 0640);
  return done ? 0 : complain(done.error().what);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "boundcmd") return bound_command(argv + 2);
  if (name == "processtree") return process_tree(argv + 2);
  if (name == "errdpoll_running") return running();
  complain(fmt::format("'{}' is none of boundcmd, processtree, errdpoll_running", name));
  return kUsage;
}
