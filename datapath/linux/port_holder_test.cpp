#include "datapath/linux/port_holder.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "datapath/linux/fd.h"

namespace safekit::linux_os {

TEST(PortHolder, NamesTheProcessThatHasAPort) {
  for (const Transport transport : {Transport::Tcp, Transport::Udp}) {
    const bool tcp = transport == Transport::Tcp;
    Fd socket{::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0)};
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    ASSERT_EQ(tcp ? ::listen(socket.get(), 1) : 0, 0);
    socklen_t size = sizeof name;
    ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    const std::uint16_t port = ntohs(name.sin_port);
    EXPECT_TRUE(port_holder(transport, port).ends_with(fmt::format("(pid {})", ::getpid())));
    socket.reset();
    EXPECT_EQ(port_holder(transport, port), "");
  }
}

}  // namespace safekit::linux_os
