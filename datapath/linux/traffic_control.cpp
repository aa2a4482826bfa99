#include "datapath/linux/traffic_control.h"

#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "datapath/linux/files.h"
#include "datapath/linux/netlink.h"

namespace safekit::linux_os {
namespace {

constexpr std::uint32_t kHooks = TC_H_CLSACT;
constexpr std::uint32_t kHooksHandle = TC_H_MAKE(TC_H_CLSACT, 0U);
constexpr int kDumpTries = 10;  // each is interrupted only by a change of that very moment

template <class T>
T read_struct(BytesView bytes) {
  T value{};
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <class T>
BytesView bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof value};
}

/// With its end, as the kernel wants it.
BytesView text_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1};
}

std::string read_text(BytesView value) {
  return std::string{as_text(value).substr(0, as_text(value).find('\0'))};
}

tcmsg header_of(int index, std::uint32_t parent) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = index;
  header.tcm_parent = parent;
  return header;
}

std::uint32_t parent_of(Direction direction) {
  return TC_H_MAKE(TC_H_CLSACT, direction == Direction::In ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
}

tcmsg header_of(const TrafficFilter& filter) {
  tcmsg header = header_of(filter.index, parent_of(filter.direction));
  header.tcm_handle = filter.handle;
  header.tcm_info = TC_H_MAKE(std::uint32_t{filter.priority} << 16U, htons(ETH_P_ALL));
  return header;
}

template <class Header>
Status dump(std::uint16_t type, std::uint16_t answer, const Header& question,
            const std::function<void()>& begin, const std::function<void(BytesView)>& each) {
  for (int left = kDumpTries;; --left) {
    begin();
    SK_TRY(const int error, talk_netlink(NETLINK_ROUTE, NetlinkRequest{type, NLM_F_DUMP}.fixed(question),
                                         [&](const NetlinkMessage& message) {
                                           if (message.type == answer) each(message.body);
                                         }));
    if (error == 0) return {};
    if (error != EINTR || left == 1) return error_of(error, "list packet filters");
  }
}

/// (index, kind) of what stands where `clsact` goes.
Result<std::vector<std::pair<int, std::string>>> disciplines() {
  std::vector<std::pair<int, std::string>> result;
  SK_TRY_VOID(dump(
      RTM_GETQDISC, RTM_NEWQDISC, tcmsg{}, [&] { result.clear(); },
      [&](BytesView body) {
        if (body.size() < sizeof(tcmsg)) return;
        const auto header = read_struct<tcmsg>(body);
        if (header.tcm_parent != kHooks) return;
        each_attribute(body.subspan(sizeof header), [&](std::uint16_t type, BytesView value) {
          if (type == TCA_KIND) result.emplace_back(header.tcm_ifindex, read_text(value));
        });
      }));
  return result;
}

void read_filter(int index, Direction direction, BytesView body, std::vector<TrafficFilter>& filters) {
  if (body.size() < sizeof(tcmsg)) return;
  const auto header = read_struct<tcmsg>(body);
  TrafficFilter filter{.index = index,
                       .direction = direction,
                       .priority = static_cast<std::uint16_t>(TC_H_MAJ(header.tcm_info) >> 16U),
                       .handle = header.tcm_handle};
  std::string kind;
  BytesView options;
  each_attribute(body.subspan(sizeof header), [&](std::uint16_t type, BytesView value) {
    if (type == TCA_KIND) kind = read_text(value);
    if (type == TCA_OPTIONS) options = value;
  });
  if (kind == "bpf") {
    if (filter.handle == 0) return;  // the list of a priority, not one of its filters
    each_attribute(options, [&](std::uint16_t type, BytesView value) {
      if (type == TCA_BPF_NAME) filter.name = read_text(value);
      if (type == TCA_BPF_ID) filter.program = read_struct<std::uint32_t>(value);
    });
  }
  filters.push_back(std::move(filter));
}

Result<int> change(NetlinkRequest request) {
  return talk_netlink(NETLINK_ROUTE, std::move(request), [](const NetlinkMessage&) {});
}

Error refusal(int error, int index, std::string_view doing) {
  if (error == ENODEV) return Error{Code::NotFound, fmt::format("no interface with index {}", index)};
  if (error == ENOENT || error == EOPNOTSUPP) {
    return Error{Code::Unsupported,
                 fmt::format("{}: this kernel has no eBPF packet filters (clsact, cls_bpf)", doing)};
  }
  return error_of(error, doing);
}

}  // namespace

