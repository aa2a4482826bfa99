#pragma once

#include <string>

#include "datapath/fuse/call.h"
#include "datapath/linux/fd.h"
#include "datapath/replica/sink.h"

namespace safekit::fuse {

/// The persistent handle of an entry of a directory, or of the descriptor itself where `name` is empty.
/// Errors: EOPNOTSUPP where the file system has no handles.
[[nodiscard]] Call<replica::FileHandle> handle_at(std::uint32_t root, int directory, const std::string& name);

/// Opens what a handle names; `mount` is any readable descriptor on the same file system. Errors: ESTALE when
/// it is gone.
[[nodiscard]] Call<Fd> open_handle(int mount, const replica::FileHandle& handle, int flags);

/// Opens anew, with other flags, what an O_PATH descriptor points to.
[[nodiscard]] Call<Fd> reopen(int descriptor, int flags);

/// The path by which calls that take no O_PATH descriptor reach one: `/proc/self/fd/N`.
[[nodiscard]] std::string magic_path(int descriptor);

}  // namespace safekit::fuse
