#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <optional>
#include <string>
#include <unordered_map>

#include "datapath/fuse/abi.h"
#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/ledger.h"
#include "datapath/fuse/outbox.h"
#include "datapath/fuse/reply.h"
#include "datapath/replica/write_behind.h"

namespace safekit::fuse {

/// A directory being read.
struct DirectoryStream {
  Fd fd{};
  std::mutex mutex{};
  std::int64_t position{0};
};

/// The file-system calls of one mount: each makes its change in the directory underneath, appends it under
/// the lock that orders it, and then waits as the durability asks. An error is answered and never replicated.
/// A service. Errors: the errno of the call underneath. Thread: any number at once.
class Operations {
 public:
  Operations(std::uint32_t root, InodeTable& inodes, Outbox& outbox, replica::TreeOrder& order);

  /// Does one request, which carries its attempt. The reply is what an Ok answer carries.
  Call<void> run(const Request& request, Reply& reply);
  [[nodiscard]] static bool has_reply(std::uint32_t opcode);
  /// Before the first request.
  void set_agreement(const Agreement& agreement) { agreement_ = agreement; }
  /// What earlier processes counted for a request that nobody has answered and that is done again now.
  void take_back(const std::vector<Ledger::Record*>& records);

 private:
  using Function = Call<void> (Operations::*)(const Request&, Reply&);
  struct Kind {
    Function function{nullptr};
    bool changes{false};  ///< begins only with the right to acknowledge
  };
  static Kind kind_of(std::uint32_t opcode);

  // operations_names.cpp
  Call<void> lookup(const Request& request, Reply& reply);
  Call<void> forget(const Request& request, Reply& reply);
  Call<void> batch_forget(const Request& request, Reply& reply);
  Call<void> symlink(const Request& request, Reply& reply);
  Call<void> mknod(const Request& request, Reply& reply);
  Call<void> mkdir(const Request& request, Reply& reply);
  Call<void> create(const Request& request, Reply& reply);
  Call<void> tmpfile(const Request& request, Reply& reply);
  Call<void> link(const Request& request, Reply& reply);
  // operations_removal.cpp
  Call<void> unlink(const Request& request, Reply& reply);
  Call<void> rmdir(const Request& request, Reply& reply);
  Call<void> rename(const Request& request, Reply& reply);
  Call<void> rename2(const Request& request, Reply& reply);
  // operations_content.cpp
  Call<void> open(const Request& request, Reply& reply);
  Call<void> read(const Request& request, Reply& reply);
  Call<void> write(const Request& request, Reply& reply);
  Call<void> flush(const Request& request, Reply& reply);
  Call<void> fsync(const Request& request, Reply& reply);
  Call<void> release(const Request& request, Reply& reply);
  Call<void> fallocate(const Request& request, Reply& reply);
  Call<void> lseek(const Request& request, Reply& reply);
  // operations_attributes.cpp
  Call<void> getattr(const Request& request, Reply& reply);
  Call<void> setattr(const Request& request, Reply& reply);
  Call<void> readlink(const Request& request, Reply& reply);
  Call<void> getxattr(const Request& request, Reply& reply);
  Call<void> listxattr(const Request& request, Reply& reply);
  Call<void> setxattr(const Request& request, Reply& reply);
  Call<void> removexattr(const Request& request, Reply& reply);
  Call<void> statfs(const Request& request, Reply& reply);
  Call<void> syncfs(const Request& request, Reply& reply);
  // operations_directory.cpp
  Call<void> opendir(const Request& request, Reply& reply);
  Call<void> readdir(const Request& request, Reply& reply);
  Call<void> readdirplus(const Request& request, Reply& reply);
  Call<void> releasedir(const Request& request, Reply& reply);
  Call<void> fsyncdir(const Request& request, Reply& reply);
  Call<void> nothing(const Request& request, Reply& reply);

  /// What a call makes: its type and mode, and what that type needs.
  struct NewNode {
    std::string name{};
    mode_t mode{0};
    std::uint32_t umask{0};
    dev_t device{0};
    std::string target{};  ///< of a symbolic link
    bool open{false};      ///< make it with open(2) and keep it open
  };
  struct Made {
    Inode* inode{nullptr};
    struct stat attributes {};
    SequenceNumber sequence{};
  };
  struct Move {
    Inode* from{nullptr};
    std::string name{};
    Inode* to{nullptr};
    std::string new_name{};
    std::uint32_t flags{0};
  };
  struct Entry {
    Inode* inode{nullptr};
    struct stat attributes {};
  };

