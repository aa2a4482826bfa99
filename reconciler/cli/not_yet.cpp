#include "reconciler/cli/not_yet.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace safekit::cli {
namespace {

struct Later {
  std::string_view command{};
  std::string_view instead{};  ///< empty: nothing does it yet
};

constexpr std::array kLater{
    Later{"deconfig", "`safekit delete module NAME`"},
    Later{"confinfo", "`safekit diff -f FILE`, `safekit describe module NAME`"},
    Later{"module", "`safekit apply -f FILE.safe`, `safekit get modules`, `safekit delete module NAME`"},
    Later{"cluster confinfo", "`safekit cluster status`, `safekit get cluster cluster -o yaml`"},
    Later{"cluster deconfig", ""},
    Later{"cluster genkey", "the nodes' traffic is always encrypted, with keys made by `safekit cluster init`"},
    Later{"cluster delkey", "the nodes' traffic is always encrypted"},
    Later{"cluster create", "`safekit cluster init -f cluster.yaml`"},
    Later{"-E", "`safekit apply` copies a module to all its nodes"},
    Later{"-G", "`safekit cluster config -f FILE` and `safekit apply` reach all nodes"},
    Later{"-p", ""},
    Later{"-r", "there are boundcmd, processtree, errdpoll_running, flatlogdump, wrapper, and programs by their absolute path"},
    Later{"webserver", "the API is a part of safekitd, on port 9453"},
    Later{"webservercfg", "the API is a part of safekitd, with one token a cluster"},
    Later{"notification", ""},
    Later{"safeagent", ""},
    Later{"uninstall", "use the package manager"},
    Later{"logsave", "`safekit log -m NAME -A > FILE`"},
    Later{"cmdlog", "`safekit events`"},
    Later{"snapshot", ""},
    Later{"dump", ""},
    Later{"clean", ""},
};

}  // namespace

std::optional<std::string> not_yet(const std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at] == "-H") at += 2;
  if (at >= words.size()) return std::nullopt;
  std::string command = words[at];
  if (command == "cluster") {
    if (++at >= words.size()) return std::nullopt;
    command += " " + words[at];
  }
  const auto found = std::ranges::find(kLater, std::string_view{command}, &Later::command);
  if (found == kLater.end()) return std::nullopt;
  return fmt::format("'safekit {}' is not there yet{}{}", command, found->instead.empty() ? "" : ": ", found->instead);
}

}  // namespace safekit::cli
