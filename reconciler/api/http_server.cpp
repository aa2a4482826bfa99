#include "reconciler/api/http_server.h"

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reconciler/api/connection.h"
#include "reconciler/api/sockets.h"

namespace safekit::api {
namespace {

constexpr std::size_t kHeadBytesMax = 64U << 10;  ///< request line and headers together
constexpr std::size_t kPathBytesMax = 1024;   ///< the library matches paths by a recursive regular expression
constexpr Duration kIdleMax = seconds{15};    ///< an open connection without a request
constexpr Duration kAnswerMax = seconds{90};  ///< longer than anything the routes let wait
constexpr Duration kPingEvery = seconds{10};  ///< on a quiet watch, so that a dead reader is found

/// The library's view of a connection, with a bound on what a request's head may be.
class HeadLimitedStream final : public httplib::Stream {
 public:
  explicit HeadLimitedStream(Connection& connection) : connection_(connection) {}
  void begin_head() { head_left_ = kHeadBytesMax; }
  void end_head() { head_left_ = kNoLimit; }
  bool is_readable() const override {
    return at_ < filled_ || connection_.wait_readable(Connection::kReadLimit);
  }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, std::size_t size) override {
    if (at_ == filled_) {
      const std::ptrdiff_t got = connection_.read(buffer_.data(), buffer_.size());
      if (got <= 0) return got;
      at_ = 0;
      filled_ = static_cast<std::size_t>(got);
    }
    const std::size_t count = std::min({size, filled_ - at_, head_left_});
    if (count == 0) return -1;
    std::memcpy(out, buffer_.data() + at_, count);
    at_ += count;
    if (in_head()) head_left_ -= count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, std::size_t size) override { return connection_.write(data, size); }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    (void)ip, port = connection_.fd();
  }
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return connection_.fd(); }
  [[nodiscard]] bool in_head() const { return head_left_ != kNoLimit; }
  [[nodiscard]] bool has_buffered() const { return at_ < filled_; }

 private:
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
  Connection& connection_;
  std::array<char, 8192> buffer_{};
  std::size_t at_{0};
  std::size_t filled_{0};
  std::size_t head_left_{kHeadBytesMax};
};

/// A thread for each connection; at the bound the next one waits for a place.
class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(std::size_t max) : max_(max) {}
  void enqueue(std::function<void()> task) override {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return running_ < max_; });
    ++running_;
    lock.unlock();
    std::thread{[this, task = std::move(task)] {
      task();
      const std::lock_guard guard{mutex_};
      --running_;
      changed_.notify_all();
    }}.detach();
  }
  void shutdown() override {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::size_t running_{0};
  const std::size_t max_;
};

/// What all doors share: the way to the loop, and the end. Thread: any, but `stop` the loop's.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  Gate(Loop& loop, Routes& routes, Server::Authenticate authenticate)
      : loop_(loop), routes_(&routes), authenticate_(std::move(authenticate)) {}

  Response ask(Request request) {
    const auto answer = on_loop<Response>([request = std::move(request)](Gate& gate, const auto& done) {
      gate.routes_->handle(request, done);
    });
    return answer.value_or(failure(Error{Code::Unavailable, "safekitd does not answer, or is stopping"}));
  }
  Result<std::shared_ptr<WatchStream>> watch(const Request& request) {
    using Stream = Result<std::shared_ptr<WatchStream>>;
    auto answer = on_loop<Stream>([request](Gate& gate, const auto& done) {
      Stream stream = gate.routes_->watch(request);
      if (stream) gate.keep(*stream);
      done(std::move(stream));
    });
    if (!answer) return Error{Code::Unavailable, "safekitd does not answer, or is stopping"};
    return std::move(*answer);
  }
  std::string user_of_token(const std::string& token) {
    if (!authenticate_ || token.empty()) return {};
    return on_loop<std::string>([token](Gate& gate, const auto& done) { done(gate.authenticate_(token)); })
        .value_or("");
  }
  [[nodiscard]] bool is_stopped() const {
    const std::lock_guard lock{mutex_};
    return stopped_;
  }
  void stop() {
    routes_ = nullptr;
    for (const auto& weak : streams_) {
      if (const auto stream = weak.lock()) stream->close();
    }
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  void keep(const std::shared_ptr<WatchStream>& stream) {
    std::erase_if(streams_, [](const std::weak_ptr<WatchStream>& weak) { return weak.expired(); });
    streams_.push_back(stream);
  }
  /// Runs `work` on the loop and waits for what it gives to `done`; empty when that takes too long or the end
  /// comes.
  template <class T, class Work>
  std::optional<T> on_loop(Work work) {
    const auto slot = std::make_shared<std::optional<T>>();
    loop_.post([gate = shared_from_this(), slot, work = std::move(work)] {
      if (gate->routes_ == nullptr) return;
      work(*gate, [gate, slot](T value) {
        const std::lock_guard lock{gate->mutex_};
        slot->emplace(std::move(value));
        gate->changed_.notify_all();
      });
    });
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, kAnswerMax, [this, &slot] { return stopped_ || slot->has_value(); });
    return std::exchange(*slot, std::nullopt);
  }

  Loop& loop_;
  Routes* routes_;  ///< the loop's; null after the end
  Server::Authenticate authenticate_;
  std::vector<std::weak_ptr<WatchStream>> streams_{};  ///< the loop's
  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  bool stopped_{false};
};

