#pragma once

#include <cstdint>
#include <span>

namespace safekit::bpf {

/// The compiled address_guard.bpf.c, an ELF object for libbpf. The build puts it into the program (kmod/CMakeLists.txt).
[[nodiscard]] std::span<const std::uint8_t> address_guard_object();

}  // namespace safekit::bpf
