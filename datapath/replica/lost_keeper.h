#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "datapath/lost/claim.h"
#include "datapath/lost/set_writer.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"
#include "datapath/wire/message.h"
#include "schema/port/clock.h"

namespace safekit::replica {

/// Sets aside what this copy alone has, written by this node or changed by others, before the synchronisation that makes it equal
/// to the other one destroys it: content, attributes and xattrs, names. Each byte once, as it was before the first change; never what the
/// synchronisation has put there. The caller tells of each operation before it does it, then calls `settle`: only when that
/// has returned may anything be destroyed.
/// Errors: Io; nothing may be overwritten then. No room is no error (SetWriter).
/// Thread: the receiver's. A service.
class LostKeeper {
 public:
  struct Options {
    std::string directory{};
    std::uint64_t quota{0};
    lost::Head head{};
    std::optional<journal::ZoneMap> own{};  ///< what that is, if it is known (lost::map_tells, changed_by_others)
    bool own_is_whole{false};  ///< the map can be believed; later it is so where the set says that it was
    std::vector<int> roots{};  ///< descriptors of the replicated directories
  };
  static Result<std::unique_ptr<LostKeeper>> make(Options options, const Clock& clock);

  /// Where an inode lies, as long as its id is used.
  void named(InodeId id, std::string path) { paths_[id.value] = std::move(path); }
  void forget(InodeId id) { paths_.erase(id.value); }
  [[nodiscard]] std::string path_of(std::uint32_t root, int directory) const;

  /// Bytes are about to be changed: to `fresh` where that is not empty, else in any way.
  Status content(InodeId id, const HandleKey& key, int fd, lost::Range range, BytesView fresh);
  Status attributes(InodeId id, const HandleKey& key, int fd, const wire::SetAttributes& op);
  Status attributes(InodeId id, const HandleKey& key, int fd, const wire::InodeState& state);
  Status xattr(InodeId id, const HandleKey& key, int fd, const wire::SetXattr& op);
  /// A name, with all below it. `path` is that of the directory.
  Status removal(const Place& place, int directory, const std::string& path, const std::string& name);
  /// The synchronisation has made this inode.
  void made(const HandleKey& key) { writer_->made(identity_of(key)); }
  /// It has made a name in a directory that had none of it.
  Status absent(const Place& place, int directory, const std::string& path, const std::string& name, std::uint32_t mode);

  Status settle() { return writer_->flush(); }
  /// The copy is equal. Errors: Io.
  Status end() { return writer_->end(clock_.wall_now()); }
  [[nodiscard]] const lost::Summary& summary() const { return writer_->summary(); }

 private:
  /// An inode as it was before.
  struct Seen {
    std::uint64_t item{0};
    bool noted{false};
    bool removed{false};
    wire::Attributes attributes{};
    lost::Ranges done{};  ///< set aside, told as lost, or overwritten already
  };

  LostKeeper(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  void recall();
  [[nodiscard]] bool is_made(const HandleKey& key) const { return writer_->is_made(identity_of(key)); }
  Result<Seen*> look(const HandleKey& key, int fd);
  Status note(const HandleKey& key, Seen& seen, int fd, const std::string& path);
  Status keep(Seen& seen, int fd, lost::Range range);
  [[nodiscard]] std::string path_of(InodeId id, const HandleKey& key, int fd) const;
  Status remove_file(const HandleKey& key, int directory, const std::string& name, const std::string& path);
  Status remove_other(const HandleKey& key, int directory, const std::string& name, const std::string& path);

  Options options_{};
  const Clock& clock_;
  std::unique_ptr<lost::SetWriter> writer_{};
  lost::Own own_{};
  std::vector<std::string> prefixes_{};  ///< of the roots, as the kernel names their descriptors
  std::unordered_map<std::uint64_t, std::string> paths_{};
  std::unordered_map<HandleKey, Seen> seen_{};
};

}  // namespace safekit::replica