/// One door: the library's server on a socket of ours.
class Listener final : public httplib::Server {
 public:
  Listener(std::shared_ptr<Gate> gate, Door door, std::size_t connections_max)
      : gate_(std::move(gate)), door_(door) {
    new_task_queue = [connections_max] { return new ConnectionThreads{connections_max}; };
    set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      if (request.path.size() <= kPathBytesMax) return HandlerResponse::Unhandled;
      response.status = 414;
      return HandlerResponse::Handled;
    });
    const auto without_body = [this](const httplib::Request& request, httplib::Response& response) {
      serve(request, response, nullptr);
    };
    const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& reader) {
      serve(request, response, &reader);
    };
    Get(".*", without_body);
    Post(".*", with_body);
    Put(".*", with_body);
    Patch(".*", with_body);
    Delete(".*", without_body);
  }
  ~Listener() override { end(); }

  void set_identity(std::shared_ptr<TlsIdentity> identity) {
    const std::lock_guard lock{mutex_};
    identity_ = std::move(identity);
  }
  void run(int listening) {
    svr_sock_ = listening;
    thread_ = std::thread{[this] { (void)listen_after_bind(); }};  // its end is the end of the door
  }
  void end() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock{mutex_};
      ending_ = true;
      for (const auto& [fd, session] : sessions_) ::shutdown(fd, SHUT_RDWR);
    }
    // The library closes the socket itself; a shutdown first makes the accepting thread return.
    const int listening = svr_sock_.exchange(INVALID_SOCKET);
    ::shutdown(listening, SHUT_RDWR);
    thread_.join();
    ::close(listening);
  }

 private:
  struct Session {
    std::string user{};
    bool must_close{false};  ///< a body was left unread: what follows is no request
  };

  bool process_and_close_socket(socket_t fd) override {
    Session session;
    std::shared_ptr<TlsIdentity> identity;
    {
      const std::lock_guard lock{mutex_};
      identity = identity_;
      sessions_[fd] = &session;
      if (ending_) ::shutdown(fd, SHUT_RDWR);
    }
    if (door_ == Door::Local) session.user = user_of(fd);
    if (door_ == Door::Https && !identity) {
      forget(fd);
      ::close(fd);
      return false;
    }
    Connection connection{fd};
    const bool open = !identity || connection.handshake(identity);
    if (open) converse(connection, session);
    forget(fd);  // before the number can be given to another connection
    return open;
  }

  void converse(Connection& connection, Session& session) {
    HeadLimitedStream stream{connection};
    bool closed = false;
    while (!closed && !session.must_close && !gate_->is_stopped()) {
      if (!stream.has_buffered() && !connection.wait_readable(kIdleMax)) return;
      stream.begin_head();
      const bool served =
          process_request(stream, false, closed, [&stream](httplib::Request&) { stream.end_head(); });
      if (!served || stream.in_head()) return;  // a head that cannot be read: what follows is no request
    }
  }

  void forget(int fd) {
    const std::lock_guard lock{mutex_};
    sessions_.erase(fd);
  }

  Session& session_of(const httplib::Request& request) {
    const std::lock_guard lock{mutex_};
    return *sessions_.at(request.remote_port);  // the stream says so: our number of the connection
  }

  void serve(const httplib::Request& from, httplib::Response& to, const httplib::ContentReader* reader) {
    Session& session = session_of(from);
    Request request{.path = from.path,
                    .content_type = from.get_header_value("Content-Type"),
                    .user = session.user,
                    .door = door_};
    for (const Method method : {Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete}) {
      if (from.method == to_string(method)) request.method = method;
    }
    for (const auto& [name, value] : from.params) request.query[name] = value;
    if (door_ == Door::Https) {
      constexpr std::string_view kBearer = "Bearer ";
      const std::string authorization = from.get_header_value("Authorization");
      std::string user;
      if (authorization.starts_with(kBearer))
        user = gate_->user_of_token(authorization.substr(kBearer.size()));
      if (!user.empty()) request.user = user + "@" + address_of(from.remote_port);
    }
    if (reader != nullptr && !read_body(*reader, session, request, to)) return;
    if (Routes::is_watch(request)) return serve_watch(request, to);
    fill(to, gate_->ask(std::move(request)));
  }

  /// Who has not logged in gets no more than a small body read: that of a node that joins.
  static bool read_body(const httplib::ContentReader& reader, Session& session, Request& request,
                        httplib::Response& to) {
    constexpr std::size_t kStrangerBytesMax = 64U << 10;
    const std::size_t max = request.user.empty() ? kStrangerBytesMax : kBodyBytesMax;
    const bool complete = reader([&request, max](const char* data, std::size_t size) {
      if (request.body.size() + size > max) return false;
      request.body.append(data, size);
      return true;
    });
    if (complete) return true;
    session.must_close = true;
    fill(to, failure(Error{Code::Invalid, fmt::format("the body of a request may have {} bytes", max)}));
    to.status = 413;
    to.set_header("Connection", "close");
    return false;
  }

  static void fill(httplib::Response& to, const Response& from) {
    to.status = from.status;
    to.set_header("Cache-Control", "no-store");
    to.set_content(from.body, from.content_type);
  }

  void serve_watch(const Request& request, httplib::Response& to) {
    auto stream = gate_->watch(request);
    if (!stream) return fill(to, failure(stream.error()));
    to.set_header("Cache-Control", "no-store");
    to.set_chunked_content_provider(
        "text/event-stream",
        [stream = *stream](std::size_t, httplib::DataSink& sink) {
          WatchStream::Taken taken = stream->take(kPingEvery);
          if (taken.text.empty() && !taken.over) taken.text = ": still here\n\n";
          if (!taken.text.empty() && !sink.write(taken.text.data(), taken.text.size())) return false;
          if (taken.over) sink.done();
          return true;
        },
        [stream = *stream](bool) { stream->abandon(); });
  }

  std::shared_ptr<Gate> gate_;
  const Door door_;
  std::thread thread_{};
  std::mutex mutex_{};
  std::shared_ptr<TlsIdentity> identity_{};
  std::map<int, Session*> sessions_{};
  bool ending_{false};
};

}  // namespace

