#include "reconciler/api/http_server.h"

#include <condition_variable>
#include <mutex>

#include <fmt/format.h>
#include <unistd.h>

#include "reconciler/api/listener.h"
#include "reconciler/api/sockets.h"

namespace safekit::api {
namespace {

constexpr Duration kAnswerMax = seconds{90};  ///< longer than anything the routes let wait

/// What all doors share: the way to the loop, and the end. `stop` is the loop's.
class Gate final : public Answerer, public std::enable_shared_from_this<Gate> {
 public:
  Gate(Loop& loop, Routes& routes, Server::Authenticate authenticate)
      : loop_(loop), routes_(&routes), authenticate_(std::move(authenticate)) {}

  Response ask(Request request) override {
    const auto answer = on_loop<Response>([request = std::move(request)](Gate& gate, const auto& done) {
      gate.routes_->handle(request, done);
    });
    return answer.value_or(failure(Error{Code::Unavailable, "safekitd does not answer, or is stopping"}));
  }
  Result<std::shared_ptr<WatchStream>> watch(const Request& request) override {
    using Stream = Result<std::shared_ptr<WatchStream>>;
    auto answer = on_loop<Stream>([request](Gate& gate, const auto& done) {
      Stream stream = gate.routes_->watch(request);
      if (stream) gate.keep(*stream);
      done(std::move(stream));
    });
    if (!answer) return Error{Code::Unavailable, "safekitd does not answer, or is stopping"};
    return std::move(*answer);
  }
  std::string user_of_token(const std::string& token) override {
    if (!authenticate_ || token.empty()) return {};
    return on_loop<std::string>([token](Gate& gate, const auto& done) { done(gate.authenticate_(token)); })
        .value_or("");
  }
  [[nodiscard]] bool is_stopped() const override {
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
