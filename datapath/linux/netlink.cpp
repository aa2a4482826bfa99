#include "datapath/linux/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "datapath/linux/files.h"

namespace safekit::linux_os {
namespace {

constexpr std::size_t kAnswerBytesMax = 64 * 1024;  // the kernel's largest dump block is 32 KiB
constexpr std::size_t kAlign = 4;

constexpr std::size_t aligned(std::size_t size) {
  return (size + kAlign - 1) / kAlign * kAlign;
}

template <class T>
T read_struct(BytesView bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

enum class Progress { More, Done };

/// Walks one datagram. `error` is set from the kernel's verdict.
Progress walk(BytesView bytes, const std::function<void(const NetlinkMessage&)>& each, int& error) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    const auto header = read_struct<nlmsghdr>(bytes);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) break;
    const BytesView body = bytes.subspan(sizeof header, header.nlmsg_len - sizeof header);
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) error = EINTR;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      const int verdict = body.size() >= sizeof(int) ? -read_struct<int>(body) : EBADMSG;
      if (verdict != 0) error = verdict;
      return Progress::Done;
    }
    each({.type = header.nlmsg_type, .body = body});
    bytes = bytes.subspan(std::min(aligned(header.nlmsg_len), bytes.size()));
  }
  return Progress::More;
}

}  // namespace

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  fixed(header);
}

void NetlinkRequest::put(BytesView bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(aligned(bytes_.size()));
}

NetlinkRequest& NetlinkRequest::attribute(std::uint16_t type, BytesView value) {
  const nlattr header{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), .nla_type = type};
  fixed(header);
  put(value);
  return *this;
}

NetlinkRequest& NetlinkRequest::nested(std::uint16_t type, const std::function<void(NetlinkRequest&)>& fill) {
  const std::size_t at = bytes_.size();
  attribute(type, {});
  fill(*this);
  const auto size = static_cast<std::uint16_t>(bytes_.size() - at);
  std::memcpy(bytes_.data() + at, &size, sizeof size);  // nla_len is the first member
  return *this;
}

Bytes NetlinkRequest::finish() {
  const auto size = static_cast<std::uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &size, sizeof size);  // nlmsg_len is the first member
  return std::move(bytes_);
}

void each_attribute(BytesView bytes, const std::function<void(std::uint16_t, BytesView)>& each) {
  while (bytes.size() >= sizeof(nlattr)) {
    const auto header = read_struct<nlattr>(bytes);
    if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return;
    each(header.nla_type & NLA_TYPE_MASK, bytes.subspan(sizeof header, header.nla_len - sizeof header));
    bytes = bytes.subspan(std::min(aligned(header.nla_len), bytes.size()));
  }
}

Result<Fd> open_netlink(int family, std::uint32_t groups) {
  Fd socket{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family)};
  if (!socket && errno == EPROTONOSUPPORT) {
    return Error{Code::Unsupported, fmt::format("this kernel has no netlink family {}", family)};
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return error_of(errno, "open netlink");
  }
  return socket;
}

Result<int> talk_netlink(int family, NetlinkRequest request,
                         const std::function<void(const NetlinkMessage&)>& each) {
  SK_TRY(const Fd socket, open_netlink(family, 0));
  const Bytes bytes = request.finish();
  if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0) return error_of(errno, "ask netlink");
  Bytes answer(kAnswerBytesMax);
  int error = 0;
  for (;;) {  // the kernel always answers: a dump with DONE, a request for acknowledgement with ERROR
    const ssize_t got = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_of(errno, "hear netlink");
    if (walk(BytesView{answer}.first(static_cast<std::size_t>(got)), each, error) == Progress::Done)
      return error;
  }
}

}  // namespace safekit::linux_os
