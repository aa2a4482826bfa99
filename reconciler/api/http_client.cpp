#include "reconciler/api/http_client.h"

#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reconciler/api/authority.h"
#include "schema/doc/json.h"

namespace safekit::api {
namespace {

constexpr Duration kConnectMax = seconds{10};
constexpr Duration kSilenceMax = seconds{30};  ///< of a watch: the server says something every 10 s
constexpr std::size_t kEventBytesMax = kBodyBytesMax;

class UnixClient final : public httplib::ClientImpl {
 public:
  explicit UnixClient(std::string path) : ClientImpl("localhost"), path_(std::move(path)) {}
  [[nodiscard]] int connect_errno() const { return connect_errno_; }

 private:
  bool create_and_connect_socket(Socket& socket, httplib::Error& error) override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    connect_errno_ = ENAMETOOLONG;
    if (path_.size() < sizeof address.sun_path) {
      path_.copy(address.sun_path, path_.size());
      socket.sock = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(socket.sock, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return true;
      connect_errno_ = errno;
      ::close(socket.sock);
      socket.sock = INVALID_SOCKET;
    }
    error = httplib::Error::Connection;
    return false;
  }
  std::string path_;
  int connect_errno_{0};
};

/// Splits a stream of server-sent events (WHATWG HTML 9.2, as far as our server uses it).
class EventParser {
 public:
  /// False: stop, either because the caller wants so or because the stream is no such stream.
  bool feed(std::string_view bytes, const Client::OnEvent& on_event) {
    buffer_ += bytes;
    if (buffer_.size() > kEventBytesMax) return false;
    for (std::size_t end = buffer_.find("\n\n"); end != std::string::npos; end = buffer_.find("\n\n")) {
      const std::string block = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      if (!deliver(block, on_event)) return false;
    }
    return true;
  }

 private:
  static bool deliver(const std::string& block, const Client::OnEvent& on_event) {
    constexpr std::string_view kType = "event: ";
    constexpr std::string_view kData = "data: ";
    std::string_view type;
    std::string_view data;
    std::string_view rest = block;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.starts_with(kType)) type = line.substr(kType.size());
      if (line.starts_with(kData)) data = line.substr(kData.size());
    }
    if (data.empty()) return true;  // a comment: the server is still there
    doc::Problems problems;
    const std::vector<doc::Node> nodes = doc::parse_json(data, problems);
    return nodes.size() == 1 && on_event(type, nodes[0]);
  }
  std::string buffer_{};
};

Status trust(httplib::SSLClient& client, const HttpsTarget& target) {
  SSL_CTX* context = client.ssl_context();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (target.authority_pem.empty()) return {};
  client.enable_server_certificate_verification(false);  // the library's own, which wants the name to match
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (api::trust(context, target.authority_pem) == 0)
    return Error{Code::Invalid, "the file of the authority (--ca) holds no certificate in PEM form"};
  return {};
}

/// What both clients share. `Library` is the library's client.
template <class Library>
class HttpClient : public Client {
 public:
  Result<Response> call(const Request& request) override {
    httplib::Request to = to_library(request);
    const httplib::Result result = library().send(to);
    if (!result) return error_of(result.error());
    return Response{.status = result->status,
                    .content_type = result->get_header_value("Content-Type"),
                    .body = result->body};
  }

  Status watch(const Request& request, Duration limit, const OnEvent& on_event) override {
    Request limited = request;
    limited.query["watch"] = "true";
    // The server ends the stream in time: here one would have to wait for the next event to notice.
    if (limit != Duration::max())
      limited.query["timeout"] = safekit::to_string(Duration{std::max<Duration>(limit, milliseconds{1})});
    bool wants_end = false;
    EventParser parser;
    std::string failure_text;
    int status = 0;
    httplib::Request to = to_library(limited);
    to.response_handler = [&status](const httplib::Response& response) {
      status = response.status;
      return true;
    };
    to.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
      if (status != 200) {
        if (failure_text.size() + size < kEventBytesMax) failure_text.append(data, size);
        return true;
      }
      wants_end = !parser.feed({data, size}, on_event);
      return !wants_end;
    };
    const httplib::Result result = library().send(to);
    if (wants_end) return {};
    if (!result && status == 200)
      return Error{Code::Unavailable, fmt::format("the connection to '{}' was lost", name())};
    if (!result) return error_of(result.error());
    if (status != 200) return status_of(Response{.status = status, .body = failure_text});
    if (limit != Duration::max())
      return Error{Code::Timeout, fmt::format("nothing came within {}", safekit::to_string(limit))};
    return Error{Code::Unavailable, "safekitd closed the watch"};
  }

 protected:
  virtual Library& library() = 0;
  [[nodiscard]] virtual Error error_of(httplib::Error error) = 0;
  virtual httplib::Headers headers() const { return {}; }

 private:
  httplib::Request to_library(const Request& request) const {
    httplib::Request to;
    to.method = std::string{to_string(request.method)};
    to.path = target_of(request);
    to.headers = headers();
    to.body = request.body;
    if (!request.content_type.empty()) to.set_header("Content-Type", request.content_type);
    return to;
  }
};

