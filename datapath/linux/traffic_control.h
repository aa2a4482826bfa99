#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/base/result.h"

/// eBPF programs that see the packets of an interface: filters in direct-action mode of its `clsact` queueing discipline.
/// They are the interface's, and outlive who set them. Source: tc-bpf(8), linux/net/sched/{cls_api,cls_bpf}.c.
namespace safekit::linux_os {

enum class Direction { In, Out };

/// A value.
struct TrafficFilter {
  int index{0};  ///< of the interface
  Direction direction{Direction::In};
  std::uint16_t priority{0};  ///< lower ones see a packet first
  std::uint32_t handle{0};    ///< among those of one priority; 0 in a new one: the kernel picks it
  std::string name{};         ///< at most 255 bytes; empty for filters of other kinds
  std::uint32_t program{0};   ///< its identifier
  friend bool operator==(const TrafficFilter&, const TrafficFilter&) = default;
};

/// An interface as its filters need it.
struct FilteredLink {
  int index{0};
  std::string name{};
  bool ethernet{false};
  bool loopback{false};
};
[[nodiscard]] Result<std::vector<FilteredLink>> list_links();

/// The interfaces that can have filters now.
[[nodiscard]] Result<std::vector<int>> hooked_interfaces();
/// Makes the discipline; false: it is there. Errors: NotFound for the interface; Conflict when an `ingress` discipline is in its
/// place, which has no way out; Unsupported by the kernel; Denied; Io.
[[nodiscard]] Result<bool> add_hooks(int index);
/// With all its filters. Fine when there is none.
[[nodiscard]] Status remove_hooks(int index);

/// Every filter of the interface, whoever set it; none for an interface that is not there.
[[nodiscard]] Result<std::vector<TrafficFilter>> filters_of(int index);
/// Sets `program`, a descriptor. With a handle, what stands there is replaced: each packet is seen by the old one or by the
/// new one. Errors: Conflict when filters of another kind have the priority; Unsupported by the kernel; Denied; Io.
[[nodiscard]] Status put_filter(const TrafficFilter& filter, int program);
/// Fine when it is not there.
[[nodiscard]] Status remove_filter(const TrafficFilter& filter);

}  // namespace safekit::linux_os
