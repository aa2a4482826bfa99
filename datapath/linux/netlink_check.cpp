/// Shows what NetlinkInterfaces does to a real kernel; run by e2e/cases/netlink.sh in a network namespace of
/// its own.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "datapath/linux/fd.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/netlink_interfaces.h"

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

InterfaceAddress parse_address(const std::string& text) {
  const auto slash = text.find('/');
  return {.ip = must(parse_ip(text.substr(0, slash))),
          .prefix_length = static_cast<std::uint8_t>(std::stoi(text.substr(slash + 1)))};
}

int index_of(Interfaces& interfaces, const std::string& name) {
  for (const Interface& link : must(interfaces.list())) {
    if (link.name == name) return link.index;
  }
  std::printf("no interface '%s'\n", name.c_str());
  std::exit(1);
}

void show(Interfaces& interfaces) {
  for (const Interface& link : must(interfaces.list())) {
    std::printf("%s mac=%s up=%d carrier=%d loopback=%d", link.name.c_str(), to_string(link.mac).c_str(),
                link.up, link.carrier, link.loopback);
    for (const InterfaceAddress& address : link.addresses) {
      std::printf(" %s/%d", to_string(address.ip).c_str(), address.prefix_length);
    }
    std::printf("\n");
  }
}

/// A connection to ourselves over the address, to be reset. IPv6 sockets for both: IPv4 becomes a mapped
/// address.
void reset(Interfaces& interfaces, const IpAddress& address) {
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  for (std::size_t i = 0; i < 16; ++i) name.sin6_addr.s6_addr[i] = address.v6 ? address.bytes[i] : 0;
  if (!address.v6) {
    name.sin6_addr.s6_addr[10] = name.sin6_addr.s6_addr[11] = 0xff;
    for (std::size_t i = 0; i < 4; ++i) name.sin6_addr.s6_addr[12 + i] = address.bytes[i];
  }
  auto* const any = reinterpret_cast<sockaddr*>(&name);
  socklen_t size = sizeof name;
  const Fd listener{::socket(AF_INET6, SOCK_STREAM, 0)};
  const Fd client{::socket(AF_INET6, SOCK_STREAM, 0)};
  if (::bind(listener.get(), any, size) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), any, &size) != 0 || ::connect(client.get(), any, size) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  const Fd server{::accept(listener.get(), nullptr, nullptr)};
  must(interfaces.reset_connections(address));
  char byte = 0;
  const bool gone =
      ::recv(client.get(), &byte, 1, MSG_DONTWAIT) < 0 && (errno == ECONNABORTED || errno == ECONNRESET);
  std::printf("%s\n", gone ? "reset" : "still connected");
}

int run(const std::vector<std::string>& words) {
  AsioLoop loop;
  NetlinkInterfaces interfaces{loop};
  const std::string& what = words.at(0);
  if (what == "list") show(interfaces);
  if (what == "add")
    must(interfaces.add_address(index_of(interfaces, words.at(1)), parse_address(words.at(2))));
  if (what == "remove")
    must(interfaces.remove_address(index_of(interfaces, words.at(1)), parse_address(words.at(2))));
  if (what == "announce")
    must(interfaces.announce(index_of(interfaces, words.at(1)), must(parse_ip(words.at(2)))));
  if (what == "reset") reset(interfaces, must(parse_ip(words.at(1))));
  if (what == "probe") {
    must(interfaces.probe(index_of(interfaces, words.at(1)), must(parse_ip(words.at(2))), milliseconds{600},
                          [&](std::optional<MacAddress> owner) {
                            std::printf("%s\n", owner ? to_string(*owner).c_str() : "free");
                            loop.stop();
                          }));
    loop.run();
  }
  if (what == "change") {  // adds and removes an address, and waits to be told of it
    const int index = index_of(interfaces, words.at(1));
    const InterfaceAddress address = parse_address(words.at(2));
    interfaces.on_change([&] { loop.stop(); });
    loop.post([&] { must(interfaces.add_address(index, address)); });
    loop.run();
    loop.post([&] { must(interfaces.remove_address(index, address)); });
    loop.run();
    std::printf("told\n");
  }
  return 0;
}

}  // namespace
}  // namespace safekit::linux_os

int main(int argc, char** argv) {
  return safekit::linux_os::run({argv + 1, argv + argc});
}