class LocalClient final : public HttpClient<UnixClient> {
 public:
  explicit LocalClient(std::string path) : path_(std::move(path)), library_(path_) {
    library_.set_url_encode(false);
    library_.set_read_timeout(std::chrono::seconds{100});
  }
  [[nodiscard]] std::string name() const override { return path_; }

 protected:
  UnixClient& library() override { return library_; }
  Error error_of(httplib::Error error) override {
    if (error == httplib::Error::Connection) {
      if (library_.connect_errno() == EACCES) {
        return Error{
            Code::Denied,
            fmt::format("you may not use '{}': run it as root, or as a member of group 'safekit'", path_)};
      }
      return Error{Code::Unavailable,
                   fmt::format("safekitd is not running (nothing answers on '{}'). Start it: systemctl start "
                               "safekitd, or safekit sandbox up to try on one machine",
                               path_)};
    }
    return Error{Code::Timeout,
                 fmt::format("safekitd on '{}' gave no answer ({})", path_, httplib::to_string(error))};
  }

 private:
  std::string path_;
  UnixClient library_;
};

class RemoteClient final : public HttpClient<httplib::SSLClient> {
 public:
  explicit RemoteClient(HttpsTarget target)
      : target_(std::move(target)), library_(target_.host, target_.port) {
    library_.set_url_encode(false);
    library_.set_connection_timeout(kConnectMax);
    library_.set_tcp_nodelay(true);
    library_.set_read_timeout(target_.limit);
    trusted_ = trust(library_, target_);
  }
  [[nodiscard]] std::string name() const override {
    const bool is_v6 = target_.host.find(':') != std::string::npos;
    return fmt::format(fmt::runtime(is_v6 ? "https://[{}]:{}" : "https://{}:{}"), target_.host, target_.port);
  }
  Result<Response> call(const Request& request) override {
    SK_TRY_VOID(trusted_);
    return HttpClient::call(request);
  }
  Status watch(const Request& request, Duration limit, const OnEvent& on_event) override {
    SK_TRY_VOID(trusted_);
    library_.set_read_timeout(kSilenceMax);
    return HttpClient::watch(request, limit, on_event);
  }

 protected:
  httplib::SSLClient& library() override { return library_; }
  httplib::Headers headers() const override {
    if (target_.token.empty()) return {};
    return {{"Authorization", "Bearer " + target_.token}};
  }
  Error error_of(httplib::Error error) override {
    switch (error) {
      case httplib::Error::SSLConnection:
      case httplib::Error::SSLLoadingCerts:
      case httplib::Error::SSLServerVerification:
        return Error{
            Code::Denied,
            fmt::format(
                "'{}' cannot prove that it is of this cluster; give the cluster's authority with --ca "
                "FILE (ca.pem of a node)",
                name())};
      case httplib::Error::Connection:
      case httplib::Error::ConnectionTimeout:
        return Error{
            Code::Unavailable,
            fmt::format("nothing answers at '{}'; is safekitd running there and the port open?", name())};
      default:
        return Error{Code::Timeout,
                     fmt::format("'{}' gave no answer ({})", name(), httplib::to_string(error))};
    }
  }

 private:
  HttpsTarget target_;
  httplib::SSLClient library_;
  Status trusted_{};
};

}  // namespace

std::unique_ptr<Client> local_client(std::string socket_path) {
  return std::make_unique<LocalClient>(std::move(socket_path));
}
std::unique_ptr<Client> https_client(HttpsTarget target) {
  return std::make_unique<RemoteClient>(std::move(target));
}

Result<HttpsTarget> parse_target(std::string_view url) {
  const Error error{Code::Invalid, fmt::format("'{}' is no server; write https://host:{}", url, kHttpsPort)};
  constexpr std::string_view kScheme = "https://";
  std::string_view rest = url;
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  HttpsTarget target;
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return error;
    target.host = rest.substr(1, end - 1);
    port = rest.substr(end + 1);
  } else {
    const std::size_t colon = std::count(rest.begin(), rest.end(), ':') == 1 ? rest.find(':') : rest.size();
    target.host = rest.substr(0, colon);
    port = rest.substr(colon);
  }
  if (target.host.empty() || target.host.find('/') != std::string::npos) return error;
  if (port.empty()) return target;
  const auto [end, failed] = std::from_chars(port.data() + 1, port.data() + port.size(), target.port);
  if (port[0] != ':' || failed != std::errc{} || end != port.data() + port.size() || target.port == 0)
    return error;
  return target;
}

}  // namespace safekit::api
