#include "datapath/heartbeat/engine.h"

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "schema/port/interfaces.h"

namespace safekit::heartbeat {
namespace {

constexpr Duration kLateMin = milliseconds{5};  // less is ordinary, and no time-out is that short
constexpr int kDatagramsPerRound = 512;         // then time-outs and sending have their turn
constexpr int kUnprovenPerPeriod = 8;  // each costs a key derivation, also for somebody who only sends noise
constexpr int kTrafficClass = 0xc0;    // CS6, network control (RFC 4594)
constexpr std::size_t kStackBytesLocked = 64 * 1024;
// Random, so that a peer that still holds payloads of our last life does not seem to hold one of this.
constexpr std::uint64_t kFirstNumberMask = (std::uint64_t{1} << 48) - 1;

bool same(const Address& a, const Address& b) {
  return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

Result<Fd> bind_udp(const Address& local) {
  Fd socket{::socket(local.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) return Error{Code::Io, ""};
  const bool v6 = local.storage.ss_family == AF_INET6;
  // No SO_REUSEADDR: UDP needs none to bind again, and with it a second daemon would take our heartbeats away
  // silently.
  (void)::setsockopt(socket.get(), v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &kTrafficClass,
                     sizeof kTrafficClass);  // a preference: the network may not honour it either
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local.storage), local.size) != 0) {
    return Error{Code::Io, ""};
  }
  return socket;
}

/// Touches the stack that the thread will use, and keeps it in memory.
__attribute__((noinline)) void lock_stack() {
  volatile std::uint8_t stack[kStackBytesLocked];
  for (std::size_t i = 0; i < kStackBytesLocked; i += 4096) stack[i] = 0;
  (void)::mlock(const_cast<const std::uint8_t*>(stack), kStackBytesLocked);  // best effort
}

}  // namespace

Result<Address> make_address(const std::string& text, std::uint16_t port) {
  SK_TRY(const IpAddress ip, parse_ip(text));
  Address address;
  if (ip.v6) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    std::memcpy(&name.sin6_addr, ip.bytes.data(), sizeof name.sin6_addr);
    std::memcpy(&address.storage, &name, sizeof name);
    address.size = sizeof name;
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    std::memcpy(&name.sin_addr, ip.bytes.data(), sizeof name.sin_addr);
    std::memcpy(&address.storage, &name, sizeof name);
    address.size = sizeof name;
  }
  return address;
}

HeartbeatService::Engine::Engine(const Options& options, Clock& clock, Random& random, Crypto& crypto,
                                 Loop& loop, std::weak_ptr<Front> front)
    : options_(options),
      clock_(clock),
      random_(random),
      crypto_(crypto),
      loop_(loop),
      front_(std::move(front)),
      id_(sender_id(options.node)),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SK_ASSERT(bell_);
  random_.fill(session_);
  next_challenge_ = fresh_challenge();
  polled_.push_back({.fd = bell_.get(), .events = POLLIN, .revents = 0});
  thread_ = std::thread{[this] { run(); }};
}

HeartbeatService::Engine::~Engine() {
  hand_over([](Mail& mail) { mail.stop = true; });
  thread_.join();
}

void HeartbeatService::Engine::hand_over(const std::function<void(Mail&)>& write) {
  {
    const std::lock_guard lock{mail_mutex_};
    write(mail_);
  }
  const std::uint64_t one = 1;
  SK_ASSERT(::write(bell_.get(), &one, sizeof one) == sizeof one);
}

