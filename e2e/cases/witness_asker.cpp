// The lease controller of one node by itself, with real witnesses: usage `safekit-witness-asker NODE EXEC LEASE ADDRESS...`. Its input
// are lines, `want` and `drop`; each change of the answer is a line of its output: `Granted up DETAIL`. EXEC node: the ADDRESS is a name,
// $WITNESS_HOST where that node is, and the trust that of this node's safekitd.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "controllers/lease/effect.h"
#include "datapath/linux/echo_probe.h"
#include "datapath/linux/ports.h"
#include "reconciler/engine/engine.h"
#include "reconciler/peer/identity.h"
#include "reconciler/store/memory_backend.h"
#include "reconciler/witness/client.h"

namespace safekit {
namespace {

const ModuleName kModule{"app"};
constexpr const char* kState = "/var/lib/safekit";
constexpr std::uint16_t kApiPort = 9453;

const char* name_of(status::LeaseSection::Answer answer) {
  using Answer = status::LeaseSection::Answer;
  switch (answer) {
    case Answer::NotAsked: return "NotAsked";
    case Answer::Asked: return "Asked";
    case Answer::Granted: return "Granted";
    case Answer::Refused: return "Refused";
    case Answer::Silent: return "Silent";
  }
  return "";
}

struct Asker {
  explicit Asker(const char* node) : store(backend, ports.clock, NodeName{node}) {}
  linux_os::Ports ports{};
  linux_os::SystemEchoProbe echo{ports.loop};
  witness::RemoteWitness witnesses{ports.loop, [this](const std::string&) { return reach(); }};
  store::MemoryBackend backend{};
  store::Store store;
  engine::Engine engine{{store, ports.loop, ports.clock, ports.random, ports.log}};
  std::string input{};
  std::string shown{};

  Result<witness::RemoteWitness::NodeAccess> reach() {
    SK_TRY(const auto identity, (peer::Pki{{ports.files, ports.crypto, ports.random, ports.clock}, kState}.load()));
    const char* host = std::getenv("WITNESS_HOST");
    if (host == nullptr) return Error{Code::NotFound, "$WITNESS_HOST is not set"};
    return witness::RemoteWitness::NodeAccess{
        .addresses = {host}, .port = kApiPort, .token = identity.admin_token, .authority_pem = identity.authority_pem};
  }
  void read() {
    char buffer[256];
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got <= 0) return ports.loop.stop();
    input.append(buffer, static_cast<std::size_t>(got));
    for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
      const bool wanted = input.substr(0, end) == "want";
      input.erase(0, end + 1);
      store.update_status(kModule, [wanted](status::Module& m) {
        m.role.since = WallTime{1};
        m.role.lease = wanted ? status::LeaseNeed::Needed : status::LeaseNeed::GivenBack;
      });
    }
  }
  void show() {
    const status::Module& module = store.status(kModule);
    const auto value = module.resources.find("splitbrain.uptodate");
    const std::string line = fmt::format("{} {} {}", name_of(module.lease.answer),
                                         value == module.resources.end() ? "none" : value->second.value, module.lease.detail);
    if (line == shown) return;
    shown = line;
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }
};

int run(int argc, char** argv) {
  Asker asker{argv[1]};
  std::string witnesses;
  for (int i = 4; i < argc; ++i) witnesses += fmt::format("{}\"{}\"", witnesses.empty() ? "" : ",", argv[i]);
  const auto module = asker.store.apply(
      {store::Kind::Module, kModule.str()},
      fmt::format(R"({{"apiVersion":"safekit/v1","kind":"Module","metadata":{{"name":"app"}},"spec":{{"mode":"mirror","replication":{{"directories":["/d"]}},)"
                  R"("checkers":{{"splitBrain":{{"ident":"w","exec":"{}","lease":"{}","witnesses":[{}]}}}}}}}})",
                  argv[2], argv[3], witnesses),
      {});
  if (!module) {
    std::fprintf(stderr, "%s\n", module.error().what.c_str());
    return 1;
  }
  lease::LeaseController controller{{asker.store, asker.ports.clock, asker.witnesses, asker.echo}, [] { return std::string{"c1"}; }, "boot",
                                    asker.engine.waker("lease")};
  asker.engine.add(controller);
  asker.store.watch([&asker](const store::Change&) { asker.show(); });
  asker.engine.start();
  asker.ports.loop.watch_readable(STDIN_FILENO, [&asker] { asker.read(); });
  asker.ports.loop.run();
  asker.engine.stop();
  return 0;
}

}  // namespace
}  // namespace safekit

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  return safekit::run(argc, argv);
}
