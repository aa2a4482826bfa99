/// Shows what AddressGuard does to real packets; run by e2e/cases/address_guard.sh in a network namespace of
/// its own. Arguments: what to do, the module, and for `hold` the addresses, `IP@INTERFACE`.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "datapath/linux/address_guard.h"
#include "datapath/linux/clock.h"
#include "datapath/linux/traffic_control.h"

namespace safekit::linux_os {
namespace {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::printf("%s: %s\n", std::string{to_string(result.error().code)}.c_str(), result.error().what.c_str());
    std::exit(result.error().code == Code::Unsupported ? 77 : 1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// `open`, `closed`, or milliseconds from now.
MonoTime moment(const std::string& text) {
  if (text == "open") return kNoEnd;
  if (text == "closed") return MonoTime{};
  return SystemClock{}.mono_now() + milliseconds{std::stoi(text)};
}

/// Attaches, closed, and does what each line of its input says; an answer for each. At its end the guard
/// stays.
int hold(const std::string& module, const std::vector<std::string>& words) {
  std::vector<GuardedAddress> addresses;
  for (const std::string& word : words) {
    const auto at = word.find('@');
    addresses.push_back({.ip = must(parse_ip(word.substr(0, at))), .interface = word.substr(at + 1)});
  }
  const auto guard = must(AddressGuard::attach(module, addresses, MonoTime{}));
  std::printf("attached\n");
  for (std::string line; std::fflush(stdout), std::getline(std::cin, line);) {
    std::string answer = "done";
    Status status{};
    if (line == "ensure") {
      status = guard->ensure();
    } else if (line == "remove") {
      status = guard->remove();
    } else if (line == "dropped") {
      answer = std::to_string(guard->dropped());
    } else {
      guard->allow_until(moment(line));
    }
    if (!status) answer = std::string{to_string(status.error().code)} + ": " + status.error().what;
    std::printf("%s\n", answer.c_str());
  }
  return 0;
}

int show() {
  for (const int index : must(hooked_interfaces())) {
    std::printf("%d hooks\n", index);
    for (const TrafficFilter& filter : must(filters_of(index))) {
      std::printf("%d %s %d %s\n", index, filter.direction == Direction::In ? "in" : "out", filter.priority,
                  filter.name.c_str());
    }
  }
  return 0;
}

int run(const std::vector<std::string>& words) {
  if (words.at(0) == "hold") return hold(words.at(1), {words.begin() + 2, words.end()});
  if (words.at(0) == "forget") must(AddressGuard::remove_leftovers(words.at(1)));
  if (words.at(0) == "show") return show();
  return 0;
}

}  // namespace
}  // namespace safekit::linux_os

int main(int argc, char** argv) {
  return safekit::linux_os::run({argv + 1, argv + argc});
}
