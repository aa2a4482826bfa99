#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datapath/replica/applier.h"
#include "datapath/wire/message.h"

namespace safekit::replica {

using NamedType = std::pair<std::string, std::uint32_t>;  ///< name and type (S_IFMT)
/// The names of a directory on the primary and here, with wire::Differs: at most wire::kVerifyNamesMax, then `more_names`. Pure.
[[nodiscard]] wire::VerifyAnswer compare_names(std::vector<NamedType> listed, std::vector<NamedType> here);

struct InodeLook {
  wire::Attributes attributes{};
  std::string link_target{};
  std::vector<std::pair<std::string, std::string>> xattrs{};  ///< sorted
};
/// wire::Differs of what the primary has and what is here. Of a directory the size says nothing. Pure.
[[nodiscard]] std::uint16_t compare_inode(const wire::VerifyState& wanted, const InodeLook& here);

/// The secondary's side of a verification: what its copy is at this point of the stream. Nothing is changed, and no error of a
/// look is one of the copy: what cannot be read is said to be unreadable. A service. Thread: the receiver's.
class CopyLook {
 public:
  explicit CopyLook(const Applier& applier) : applier_(applier) {}
  /// A new connection.
  void reset() { pending_ = {}; }

  /// Nothing until the last frame.
  std::optional<wire::VerifyAnswer> names(wire::VerifyNames&& names);
  [[nodiscard]] wire::VerifyAnswer state(const wire::VerifyState& wanted) const;
  /// The file to be digested. Errors: NotFound; Conflict when it is no file; Io.
  [[nodiscard]] Result<SharedFd> file(const wire::TreePath& at) const;

 private:
  [[nodiscard]] Result<Fd> find(const wire::TreePath& at) const;
  [[nodiscard]] Result<std::vector<NamedType>> entries_here(const wire::VerifyNames& names) const;

  const Applier& applier_;
  wire::VerifyNames pending_{};
};

/// Digests what is here; any thread.
[[nodiscard]] wire::VerifyAnswer compare_zones(const Result<SharedFd>& file, const wire::VerifyZones& wanted,
                                               std::uint32_t zone_bytes);

}  // namespace safekit::replica
