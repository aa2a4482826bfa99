#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "controllers/replication/link.h"
#include "controllers/simulate/defect.h"
#include "controllers/simulate/ports.h"
#include "datapath/replica/peer_right.h"
#include "datapath/replica/promise_book.h"

namespace safekit::sim {

/// One copy of the data with its journal, as it lies on a node's disk. The data are the numbers of the writes in it, which grow.
struct Copy {
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever{false};
  bool last_primary{false};
  std::uint64_t generation{0};
  std::vector<std::uint32_t> content{};
  std::size_t synced{0};      ///< so many of them are on the disk
  bool mark_unsynced{false};  ///< Defect::MarkNotDurable
  void lose_power(World& world);
};

/// What a process that ended as primary leaves to the next one (docs/takeover.md).
struct LeftMount {
  bool mirroring{false};
  bool granted{false};
  bool noted{false};
  std::uint64_t pairing{0};
  std::uint64_t order{0};
  control::Want want{};
};

/// Stands for safekit-replicad: keeps the contract of control::Want and control::Report over a simulated disk and network, in the
/// order and with the waits of docs/architecture.md (replication). A service.
class Replica {
 public:
  struct Ports {
    World& world;
    const SimClock& clock;
    Copy& copy;
    std::string name{};
    Defect defect{Defect::None};
    std::function<Replica*()> peer{};  ///< the other node's, where it can be reached
    std::function<std::uint32_t()> next_write{};
    std::function<void(std::uint32_t)> acknowledged{};
    std::function<void(bool forced)> promoting{};
    std::function<void(MonoTime until)> guard{[](MonoTime) {}};  ///< of the addresses
  };
  explicit Replica(Ports ports);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  void take_over(const LeftMount& left);
  [[nodiscard]] std::optional<LeftMount> leave() const;
  [[nodiscard]] bool listens() const { return listens_; }
  /// Of one safekitd; the one before is heard no more.
  std::unique_ptr<replication::ReplicaLink> connect(SimLoop& loop, replication::LinkTasks tasks);

  /// The application writes, if it can.
  void write();
  [[nodiscard]] bool may_acknowledge() const;
  /// Calls of the application are held.
  [[nodiscard]] bool is_waiting() const { return !lease_.refused && (waiting_ || (is_primary() && !has_right())); }
  void pause(Duration how_long) { standstill_.pause(how_long); }
  [[nodiscard]] bool is_paused() const { return standstill_.is_paused(); }
  [[nodiscard]] bool is_primary() const { return role_ == control::ReplicaRole::Primary && !refused_; }
  /// The network between the replicas is gone: each side finds out later.
  void lose_stream();
  /// What this side sends gets nowhere any more; the other side finds out, and this one long after.
  void mute();

 private:
  struct Stream {
    Replica* primary{nullptr};
    Replica* second{nullptr};
    bool lost{false};
    std::array<bool, 2> muted{};         ///< nothing arrives at that side
    std::array<std::int64_t, 2> last{};  ///< arrival of the last message to each side
  };
  struct Pending {
    std::uint32_t number{0};
    bool synced{false};
    bool peer_has{false};
    bool alone{false};
    bool released{false};  ///< alone, and a synchronisation has ended since: the peer is not complete before it has this one
  };
  struct Link;

  void after(Duration delay, std::function<void()> task) { standstill_.after(delay, std::move(task)); }
  void send(bool to_second, std::function<void(Replica&)> task);
  void act(const control::Want& want);
  // Rights (replica_right.cpp).
  void configure(const control::Configure& configure);
  [[nodiscard]] MonoTime right() const;
  [[nodiscard]] bool has_right() const;
  void settle_right();
  /// Acts upon it when the last promise is over. False: it may be now.
  bool wait_for_promise(const control::Want& want);
  void exchange_promises();
  void ask_peer();
  void promise();
  void change_role(const control::Want& want);
  void grant();
  void note_alone();
  void look_for_peer();
  [[nodiscard]] bool accepts() const;
  void begin_stream(Replica& second);
  void end_sync();
  void complete(std::vector<std::uint32_t> content, std::uint64_t generation);
  void receive(std::uint32_t number);
  void settle_pending();
  void drop_stream(bool noticed_by_peer);
  void stream_lost();
  void tick();
  void report();
  [[nodiscard]] control::Report state() const;

  Ports ports_;
  bool listens_{false};
  control::Want want_{};
  std::uint64_t acted_{0};
  control::ReplicaRole role_{control::ReplicaRole::Idle};
  bool configured_{false};
  control::Configure configure_{};
  control::Lease lease_{};
  bool by_lease_{false};
  bool frozen_{false};
  replica::PromiseBook promises_{};
  replica::PeerRight peer_right_{};
  MonoTime heard_{};                ///< as a secondary: the last word of the primary
  std::uint64_t answered_{0};
  MonoTime answered_at_{};
  std::uint64_t latest_order_{0};
  Standstill standstill_;
  bool granted_{false};
  bool waiting_{false};
  bool mirroring_{false};
  bool noted_{false};
  bool synchronised_{false};
  bool refused_{false};
  std::uint64_t pairing_{0};
  std::shared_ptr<Stream> stream_{};
  std::deque<Pending> pending_{};
  SimLoop* loop_{nullptr};
  std::shared_ptr<replication::LinkTasks> tasks_{};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
};

}  // namespace safekit::sim