Result<std::vector<FilteredLink>> list_links() {
  std::vector<FilteredLink> links;
  SK_TRY_VOID(dump(
      RTM_GETLINK, RTM_NEWLINK, ifinfomsg{}, [&] { links.clear(); },
      [&](BytesView body) {
        if (body.size() < sizeof(ifinfomsg)) return;
        const auto header = read_struct<ifinfomsg>(body);
        FilteredLink link{.index = header.ifi_index,
                          .ethernet = header.ifi_type == ARPHRD_ETHER,
                          .loopback = (header.ifi_flags & IFF_LOOPBACK) != 0};
        each_attribute(body.subspan(sizeof header), [&](std::uint16_t type, BytesView value) {
          if (type == IFLA_IFNAME) link.name = read_text(value);
        });
        links.push_back(std::move(link));
      }));
  return links;
}

Result<std::vector<int>> hooked_interfaces() {
  SK_TRY(const auto all, disciplines());
  std::vector<int> result;
  for (const auto& [index, kind] : all) {
    if (kind == "clsact") result.push_back(index);
  }
  return result;
}

Result<bool> add_hooks(int index) {
  tcmsg header = header_of(index, kHooks);
  header.tcm_handle = kHooksHandle;
  SK_TRY(const int error,
         change(NetlinkRequest{RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL}.fixed(header).attribute(
             TCA_KIND, text_of("clsact"))));
  if (error == 0) return true;
  if (error != EEXIST) return refusal(error, index, "make a place for packet filters");
  SK_TRY(const auto all, disciplines());
  const auto there = std::ranges::find(all, index, &std::pair<int, std::string>::first);
  if (there == all.end() || there->second == "clsact") return false;
  return Error{
      Code::Conflict,
      fmt::format("interface '{}' has a queueing discipline '{}' in the place of 'clsact': remove it, "
                  "`tc qdisc del dev NAME ingress`",
                  index, there->second)};
}

Status remove_hooks(int index) {
  tcmsg header = header_of(index, kHooks);
  header.tcm_handle = kHooksHandle;
  SK_TRY(const int error, change(NetlinkRequest{RTM_DELQDISC, NLM_F_ACK}.fixed(header)));
  if (error == 0 || error == ENOENT || error == EINVAL || error == ENODEV) return {};
  return refusal(error, index, "remove the place for packet filters");
}

Result<std::vector<TrafficFilter>> filters_of(int index) {
  std::vector<TrafficFilter> filters;
  for (const Direction direction : {Direction::In, Direction::Out}) {
    std::vector<TrafficFilter> some;
    SK_TRY_VOID(dump(
        RTM_GETTFILTER, RTM_NEWTFILTER, header_of(index, parent_of(direction)), [&] { some.clear(); },
        [&](BytesView body) { read_filter(index, direction, body, some); }));
    filters.insert(filters.end(), some.begin(), some.end());
  }
  return filters;
}

Status put_filter(const TrafficFilter& filter, int program) {
  const auto new_only = static_cast<std::uint16_t>(filter.handle == 0 ? NLM_F_EXCL : 0);
  SK_TRY(
      const int error,
      change(NetlinkRequest{RTM_NEWTFILTER, static_cast<std::uint16_t>(NLM_F_ACK | NLM_F_CREATE | new_only)}
                 .fixed(header_of(filter))
                 .attribute(TCA_KIND, text_of("bpf"))
                 .nested(TCA_OPTIONS, [&](NetlinkRequest& inner) {
                   inner.attribute(TCA_BPF_FD, bytes_of(program))
                       .attribute(TCA_BPF_NAME, text_of(filter.name))
                       .attribute(TCA_BPF_FLAGS, bytes_of(std::uint32_t{TCA_BPF_FLAG_ACT_DIRECT}));
                 })));
  if (error == 0) return {};
  if (error == EINVAL) {
    return Error{Code::Conflict, fmt::format("interface '{}' has filters of another kind with priority {}",
                                             filter.index, filter.priority)};
  }
  return refusal(error, filter.index, "set a packet filter");
}

Status remove_filter(const TrafficFilter& filter) {
  SK_TRY(const int error, change(NetlinkRequest{RTM_DELTFILTER, NLM_F_ACK}
                                     .fixed(header_of(filter))
                                     .attribute(TCA_KIND, text_of("bpf"))));
  if (error == 0 || error == ENOENT || error == EINVAL || error == ENODEV) return {};
  return refusal(error, filter.index, "remove a packet filter");
}

}  // namespace safekit::linux_os
