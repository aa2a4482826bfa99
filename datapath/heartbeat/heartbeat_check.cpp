/// One end of one heartbeat link on a real network, for e2e/cases/heartbeat.sh:
///   heartbeat_check NODE ADDRESS PEER PEER_ADDRESS PORT TIMEOUT_MS
/// Prints a line for each change until it is ended by SIGTERM: `up PAYLOAD`, `down SILENCE_MS`; at the end
/// whether the thread was real-time and its worst scheduling delay.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "datapath/heartbeat/service.h"
#include "datapath/linux/clock.h"
#include "datapath/linux/crypto.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/random.h"

namespace safekit::heartbeat {
namespace {

int run(const std::vector<std::string>& words) {
  linux_os::SystemClock clock;
  linux_os::SystemRandom random;
  linux_os::OpensslCrypto crypto;
  linux_os::AsioLoop loop;
  HeartbeatService service{{.node = NodeName{words.at(0)}, .key = SecretKey{1}}, clock, random, crypto, loop};
  const LanName lan{"lan"};
  const NodeName peer{words.at(2)};
  const LinkPlan plan{.port = static_cast<std::uint16_t>(std::stoi(words.at(4))),
                      .period = milliseconds{20},
                      .links = {{.lan = lan,
                                 .peer = peer,
                                 .local_address = words.at(1),
                                 .peer_address = words.at(3),
                                 .timeout = milliseconds{std::stoi(words.at(5))}}}};
  std::string shown;
  service.on_change([&](const NodeName&) {
    const LinkState state = service.state(lan, peer);
    const auto payload = service.payload(peer).value_or(Bytes{});
    std::string now = "init";
    if (state.health == Health::Up) now = "up " + std::string{as_text(payload)};
    if (state.health == Health::Down) now = "down";
    if (now == shown) return;
    shown = now;
    const MonoTime silent_from = std::max(state.heard.value_or(state.listening_since), state.listening_since);
    const auto silence = std::chrono::duration_cast<milliseconds>(clock.mono_now() - silent_from);
    std::printf("%s%s\n", now.c_str(),
                state.health == Health::Down ? (" " + std::to_string(silence.count())).c_str() : "");
    std::fflush(stdout);
  });
  loop.on_signal(SIGTERM, [&] { loop.stop(); });
  if (const auto done = service.configure(plan); !done) {
    std::printf("%s\n", done.error().what.c_str());
    return 1;
  }
  const std::string payload = words.at(0) + "-" + std::to_string(random.u64() % 1000);
  if (!service.publish({payload.begin(), payload.end()})) return 1;
  loop.run();
  std::printf("real_time=%d delay_us=%lld\n", service.is_real_time(),
              static_cast<long long>(service.take_scheduling_delay().count() / 1000));
  return 0;
}

}  // namespace
}  // namespace safekit::heartbeat

int main(int argc, char** argv) {
  if (argc != 7) return 64;
  return safekit::heartbeat::run({argv + 1, argv + argc});
}
