#include <getopt.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "controllers/daemon.h"

namespace {

constexpr const char* kHelp =
    "usage: safekitd [--node NAME] [--state-dir DIR] [--run-dir DIR] [--may-reboot]\n"
    "                [--watchdog DEVICE] [--watchdog-timeout SECONDS]\n"
    "\n"
    "The control plane of one node of a safekit cluster. It is started by systemd (safekitd.service) and restarted when it\n"
    "dies; modules go on meanwhile.\n"
    "\n"
    "  --node NAME      name of this node in the cluster (default: the one it joined with, else the host name)\n"
    "  --state-dir DIR  what must survive (default /var/lib/safekit)\n"
    "  --run-dir DIR    local socket (default /run/safekit)\n"
    "  --may-reboot     modules with automaticReboot may reboot this node\n"
    "  --watchdog DEVICE           resets this node when safekitd, or the kernel, hangs while a module is started\n"
    "                              (/dev/watchdog; default: none)\n"
    "  --watchdog-timeout SECONDS  after so long (5 to 600, default 30)\n"
    "\n"
    "First steps: `safekit cluster init -f cluster.yaml` on one node, `safekit cluster token` there, and\n"
    "`safekit cluster join TOKEN` on the others.\n";

constexpr int kUsage = 2;

/// Less than what a loaded machine may well stand still for resets it for nothing.
std::optional<safekit::Duration> seconds_of(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 5 || number > 600) return std::nullopt;
  return safekit::seconds{number};
}

std::string directory_of_this_program() {
  char path[PATH_MAX]{};
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  const std::string text(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  return text.substr(0, text.rfind('/'));
}

}  // namespace

int main(int argc, char** argv) {
  safekit::DaemonOptions options{.program_dir = directory_of_this_program()};
  static const option kOptions[] = {{"node", required_argument, nullptr, 'n'},
                                    {"state-dir", required_argument, nullptr, 's'},
                                    {"run-dir", required_argument, nullptr, 'r'},
                                    {"may-reboot", no_argument, nullptr, 'b'},
                                    {"watchdog", required_argument, nullptr, 'w'},
                                    {"watchdog-timeout", required_argument, nullptr, 't'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {nullptr, 0, nullptr, 0}};
  for (int letter = 0; (letter = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    switch (letter) {
      case 'n': options.node = safekit::NodeName{optarg}; break;
      case 's': options.state_dir = optarg; break;
      case 'r': options.run_dir = optarg; break;
      case 'b': options.may_reboot = true; break;
      case 'w': options.watchdog = optarg; break;
      case 't':
        if (const auto limit = seconds_of(optarg)) {
          options.watchdog_limit = *limit;
          break;
        }
        std::fprintf(stderr, "safekitd: --watchdog-timeout '%s': a number of seconds from 5 to 600\n", optarg);
        return kUsage;
      case 'h': std::fputs(kHelp, stdout); return 0;
      default: std::fputs(kHelp, stderr); return kUsage;
    }
  }
  if (optind != argc) {
    std::fprintf(stderr, "safekitd: '%s' is not an option\n%s", argv[optind], kHelp);
    return kUsage;
  }
  auto daemon = safekit::Daemon::make(options);
  if (!daemon) {
    std::fprintf(stderr, "safekitd: %s\n", daemon.error().what.c_str());
    return 1;
  }
  if (const auto status = (*daemon)->run(); !status) {
    std::fprintf(stderr, "safekitd: %s\n", status.error().what.c_str());
    return 1;
  }
  return 0;
}
