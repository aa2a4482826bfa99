#include "reconciler/api/listener.h"

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reconciler/api/routes.h"
#include "reconciler/api/sockets.h"

namespace safekit::api {
namespace {

constexpr std::size_t kHeadBytesMax = 64U << 10;  ///< request line and headers together
constexpr std::size_t kPathBytesMax = 1024;   ///< the library matches paths by a recursive regular expression
constexpr Duration kIdleMax = seconds{15};    ///< an open connection without a request
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

}  // namespace

/// The library's server on a socket of ours.
struct Listener::Impl final : public httplib::Server {
 public:
  Impl(std::shared_ptr<Answerer> answerer, Door door, std::size_t connections_max)
      : answerer_(std::move(answerer)), door_(door) {
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
  ~Impl() override { end(); }

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
    while (!closed && !session.must_close && !answerer_->is_stopped()) {
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
    if (door_ == Door::Https || door_ == Door::Plain) {
      constexpr std::string_view kBearer = "Bearer ";
      const std::string authorization = from.get_header_value("Authorization");
      std::string user;
      if (authorization.starts_with(kBearer))
        user = answerer_->user_of_token(authorization.substr(kBearer.size()));
      if (!user.empty()) request.user = user + "@" + address_of(from.remote_port);
    }
    if (reader != nullptr && !read_body(*reader, session, request, to)) return;
    if (Routes::is_watch(request)) return serve_watch(request, to);
    fill(to, answerer_->ask(std::move(request)));
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
    auto stream = answerer_->watch(request);
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

  std::shared_ptr<Answerer> answerer_;
  const Door door_;
  std::thread thread_{};
  std::mutex mutex_{};
  std::shared_ptr<TlsIdentity> identity_{};
  std::map<int, Session*> sessions_{};
  bool ending_{false};
};

Listener::Listener(std::shared_ptr<Answerer> answerer, Door door, std::size_t connections_max)
    : impl_(std::make_unique<Impl>(std::move(answerer), door, connections_max)) {}
Listener::~Listener() = default;

void Listener::set_identity(std::shared_ptr<TlsIdentity> identity) { impl_->set_identity(std::move(identity)); }
void Listener::run(int listening) { impl_->run(listening); }

}  // namespace safekit::api
