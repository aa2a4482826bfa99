#include "reconciler/witness/door.h"

#include <atomic>

#include "reconciler/api/sockets.h"

namespace safekit::witness {

/// Takes what comes in at the door to the service.
class WitnessDoor::Desk final : public api::Answerer {
 public:
  Desk(LeaseService& service, Crypto& crypto, const std::string& secret)
      : service_(service), crypto_(crypto), digest_(crypto.sha256_hex(as_bytes(secret))) {}
  void stop() { stopped_ = true; }

  api::Response ask(api::Request request) override {
    if (request.user.empty())
      return api::failure(Error{Code::Denied, "this witness does not know your key: `safekit witness --show` here prints it"});
    return service_.answer(request);
  }
  Result<std::shared_ptr<api::WatchStream>> watch(const api::Request&) override {
    return Error{Code::NotFound, "a witness has nothing to watch"};
  }
  std::string user_of_token(const std::string& token) override {
    // Digests: how long a comparison takes says nothing of the secret.
    return crypto_.sha256_hex(as_bytes(token)) == digest_ ? "node" : "";
  }
  [[nodiscard]] bool is_stopped() const override { return stopped_; }

 private:
  LeaseService& service_;
  Crypto& crypto_;
  const std::string digest_;
  std::atomic<bool> stopped_{false};
};

WitnessDoor::WitnessDoor(LeaseService& service, Crypto& crypto, Options options)
    : desk_(std::make_shared<Desk>(service, crypto, options.secret)), options_(std::move(options)) {}

WitnessDoor::~WitnessDoor() { desk_->stop(); }

Status WitnessDoor::open(const Identity& identity) {
  std::shared_ptr<api::TlsIdentity> tls;
  if (options_.tls) {
    SK_TRY(tls, api::TlsIdentity::make(identity));
  }
  SK_TRY(const int listening, api::listen_tcp(options_.host, options_.port));
  port_ = api::port_of(listening);
  listener_ = std::make_unique<api::Listener>(desk_, options_.tls ? api::Door::Https : api::Door::Plain, kConnectionsMax);
  listener_->set_identity(std::move(tls));
  listener_->run(listening);
  return {};
}

}  // namespace safekit::witness
