// What a control plane reads from another one: the exchange of objects, joining, and what heartbeats carry.
#include <algorithm>

#include "controllers/membership/payload.h"
#include "e2e/fuzz/fuzz.h"
#include "reconciler/peer/exchange.h"
#include "reconciler/peer/identity.h"
#include "reconciler/peer/token.h"

namespace safekit::fuzz {
namespace {

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

void read_entries(BytesView input) {
  const auto entries = peer::parse_entries(as_text(input));
  if (!entries) return;
  const auto back = peer::parse_entries(peer::to_body(*entries));
  SK_ASSERT(back && *back == *entries);
  const std::vector<std::string> history{"b", "a"};
  const std::vector<peer::Mine> mine{{.key = {.kind = store::Kind::Module, .name = "m"}, .history = history, .is_for_peer = true}};
  const auto plan = peer::plan_exchange(mine, *entries);
  SK_ASSERT(plan.fetch.size() <= entries->size());
}

std::vector<Bytes> entries() {
  const store::ObjectKey key{.kind = store::Kind::Module, .name = "m"};
  return {bytes_of(peer::to_body(std::vector<peer::Entry>{{key, "a"}, {{.kind = store::Kind::Cluster, .name = "c"}, "d"}}))};
}

void read_parcel(BytesView input) {
  const auto parcel = peer::parse_parcel(as_text(input));
  if (!parcel) return;
  const auto back = peer::parse_parcel(peer::to_body(*parcel));
  SK_ASSERT(back && back->objects == parcel->objects && back->wanted == parcel->wanted);
  for (const store::StoredObject& stored : parcel->objects) {
    SK_ASSERT(peer::judge(nullptr, stored) == peer::Judgement::Theirs && peer::judge(&stored, stored) == peer::Judgement::Same);
  }
}

std::vector<Bytes> parcels() {
  store::StoredObject stored{};
  stored.object = {.key = {.kind = store::Kind::Module, .name = "m"}, .spec = "{}", .generation = 1, .digest = "d", .parent = "p",
                   .author = "x", .origin = NodeName{"a"}, .time = WallTime{2}};
  stored.history = {"d", "p"};
  return {bytes_of(peer::to_body(peer::Parcel{.objects = {stored}, .wanted = {stored.object.key}}))};
}

void read_join(BytesView input) {
  const auto request = peer::parse_join_request(as_text(input));
  if (!request) return;
  const auto back = peer::parse_join_request(peer::to_body(*request));
  SK_ASSERT(back && back->node == request->node && back->secret == request->secret && back->request_pem == request->request_pem);
}

std::vector<Bytes> joins() {
  peer::JoinRequest request{};
  request.node = NodeName{"a"};
  request.request_pem = "pem";
  return {bytes_of(peer::to_body(request))};
}

void read_token(BytesView input) {
  (void)peer::from_hex(as_text(input));
  const auto token = peer::parse_token(as_text(input));
  if (!token) return;
  const auto back = peer::parse_token(peer::to_text(*token));
  SK_ASSERT(back && *back == *token);
}

std::vector<Bytes> tokens() {
  return {bytes_of(peer::to_text({.authority_fingerprint = std::string(64, 'a'), .addresses = {"192.0.2.1", "node"}}))};
}

void read_payload(BytesView input) {
  const auto payload = membership::decode(input);
  if (!payload) return;
  const auto back = membership::decode(membership::encode(*payload));
  SK_ASSERT(back && *back == *payload);
}

std::vector<Bytes> payloads() {
  const membership::ModuleEntry entry{.name = "m", .role = status::Role::Second, .up_to_date = true, .wants_primary = true,
                                      .generation = 1, .asked_pairing = 2, .answered_pairing = 3};
  return {membership::encode({.node = "a", .modules = {entry, {.name = "n"}}})};
}

constexpr std::array kParsers{
    Parser{.name = "entries", .bytes_max = 2048, .read = read_entries, .seeds = entries},
    Parser{.name = "parcel", .bytes_max = 4096, .read = read_parcel, .seeds = parcels},
    Parser{.name = "join", .bytes_max = 1024, .read = read_join, .seeds = joins},
    Parser{.name = "token", .bytes_max = 1024, .read = read_token, .seeds = tokens},
    Parser{.name = "payload", .bytes_max = 2048, .read = read_payload, .seeds = payloads},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