void HeartbeatService::Engine::prepare_thread() {
  sigset_t all;
  ::sigfillset(&all);
  (void)::pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals belong to the loop
  (void)::pthread_setname_np(::pthread_self(), "heartbeat");
  (void)::mlock(buffers_.get(), sizeof *buffers_);  // best effort, as is the stack
  lock_stack();
  const sched_param parameters{.sched_priority = options_.priority};
  real_time = ::pthread_setschedparam(::pthread_self(), SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0;
}

void HeartbeatService::Engine::run() {
  prepare_thread();
  MonoTime next_send = clock_.mono_now();
  while (!stopping_) {
    const auto deadline = table_.next_deadline();
    const MonoTime wake = deadline ? std::min(next_send, *deadline) : next_send;
    wait_until(wake);
    const Duration late = clock_.mono_now() - wake;
    if (late.count() > delay_max.load()) delay_max = late.count();
    if ((polled_[0].revents & POLLIN) != 0) read_mail();
    // What came in while we did not run has been heard; only then is silence judged.
    for (std::size_t socket = 0; socket < sockets_.size(); ++socket) drain(socket);
    const MonoTime now = clock_.mono_now();
    if (late > kLateMin) {
      table_.postpone(late, now);
      for (std::size_t index = 0; index < flows_.size(); ++index) show(index);
    }
    for (const std::size_t index : table_.advance(now)) {
      show(index);
      tell(flows_[index].wired.link.peer, std::nullopt);
    }
    if (now >= next_send) {
      bind_sockets();
      for (Flow& flow : flows_) flow.unproven_left = kUnprovenPerPeriod;
      send_all();
      next_send = std::max(next_send + period_, now);
    }
  }
}

void HeartbeatService::Engine::wait_until(MonoTime wake) {
  const Duration rest = std::max(wake - clock_.mono_now(), Duration::zero());
  const timespec timeout{.tv_sec = static_cast<time_t>(rest.count() / 1'000'000'000),
                         .tv_nsec = static_cast<long>(rest.count() % 1'000'000'000)};
  if (::ppoll(polled_.data(), polled_.size(), &timeout, nullptr) < 0) polled_[0].revents = 0;
}

void HeartbeatService::Engine::read_mail() {
  std::uint64_t rings = 0;
  (void)!::read(bell_.get(), &rings, sizeof rings);  // only empties it
  Mail mail;
  {
    const std::lock_guard lock{mail_mutex_};
    mail = std::exchange(mail_, Mail{});
  }
  stopping_ = mail.stop;
  if (mail.links) {
    period_ = mail.period;
    rewire(std::move(*mail.links));
  }
  if (mail.payload) {
    payload_ = std::move(*mail.payload);
    payload_number_ = payload_number_ == 0 ? 1 + (random_.u64() & kFirstNumberMask) : payload_number_ + 1;
    send_all();
  }
}

void HeartbeatService::Engine::rewire(std::vector<WiredLink> links) {
  std::vector<Flow> flows;
  std::vector<LinkTimes> times;
  std::vector<Socket> sockets;
  for (WiredLink& wired : links) {
    const auto old = std::ranges::find_if(flows_, [&](const Flow& flow) {
      return flow.wired.cell == wired.cell && same(flow.wired.local, wired.local) &&
             same(flow.wired.peer, wired.peer);
    });
    if (old == flows_.end()) {
      times.push_back({.listening_since = clock_.mono_now(), .timeout = wired.link.timeout});
      flows.push_back(make_flow(std::move(wired)));
    } else {
      times.push_back(table_.links()[static_cast<std::size_t>(old - flows_.begin())]);
      times.back().timeout = wired.link.timeout;
      old->wired = std::move(wired);
      flows.push_back(std::move(*old));
    }
    const auto local = [&](const Socket& socket) { return same(socket.local, flows.back().wired.local); };
    auto socket = std::ranges::find_if(sockets, local);
    if (socket == sockets.end()) {
      const auto before = std::ranges::find_if(sockets_, local);
      sockets.push_back({.local = flows.back().wired.local});
      socket = sockets.end() - 1;
      if (before != sockets_.end()) *socket = std::move(*before);
    }
    flows.back().socket = static_cast<std::size_t>(socket - sockets.begin());
  }
  flows_ = std::move(flows);
  table_ = Table{std::move(times)};
  sockets_ = std::move(sockets);
  polled_.resize(1 + sockets_.size());
  bind_sockets();
  for (std::size_t index = 0; index < flows_.size(); ++index) show(index);
  send_all();
}

HeartbeatService::Engine::Flow HeartbeatService::Engine::make_flow(WiredLink&& link) {
  const NodeName& name = link.link.peer;
  Peer& peer = peers_.try_emplace(name, fresh_challenge()).first->second;
  peer.id = sender_id(name);
  Flow flow{.send = linux_os::Aead{key_for(session_, options_.node, name, link.link.lan)}};
  flow.peer = &peer;
  flow.unproven_left = kUnprovenPerPeriod;
  flow.wired = std::move(link);
  return flow;
}

void HeartbeatService::Engine::bind_sockets() {
  for (std::size_t index = 0; index < sockets_.size(); ++index) {
    Socket& socket = sockets_[index];
    if (!socket.fd) {
      auto bound = bind_udp(socket.local);
      socket.error = bound ? 0 : errno;
      if (bound) socket.fd = std::move(*bound);
    }
    polled_[1 + index] = {.fd = socket.fd.get(), .events = POLLIN, .revents = 0};  // poll skips -1
  }
}

void HeartbeatService::Engine::drain(std::size_t index) {
  Socket& socket = sockets_[index];
  for (int left = kDatagramsPerRound; socket.fd && left > 0; --left) {
    const ssize_t got =
        ::recv(socket.fd.get(), buffers_->in.data(), buffers_->in.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0 || static_cast<std::size_t>(got) > buffers_->in.size())
      continue;  // an ICMP error, or no heartbeat
    receive(index, BytesView{buffers_->in}.first(static_cast<std::size_t>(got)), clock_.mono_now());
  }
}

void HeartbeatService::Engine::receive(std::size_t socket, BytesView datagram, MonoTime now) {
  const auto header = decode_header(datagram);
  if (!header) return;
  const auto flow = std::ranges::find_if(flows_, [&](const Flow& candidate) {
    return candidate.socket == socket && candidate.peer->id == header->sender;
  });
  if (flow == flows_.end()) return;
  const auto body = open(*flow, *header, datagram);
  if (!body) return;
  PeerSession& session = flow->peer->session;
  const Verdict verdict = session.judge(*header, flow->wired.link.lan, *body, next_challenge_);
  if (verdict == Verdict::Replayed) return;
  if (verdict == Verdict::Unproven) return send(*flow, body->challenge, false);
  if (verdict == Verdict::NewSession) next_challenge_ = fresh_challenge();
  believe(static_cast<std::size_t>(flow - flows_.begin()), verdict, *body, now);
}

std::optional<Body> HeartbeatService::Engine::open(Flow& flow, const Header& header, BytesView datagram) {
  const BytesView sealed = datagram.subspan(kHeaderBytes);
  const std::span<std::uint8_t> plain{buffers_->plain.data(), sealed.size() - kTagBytes};
  const auto opens = [&](linux_os::Aead& aead) {
    return aead.open(nonce_of(header.counter), datagram.first(kHeaderBytes), sealed, plain);
  };
  if (!flow.receive || flow.receive_session != header.session) {
    const bool accepted = flow.peer->session.is_accepted(header.session);
    if (!accepted && flow.unproven_left-- <= 0) return {};
    linux_os::Aead aead{key_for(header.session, flow.wired.link.peer, options_.node, flow.wired.link.lan)};
    if (!opens(aead)) return {};
    if (accepted) {  // a recording of another session must not drive this key out
      flow.receive = std::move(aead);
      flow.receive_session = header.session;
    }
  } else if (!opens(*flow.receive)) {
    return {};
  }
  return decode_body(plain);
}

void HeartbeatService::Engine::believe(std::size_t index, Verdict verdict, const Body& body, MonoTime now) {
  Flow& flow = flows_[index];
  Peer& peer = *flow.peer;
  if (verdict == Verdict::NewSession) peer.have = 0;
  // Until the first payload of a session is here, what we hold is of an earlier life of the peer: who heard it now would
  // take a machine that was just switched on for the primary that it was. The packet after that payload counts.
  const bool greeting = peer.have == 0;
  const bool news = !greeting && table_.heard(index, 2 * period_, now);
  if (!greeting) show(index);
  peer.peer_has = body.have;
  const bool new_payload = body.payload_number > peer.have;
  if (new_payload) peer.have = body.payload_number;
  if (new_payload) {
    tell(flow.wired.link.peer, Bytes{body.payload.begin(), body.payload.end()});
  } else if (news) {
    tell(flow.wired.link.peer, std::nullopt);
  }
  if (verdict == Verdict::NewSession)
    send(flow, peer.session.echo(), true);  // the peer need not wait to believe us
}

void HeartbeatService::Engine::send_all() {
  for (Flow& flow : flows_) send(flow, flow.peer->session.echo(), true);
}

void HeartbeatService::Engine::send(Flow& flow, const Challenge& echo, bool proven) {
  Socket& socket = sockets_[flow.socket];
  if (payload_number_ == 0 || !socket.fd) {
    flow.wired.cell->error = socket.error;
    return;
  }
  const bool carries = proven && flow.peer->peer_has != payload_number_;
  const Body body{.challenge = flow.peer->session.challenge(),
                  .echo = echo,
                  .have = proven ? flow.peer->have : 0,  // numbers of another session mean nothing
                  .payload_number = carries ? payload_number_ : 0,
                  .payload = carries ? BytesView{payload_} : BytesView{}};
  const std::span<std::uint8_t> out{buffers_->out};
  const Header header{.sender = id_, .session = session_, .counter = ++counter_};
  encode_header(header, out.first<kHeaderBytes>());
  const std::size_t size = encode_body(body, buffers_->plain);
  flow.send.seal(nonce_of(header.counter), out.first(kHeaderBytes), BytesView{buffers_->plain}.first(size),
                 out.subspan(kHeaderBytes, size + kTagBytes));
  const Address& to = flow.wired.peer;
  const ssize_t sent = ::sendto(socket.fd.get(), out.data(), kHeaderBytes + size + kTagBytes, MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&to.storage), to.size);
  int error = sent < 0 ? errno : 0;
  if (error == ECONNREFUSED) error = 0;  // an older datagram found no daemon over there: not our trouble
  if (error == EINVAL || error == EADDRNOTAVAIL) {  // the local address has gone; bind again until it is back
    socket.fd.reset();
    socket.error = EADDRNOTAVAIL;
    polled_[1 + flow.socket].fd = -1;
    error = EADDRNOTAVAIL;
  }
  flow.wired.cell->error = error;
}

void HeartbeatService::Engine::show(std::size_t index) {
  const LinkTimes& times = table_.links()[index];
  LinkCell& cell = *flows_[index].wired.cell;
  cell.heard = times.heard ? times.heard->ns : LinkCell::kNever;
  cell.listening_since = times.listening_since.ns;
  cell.health = times.health;
}

void HeartbeatService::Engine::tell(const NodeName& peer, std::optional<Bytes> payload) {
  loop_.post([front = front_, peer, payload = std::move(payload)]() mutable {
    const auto alive = front.lock();
    if (!alive) return;
    if (payload) alive->payloads[peer] = std::move(*payload);
    const auto task = alive->task;  // it may set another
    if (task) task(peer);
  });
}

SecretKey HeartbeatService::Engine::key_for(const SessionId& session, const NodeName& from,
                                            const NodeName& to, const LanName& lan) {
  return crypto_.derive(options_.key, key_purpose(session, from, to, lan));
}

Challenge HeartbeatService::Engine::fresh_challenge() {
  Challenge challenge{};
  random_.fill(challenge);
  return challenge;
}

}  // namespace safekit::heartbeat
