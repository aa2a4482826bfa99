#pragma once

#include <netinet/in.h>
#include <poll.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "datapath/heartbeat/packet.h"
#include "datapath/heartbeat/service.h"
#include "datapath/linux/aead.h"
#include "datapath/linux/fd.h"

namespace safekit::heartbeat {

/// What the thread tells of one link without a lock; times in nanoseconds of MonoTime.
struct LinkCell {
  static constexpr std::int64_t kNever = INT64_MIN;
  std::atomic<std::int64_t> heard{kNever};
  std::atomic<std::int64_t> listening_since{0};
  std::atomic<Health> health{Health::Init};
  std::atomic<int> error{0};
};

struct Address {
  sockaddr_storage storage{};
  socklen_t size{0};
};
[[nodiscard]] Result<Address> make_address(const std::string& text, std::uint16_t port);

/// A link as the loop hands it to the thread.
struct WiredLink {
  Link link{};
  Address local{};
  Address peer{};
  std::shared_ptr<LinkCell> cell{};
};

/// What the loop knows. Only the loop's thread touches it; the heartbeat thread posts.
struct HeartbeatService::Front {
  std::map<std::pair<LanName, NodeName>, std::shared_ptr<LinkCell>> cells{};
  std::map<NodeName, Bytes> payloads{};
  std::function<void(const NodeName&)> task{};
};

/// The thread and all that only it touches.
class HeartbeatService::Engine {
 public:
  Engine(const Options& options, Clock& clock, Random& random, Crypto& crypto, Loop& loop,
         std::weak_ptr<Front> front);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  struct Mail {  ///< from the loop to the thread
    std::optional<std::vector<WiredLink>> links{};
    Duration period{};
    std::optional<Bytes> payload{};
    bool stop{false};
  };
  void hand_over(const std::function<void(Mail&)>& write);

  std::atomic<std::int64_t> delay_max{0};
  std::atomic<bool> real_time{false};

 private:
  struct Socket {
    Address local{};
    Fd fd{};
    int error{0};
  };
  struct Peer {
    explicit Peer(const Challenge& first) : session(first) {}
    std::uint64_t id{0};
    PeerSession session;
    std::uint64_t have{0};      ///< number of its payload that we hold
    std::uint64_t peer_has{0};  ///< number of our payload that it holds
  };
  struct Flow {
    WiredLink wired{};
    std::size_t socket{0};
    Peer* peer{nullptr};
    linux_os::Aead send;
    std::optional<linux_os::Aead> receive{};  ///< for the session accepted
    SessionId receive_session{};
    int unproven_left{0};  ///< packets of other sessions that are still looked at in this period
  };

  void run();
  void prepare_thread();
  void read_mail();
  void rewire(std::vector<WiredLink> links);
  Flow make_flow(WiredLink&& link);
  void bind_sockets();
  void wait_until(MonoTime wake);
  void drain(std::size_t socket);
  void receive(std::size_t socket, BytesView datagram, MonoTime now);
  std::optional<Body> open(Flow& flow, const Header& header, BytesView datagram);
  void believe(std::size_t index, Verdict verdict, const Body& body, MonoTime now);
  void send_all();
  void send(Flow& flow, const Challenge& echo, bool proven);
  void show(std::size_t index);
  void tell(const NodeName& peer, std::optional<Bytes> payload);
  SecretKey key_for(const SessionId& session, const NodeName& from, const NodeName& to, const LanName& lan);
  Challenge fresh_challenge();

  const Options options_;
  Clock& clock_;
  Random& random_;
  Crypto& crypto_;
  Loop& loop_;
  const std::weak_ptr<Front> front_;
  const std::uint64_t id_;
  SessionId session_{};

  std::mutex mail_mutex_{};
  Mail mail_{};  // guarded by mail_mutex_
  Fd bell_{};

  bool stopping_{false};
  Duration period_{milliseconds{100}};
  std::uint64_t counter_{
      0};  ///< one row for all links and the whole life, so that no key ever sees a nonce twice
  Bytes payload_{};
  std::uint64_t payload_number_{0};
  std::vector<Socket> sockets_{};
  std::vector<pollfd> polled_{};
  std::vector<Flow> flows_{};
  std::map<NodeName, Peer>
      peers_{};  ///< never shrinks: a forgotten session would let its old packets in again
  Table table_{};
  Challenge next_challenge_{};

  struct Buffers {
    std::array<std::uint8_t, kDatagramBytesMax> out{};
    std::array<std::uint8_t, kDatagramBytesMax> in{};
    std::array<std::uint8_t, kBodyBytes + kPayloadBytesMax> plain{};
  };
  std::unique_ptr<Buffers> buffers_{std::make_unique<Buffers>()};
  std::thread thread_{};  // last: it uses all of the above
};

}  // namespace safekit::heartbeat