struct Server::Impl {
  Impl(Loop& loop, store::Store& store, const Clock& clock, Log& a_log, ServerOptions an_options,
       Callbacks callbacks, Authenticate authenticate)
      : log(a_log),
        options(std::move(an_options)),
        routes(store, loop, clock, std::move(callbacks)),
        gate(std::make_shared<Gate>(loop, routes, std::move(authenticate))) {}
  Log& log;
  ServerOptions options;
  Routes routes;
  std::shared_ptr<Gate> gate;
  std::unique_ptr<Listener> local{};
  std::unique_ptr<Listener> https{};
  std::unique_ptr<Listener> probe{};
  std::uint16_t https_port{0};
  std::uint16_t probe_port{0};
};

Server::Server(Loop& loop, store::Store& store, const Clock& clock, Log& log, ServerOptions options,
               Callbacks callbacks, Authenticate authenticate)
    : impl_(std::make_unique<Impl>(loop, store, clock, log, std::move(options), std::move(callbacks),
                                   std::move(authenticate))) {}

Server::~Server() {
  stop();
}

Status Server::start() {
  Impl& impl = *impl_;
  SK_TRY(const int local, listen_local(impl.options.socket_path, impl.options.socket_group));
  impl.local = std::make_unique<Listener>(impl.gate, Door::Local, impl.options.connections_max);
  impl.local->run(local);
  if (!impl.options.probe) return {};
  const auto probe = listen_tcp(impl.options.probe_host, impl.options.probe_port);
  if (!probe) {
    impl.log.write(LogLevel::Warning, "api", fmt::format("probe=off reason=\"{}\"", probe.error().what));
    return {};
  }
  impl.probe_port = port_of(*probe);
  impl.probe = std::make_unique<Listener>(impl.gate, Door::Probe, impl.options.connections_max);
  impl.probe->run(*probe);
  return {};
}

Status Server::set_identity(const Identity& identity) {
  Impl& impl = *impl_;
  SK_TRY(auto tls, TlsIdentity::make(identity));
  if (!impl.https) {
    SK_TRY(const int https, listen_tcp(impl.options.https_host, impl.options.https_port));
    impl.https_port = port_of(https);
    impl.https = std::make_unique<Listener>(impl.gate, Door::Https, impl.options.connections_max);
    impl.https->set_identity(std::move(tls));
    impl.https->run(https);
    return {};
  }
  impl.https->set_identity(std::move(tls));
  return {};
}

void Server::stop() {
  Impl& impl = *impl_;
  impl.gate->stop();
  const bool was_open = impl.local != nullptr;
  impl.local.reset();
  impl.https.reset();
  impl.probe.reset();
  if (was_open)
    (void)::unlink(impl.options.socket_path.c_str());  // a left socket would be removed at the next start
}

Routes& Server::routes() {
  return impl_->routes;
}
std::uint16_t Server::https_port() const {
  return impl_->https_port;
}
std::uint16_t Server::probe_port() const {
  return impl_->probe_port;
}

}  // namespace safekit::api
