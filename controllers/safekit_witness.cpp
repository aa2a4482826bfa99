#include <getopt.h>
#include <pthread.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "datapath/linux/ports.h"
#include "reconciler/witness/door.h"
#include "schema/spec/witness_url.h"

namespace {

constexpr const char* kHelp =
    "usage: safekit witness [--listen ADDRESS] [--port PORT] [--state-dir DIR] [--plain]\n"
    "       safekit witness --show [--state-dir DIR]\n"
    "\n"
    "A witness for mirror modules: of two nodes that cannot hear each other it lets one go on. It belongs on a third machine.\n"
    "The first start makes its key; --show prints it, for the configuration of the modules (docs/witness.md).\n"
    "\n"
    "  --listen ADDRESS  address to listen on (default ::, all)\n"
    "  --port PORT       default 9454\n"
    "  --state-dir DIR   key and leases; they must survive a restart (default /var/lib/safekit-witness)\n"
    "  --plain           HTTP instead of HTTPS: the key can then be read on the network\n"
    "  --show            print the key and end\n";

constexpr int kUsage = 2;
constexpr int kDays = 36'500;
constexpr std::uint32_t kSecretMode = 0600;

using safekit::Code;
using safekit::Error;
using safekit::Identity;
using safekit::Result;
using safekit::Status;
using safekit::linux_os::Ports;

struct Options {
  std::string listen{"::"};
  std::uint16_t port{safekit::spec::kWitnessPort};
  std::string state_dir{"/var/lib/safekit-witness"};
  bool plain{false};
  bool show{false};
};

struct Key {
  std::string secret{};
  Identity identity{};
  bool is_new{false};
};

/// The secret is written last: with it the key is complete.
Result<Key> make_key(Ports& ports, const std::string& directory) {
  Key key{.is_new = true};
  SK_TRY(key.identity, ports.crypto.make_authority("safekit witness", kDays));
  for (std::size_t i = 0; i < safekit::spec::kWitnessKeyHalf / 16; ++i) key.secret += fmt::format("{:016x}", ports.random.u64());
  SK_TRY_VOID(ports.files.make_directories(directory));
  SK_TRY_VOID(ports.files.replace(directory + "/witness.key", key.identity.key_pem, kSecretMode));
  SK_TRY_VOID(ports.files.replace(directory + "/witness.pem", key.identity.certificate_pem, kSecretMode));
  SK_TRY_VOID(ports.files.replace(directory + "/secret", key.secret + "\n", kSecretMode));
  return key;
}

Result<Key> load_key(Ports& ports, const std::string& directory) {
  Key key;
  SK_TRY(key.secret, ports.files.read(directory + "/secret"));
  key.secret = key.secret.substr(0, key.secret.find('\n'));
  if (key.secret.size() != safekit::spec::kWitnessKeyHalf)
    return Error{Code::Corrupt, fmt::format("'{}/secret' is damaged: remove the directory to begin with a new key", directory)};
  SK_TRY(key.identity.key_pem, ports.files.read(directory + "/witness.key"));
  SK_TRY(key.identity.certificate_pem, ports.files.read(directory + "/witness.pem"));
  return key;
}

Status show(Ports& ports, const Options& options) {
  auto loaded = load_key(ports, options.state_dir);
  if (!loaded && loaded.error().code == Code::NotFound)
    return Error{Code::NotFound, fmt::format("'{}' has no key yet: the first start of the witness makes it", options.state_dir)};
  SK_TRY(const Key key, std::move(loaded));
  SK_TRY(const std::string fingerprint, ports.crypto.fingerprint(key.identity.certificate_pem));
  std::printf("%s%s\n", key.secret.c_str(), fingerprint.substr(0, safekit::spec::kWitnessKeyHalf).c_str());
  return {};
}

Status serve(Ports& ports, const Options& options) {
  // Before there are threads, so that only the wait below gets these.
  sigset_t ends{};
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  auto key = load_key(ports, options.state_dir);
  if (!key && key.error().code == Code::NotFound) key = make_key(ports, options.state_dir);
  if (!key) return std::move(key).error();
  using safekit::witness::LeaseService;
  LeaseService service{{ports.files, ports.clock, ports.random}, options.state_dir + "/leases"};
  // Nobody can hold a lease under a key that did not exist.
  SK_TRY_VOID(service.open(key->is_new ? LeaseService::Before::Nothing : LeaseService::Before::Unknown));
  safekit::witness::WitnessDoor door{
      service, ports.crypto, {.host = options.listen, .port = options.port, .secret = key->secret, .tls = !options.plain}};
  SK_TRY_VOID(door.open(key->identity));
  ports.log.write(safekit::LogLevel::Info, "witness",
                  fmt::format("port={} state={} tls={} ready", door.port(), options.state_dir, options.plain ? "no" : "yes"));
  int ended_by = 0;
  (void)sigwait(&ends, &ended_by);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  static const option kOptions[] = {{"listen", required_argument, nullptr, 'l'},
                                    {"port", required_argument, nullptr, 'p'},
                                    {"state-dir", required_argument, nullptr, 's'},
                                    {"plain", no_argument, nullptr, 'n'},
                                    {"show", no_argument, nullptr, 'k'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {nullptr, 0, nullptr, 0}};
  for (int letter = 0; (letter = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    const std::string_view text = optarg == nullptr ? std::string_view{} : std::string_view{optarg};
    switch (letter) {
      case 'l': options.listen = text; break;
      case 'p': {
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), options.port);
        if (failed == std::errc{} && end == text.data() + text.size() && options.port != 0) break;
        std::fprintf(stderr, "safekit witness: '%s' is not a port from 1 to 65535\n", optarg);
        return kUsage;
      }
      case 's': options.state_dir = text; break;
      case 'n': options.plain = true; break;
      case 'k': options.show = true; break;
      case 'h': std::fputs(kHelp, stdout); return 0;
      default: std::fputs(kHelp, stderr); return kUsage;
    }
  }
  if (optind != argc) {
    std::fprintf(stderr, "safekit witness: '%s' is not an option\n%s", argv[optind], kHelp);
    return kUsage;
  }
  Ports ports;
  if (const Status status = options.show ? show(ports, options) : serve(ports, options); !status) {
    std::fprintf(stderr, "safekit witness: %s\n", status.error().what.c_str());
    return 1;
  }
  return 0;
}
