#include "controllers/simulate/transport.h"

namespace safekit::sim {

void SimTransport::request(const NodeName& peer, const std::string& path, std::string body, Duration limit, peer::ReplyTask reply) {
  const std::uint64_t id = ++last_id_;
  waiting_.emplace(id, std::move(reply));
  ports_.loop.after(limit, [this, id] { answered(id, Error{Code::Timeout, "no answer"}); });
  if (ports_.reach(ports_.node, peer) == nullptr) {
    ports_.loop.after(milliseconds{1}, [this, id] { answered(id, Error{Code::Unavailable, "it cannot be reached"}); });
    return;
  }
  ports_.world.after(way(), [this, alive = alive_, id, peer, path, body = std::move(body)]() mutable {
    SimTransport* const there = *alive ? ports_.reach(ports_.node, peer) : nullptr;
    if (there == nullptr) return;
    there->arrived(ports_.node, path, std::move(body), [this, alive, id, peer](Result<std::string> answer) {
      if (!*alive) return;
      ports_.world.after(way(), [this, alive, id, peer, answer = std::move(answer)]() mutable {
        if (!*alive || ports_.reach(ports_.node, peer) == nullptr) return;
        ports_.loop.post([this, id, answer = std::move(answer)]() mutable { answered(id, std::move(answer)); });
      });
    });
  });
}

void SimTransport::arrived(const NodeName& from, const std::string& path, std::string body, peer::ReplyTask reply) {
  ports_.loop.post([this, from, path, body = std::move(body), reply = std::move(reply)]() mutable {
    if (handler_) handler_(from, path, std::move(body), std::move(reply));
  });
}

void SimTransport::answered(std::uint64_t id, Result<std::string> reply) {
  const auto waiting = waiting_.extract(id);
  if (!waiting.empty()) waiting.mapped()(std::move(reply));
}

}  // namespace safekit::sim
