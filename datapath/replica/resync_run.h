#pragma once

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "datapath/journal/zone_map.h"
#include "datapath/replica/resync_host.h"
#include "datapath/replica/settings.h"
#include "datapath/replica/sink.h"

namespace safekit::replica {

/// Makes the peer's copy equal while the application runs; the primary's side, for one connection. docs/resync.md has the
/// argument why this is right. In short:
/// * Everything that changes the peer's copy is in the one ordered stream, put there under the same TreeOrder lock as live
///   operations on the same thing.
/// * A directory is made equal by one listing under names (exclusive): from there on live operations keep it equal.
/// * Attributes, size and xattrs of an inode are made equal by one InodeState under content(id).
/// * Content is compared by digests without locks, and where it differs sent under content(id). A digest that matches stays
///   right whatever live writes do meanwhile: each of them is in the stream for the peer too.
/// Thread: `run` by one thread, which starts workers; answers and `names_changed` from others. A service.
class ResyncRun {
 public:
  ResyncRun(ResyncHost& host, Inodes& inodes, TreeOrder& order, const Settings& settings, std::function<void()> changed);
  /// Waits for the workers, and gives up what is pinned: no lock may be held.
  ~ResyncRun();
  ResyncRun(const ResyncRun&) = delete;
  ResyncRun& operator=(const ResyncRun&) = delete;

  /// Everything. Returns when the peer has been sent all.
  Status run_full();
  /// What the map names.
  Status run_zones(const journal::ZoneMap& map);
  /// All names and attributes. Content of files that were changed since `since` (ns of 1970; 0: that says nothing); else of what the
  /// map names (which may have overflown where there is a `since`), and of files that it does not name and that are not Alike.
  Status run_chosen(const journal::ZoneMap& map, std::int64_t since);
  /// After a peer's answer that some inodes still need it.
  Status run_leftovers(const std::vector<InodeId>& leftovers);
  /// Ends a run early; it returns Unavailable.
  void abort();

  /// Errors: Corrupt for an answer to no question, or to more than was asked; the connection is to end.
  Status answer(wire::ListingAnswer&& message);
  Status answer(wire::ZonesWanted&& message);
  /// A live rename or link has put `name` into the directory; while listings are under way it may have come from a place
  /// that was not equal yet.
  void names_changed(const HandleKey& parent, const std::string& name);

  [[nodiscard]] Progress progress() const;

 private:
  /// One inode being sent; pinned until all its parts are done.
  struct Work {
    InodeId id{};
    std::uint64_t size{0};  ///< counted in Progress::bytes_total
    std::uint64_t done{0};  ///< of that; under mutex_
    std::atomic<int> parts{1};
    std::atomic<bool> time_moved{false};  ///< on the peer, by what was copied
  };
  using WorkRef = std::shared_ptr<Work>;
  struct Entry {
    InodeId id{};
    HandleKey key{};
    std::uint32_t mode{0};
    std::uint64_t size{0};
    bool chosen{false};  ///< Depth::Chosen: of a file, content; of a directory, everything below
  };
  /// What is looked at of what the peer had already.
  enum class Depth : std::uint8_t {
    Entries,   ///< nothing
    Children,  ///< what is not a directory
    All,       ///< everything, and all below
    Chosen,    ///< the same, but content only as run_chosen says
  };
  struct Listed {
    std::vector<Entry> entries{};
    Depth depth{Depth::Entries};
    bool doubtful{false};
  };
  struct Asked {
    WorkRef work{};
    std::uint64_t first{0};
    std::size_t count{0};
  };
  enum class Kind { Zones, Inode, Fix, Scan };
  struct Job {
    Kind kind{};
    HandleKey key{};       ///< Scan, Fix: the directory
    std::string name{};    ///< Fix
    Depth depth{Depth::Entries};  ///< Scan, Fix
    bool doubtful{false};  ///< Scan, Fix: a log names it, which knows directories, not each name
    WorkRef work{};        ///< Inode, Zones
    wire::EntryFate fate{wire::EntryFate::Kept};  ///< Inode
    std::vector<std::uint64_t> zones{};           ///< Zones; Inode of a dirty file: only these
    bool only_zones{false};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> compared{};  ///< with only_zones: first and end of zones in doubt
  };

  struct Dirty {
    std::size_t depth{0};
    Job job{};
  };
  Status run_from_roots(Depth depth);
  Status sort_marks(const journal::ZoneMap& map, std::vector<Dirty>& directories, std::vector<Job>& inodes);
  Result<InodeId> pin_marked(const journal::ZoneMap& map, const HandleKey& key, const journal::InodeMarks& marks);
  [[nodiscard]] bool is_chosen(const HandleKey& directory, const std::string& name, const Entry& entry, const struct stat& st) const;
  [[nodiscard]] bool is_told_by_marks(const HandleKey& key, wire::EntryFate fate) const;
  [[nodiscard]] Job job_of_marks(const HandleKey& key, WorkRef work) const;
  void push(Job job);
  void push_locked(Job job);
  void work();
  Status do_job(Job& job);
  Status list(const Job& job);
  Status list_once(const Job& job);
  Status put_listing(InodeId directory, const std::vector<std::string>& names, const Job& job);
  Result<Entry> describe(InodeId directory, int fd, const std::string& name, const Job& job, wire::ListingEntry& entry);
  void listed(Listed&& list, const std::vector<wire::EntryFate>& fates);
  Status send_inode(const Job& job);
  Status send_parts(const Job& job);
  Result<bool> send_state(InodeId id, int fd, bool fresh);
  Status send_all(const WorkRef& work, int fd);
  Status compare(const WorkRef& work, int fd, std::uint64_t begin, std::uint64_t end);
  Status send_zones(const WorkRef& work, const std::vector<std::uint64_t>& zones);
  Status send_range(const WorkRef& work, int fd, std::uint64_t begin, std::uint64_t end, bool punch);
  Status wait_for_peer();
  void count_done(Work& work, std::uint64_t bytes);
  Status release(const WorkRef& work);
  Status ask(const WorkRef& work, int fd, std::uint64_t first, std::uint64_t count);
  Status asked(SequenceNumber sequence, Asked&& asked);
  [[nodiscard]] Status check_early() const;
  void listing_sent(SequenceNumber sequence, Listed&& listed);
  Status settle();
  void more_scans(bool come);
  Status fix_path(InodeId id);

  ResyncHost& host_;
  Inodes& inodes_;
  TreeOrder& order_;
  const Settings& settings_;
  std::function<void()> changed_{};
  journal::ZoneMap map_{};  ///< of run_chosen, as the next
  std::int64_t since_{0};

  mutable std::mutex mutex_{};
  std::condition_variable wake_{};
  std::array<std::deque<Job>, 4> jobs_{};  ///< by Kind, the first are taken first
  std::size_t running_{0};
  /// Scan and Fix jobs queued, running, or with their answer under way; one more while there are others to come.
  std::size_t scans_{1};
  std::unordered_map<std::uint64_t, Listed> listings_{};
  std::unordered_map<std::uint64_t, Asked> asked_{};
  std::uint64_t asked_bytes_{0};  ///< of zones, in asked_
  std::uint64_t answers_{0};  ///< so far
  /// Answers that came before who asked had noted the question.
  std::unordered_map<std::uint64_t, wire::ListingAnswer> early_listings_{};
  std::unordered_map<std::uint64_t, wire::ZonesWanted> early_zones_{};
  bool stopped_{false};
  Status failed_{};
  Progress progress_{};
  std::vector<std::thread> workers_{};
};

}  // namespace safekit::replica
