#include "datapath/linux/tls_bundle.h"

#include <sys/socket.h>

namespace safekit::tls {

Bundle::Bundle(std::vector<std::unique_ptr<Connection>> connections)
    : connections_(std::move(connections)), order_(connections_.size()), incoming_(connections_.size()) {
  piece_.reserve(bundle::kPieceHeadBytes + bundle::kPieceBytesMax);
}

void Bundle::shut() {
  stopper_.shut();
  for (const auto& connection : connections_) ::shutdown(connection->socket(), SHUT_RDWR);
}

Stream::Line Bundle::line() const {
  Line all{.connections = static_cast<std::uint32_t>(connections_.size())};
  for (const auto& connection : connections_) {
    const Line one = connection->line();
    all.unconfirmed += one.unconfirmed;
    all.held_back += one.held_back;
  }
  return all;
}

Status Bundle::write(BytesView bytes, Duration timeout) {
  const std::lock_guard sending{send_mutex_};
  while (!bytes.empty()) {
    const BytesView piece = bytes.first(std::min(bytes.size(), bundle::kPieceBytesMax));
    SK_TRY_VOID(put(piece, timeout));
    bytes = bytes.subspan(piece.size());
  }
  while (std::ranges::any_of(connections_, &Connection::has_unsent)) SK_TRY_VOID(wait_to_send(timeout));
  return {};
}

Status Bundle::put(BytesView piece, Duration timeout) {
  std::optional<std::size_t> chosen;
  for (;;) {
    std::array<std::optional<std::uint64_t>, bundle::kConnectionsMax> unconfirmed{};
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (!connections_[i]->has_unsent()) unconfirmed[i] = connections_[i]->unconfirmed();
    }
    chosen = bundle::choose(std::span{unconfirmed}.first(connections_.size()));
    if (chosen) break;
    SK_TRY_VOID(wait_to_send(timeout));
  }
  piece_.resize(bundle::kPieceHeadBytes);
  bundle::encode({.number = ++sent_, .bytes = static_cast<std::uint32_t>(piece.size())},
                 std::span{piece_}.first<bundle::kPieceHeadBytes>());
  piece_.insert(piece_.end(), piece.begin(), piece.end());
  connections_[*chosen]->encrypt(piece_);
  SK_TRY_VOID(connections_[*chosen]->send_some());
  return {};
}

/// Until a connection that has something unsent takes more of it. The receiver may need what is unsent on one before it reads
/// another, so all are looked at.
Status Bundle::wait_to_send(Duration timeout) {
  std::vector<pollfd> waited;
  for (const auto& connection : connections_) {
    if (connection->has_unsent()) waited.push_back({connection->socket(), POLLOUT, 0});
  }
  const int ready = stopper_.wait(waited, after(timeout));
  if (ready == 0) return Error{Code::Timeout, "the peer takes no data"};
  if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
  for (const auto& connection : connections_) SK_TRY_VOID(connection->send_some());
  return {};
}

Result<std::size_t> Bundle::read(std::span<std::uint8_t> into, Duration timeout) {
  const SteadyTime end = after(timeout);
  for (;;) {
    SK_TRY(const std::size_t got, read_now(into));
    if (got > 0 || timeout <= Duration{0}) return got;
    std::vector<pollfd> waited;
    const auto due = order_.due();
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (due ? due->connection == i : order_.wants_head(i)) waited.push_back({connections_[i]->socket(), POLLIN, 0});
    }
    const int ready = stopper_.wait(waited, end);
    if (ready == 0) return std::size_t{0};
    if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
  }
}

Result<std::size_t> Bundle::read_now(std::span<std::uint8_t> into) {
  if (!order_.due()) SK_TRY_VOID(look_for_heads());
  const auto due = order_.due();
  if (!due) return std::size_t{0};
  SK_TRY(const std::size_t got, connections_[due->connection]->read_some(into.first(std::min(into.size(), due->bytes))));
  order_.read(got);
  return got;
}

/// Until the head of the piece that is due is there, or nothing more is.
Status Bundle::look_for_heads() {
  for (std::size_t i = 0; i < connections_.size() && !order_.due(); ++i) {
    if (!order_.wants_head(i)) continue;
    Incoming& incoming = incoming_[i];
    SK_TRY(const std::size_t got, connections_[i]->read_some(std::span{incoming.head}.subspan(incoming.bytes)));
    incoming.bytes += got;
    if (incoming.bytes < incoming.head.size()) continue;
    incoming.bytes = 0;
    SK_TRY_VOID(order_.note(i, bundle::decode_head(incoming.head)));
  }
  return {};
}

Result<std::vector<std::unique_ptr<Connection>>> Gathering::add(std::unique_ptr<Connection> connection,
                                                                const bundle::Place& place) {
  if (place.bundle != first_.bundle || place.count != first_.count) {
    first_ = place;
    members_.clear();
    members_.resize(place.count);
  }
  if (members_[place.index] != nullptr) return Error{Code::Corrupt, "two connections say that they are the same"};
  members_[place.index] = std::move(connection);
  if (std::ranges::any_of(members_, [](const auto& member) { return member == nullptr; })) {
    return std::vector<std::unique_ptr<Connection>>{};
  }
  first_ = {};
  return std::exchange(members_, {});
}

}  // namespace safekit::tls