  [[nodiscard]] Call<Inode*> node(std::uint64_t nodeid);
  [[nodiscard]] std::uint64_t nodeid_of(const Inode& inode) const;
  /// The entry of a directory by name, with one lookup counted.
  [[nodiscard]] Call<Entry> entry(Inode& parent, int directory, const std::string& name, Attempt& attempt);
  static void fill_attributes(fuse_attr& out, const struct stat& attributes);
  void fill_entry(fuse_entry_out& out, const Inode& inode, const struct stat& attributes) const;
  void add_entry(Reply& reply, const Inode& inode, const struct stat& attributes) const;
  static void add_attributes(Reply& reply, const struct stat& attributes);
  /// Bits of the file handle of an open; everything else hangs on the inode, so another process could take the opens over.
  static constexpr std::uint64_t kHandleWritable = 1;
  static constexpr std::uint64_t kHandleUncached = 2;
  [[nodiscard]] static bool is_writable(std::uint32_t flags) { return (flags & O_ACCMODE) != O_RDONLY; }
  void add_open(Reply& reply, std::uint32_t flags) const;

  Call<Made> make(Inode& parent, const NewNode& wanted, const Request& request);
  Call<void> finish(const Made& made, Reply& reply);
  Call<void> open_existing(Inode& inode, std::uint32_t flags, bool kill_set_id, Attempt& attempt);
  Call<void> synchronise(Inode& inode, bool data_only);
  void send_nameless(Inode& inode);
  Call<void> send_all_of(Inode& inode);
  Call<void> send_content(Inode& inode);
  Call<void> send_xattrs(Inode& inode);
  Call<void> remove(const Request& request, bool directory);
  Call<void> move(const Move& move, Attempt& attempt);

  // operations_border.cpp: renames between what is replicated and what is not
  /// What comes in, made on the peer under a name of no application; its inodes are pinned, and replicated from then on.
  struct Staged {
    std::string name{};
    bool begun{false};  ///< the peer has something of that name
    std::vector<Inode*> inodes{};
  };
  /// What a rename moves (an exchange two), and what the peer is to see of it.
  struct Moved {
    Inode* inode{nullptr};  ///< pinned
    bool was_replicated{false};
    bool is_replicated{false};
    bool made_anew{false};  ///< replicated before and after, but with rules for what is below it
    std::string path_before{};
    std::string path_after{};
    Staged staged{};
  };
  using Crossing = std::array<Moved, 2>;
  /// Nothing: an ordinary rename, which both sides do.
  [[nodiscard]] Call<std::optional<Crossing>> border(const Move& move);
  Call<void> look_at(Moved& moved, Inode& old_parent, const std::string& name, Inode& new_parent, const std::string& new_name);
  [[nodiscard]] Call<replica::ChangeScope> changing(const Move& move, bool directories);
  Call<void> move_across(const Move& move, Crossing& crossing);
  Call<void> rename_across(const Move& move, Crossing& crossing);
  [[nodiscard]] SequenceNumber append_across(const Move& move, Crossing& crossing, std::vector<Inode*>& gone);
  Call<void> stage(Moved& moved);
  void unstage(Moved& moved);
  Call<void> stage_entry(Inode& inode, InodeId parent, const std::string& name, const std::string& path, Staged& staged);
  void send_staged(const Staged& staged);
  void find_gone(Inode& inode, const std::string& before, const std::optional<std::string>& after, std::vector<Inode*>& gone);
  void leave_out(std::vector<Inode*>& gone);

  Call<void> truncate(Inode& inode, std::uint64_t size, bool kill_set_id);
  Call<void> drop_set_id(Inode& inode);
  Call<std::uint32_t> change_attributes(Inode& inode, const fuse_setattr_in& in);
  struct XattrFlags {
    int create_or_replace{0};
    bool drop_set_group{false};  ///< the caller is not in the file's group
  };
  Call<void> change_xattr(Inode& inode, const wire::SetXattr& change, XattrFlags flags, const Request& request, Reply& reply);
  Call<void> drop_set_group(Inode& inode, const std::string& path);
  [[nodiscard]] Call<std::shared_ptr<DirectoryStream>> stream(std::uint64_t handle, Inode& inode);
  Call<void> read_directory(const Request& request, Reply& reply, bool plus);

  const std::uint32_t root_;
  Agreement agreement_{};
  InodeTable& inodes_;
  Outbox& outbox_;
  replica::TreeOrder& order_;
  replica::WriteBehind write_behind_{};
  std::mutex streams_mutex_{};
  static constexpr unsigned kEpochShift = 32;
  std::uint64_t next_stream_{1};  ///< above kEpochShift: which process opened it
  std::unordered_map<std::uint64_t, std::shared_ptr<DirectoryStream>> streams_{};
};

}  // namespace safekit::fuse
