#include "reconciler/witness/etcd.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/witness/protocol.h"
#include "schema/doc/json.h"

namespace safekit::witness::etcd {
namespace {

constexpr std::int64_t kTtlMaxSeconds = 3600;
constexpr const char* kProbeKey = "safekit/";

std::string base64(std::string_view text) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k <= text.size() ? kLetters[bits >> (18 - 6 * k) & 63U] : '=';
  }
  return out;
}

std::optional<std::int64_t> number_at(const doc::Node& tree, std::string_view key) {
  const doc::Node* found = tree.find(key);
  if (found == nullptr || !found->is_scalar()) return std::nullopt;
  std::int64_t value = 0;
  const char* const last = found->text.data() + found->text.size();
  const auto [end, failed] = std::from_chars(found->text.data(), last, value);
  if (failed != std::errc{} || end != last) return std::nullopt;
  return value;
}

Error corrupt() { return Error{Code::Corrupt, "the answer is not one of etcd v3 (its JSON gateway)"}; }

Result<doc::Node> ask_for(const Call& call, const std::string& path, const std::string& body) {
  SK_TRY(const HttpReply reply, call(path, body));
  doc::Problems problems;
  std::vector<doc::Node> nodes = doc::parse_json(reply.body, problems);
  if (reply.status == 401 || reply.status == 403)
    return Error{Code::Denied, "etcd wants a log-in, which is not supported: allow this node without, or use another witness"};
  if (nodes.size() != 1 || nodes[0].kind != doc::Kind::Map) return corrupt();
  if (reply.status == 200) return std::move(nodes[0]);
  const doc::Node* message = nodes[0].find("error");
  const std::string said = message != nullptr && message->kind == doc::Kind::String ? message->text : std::to_string(reply.status);
  return Error{reply.status == 404 ? Code::NotFound : Code::Unavailable, fmt::format("etcd says: {}", said)};
}

std::string last_of(const LeaseAsk& ask) { return base64(ask.name + "/last"); }

/// The holder into both keys.
std::string put(const LeaseAsk& ask, std::int64_t id) {
  return fmt::format(R"([{{"requestPut":{{"key":"{0}","value":"{1}","lease":"{2}"}}}},{{"requestPut":{{"key":"{3}","value":"{1}"}}}}])",
                     base64(ask.name), base64(ask.holder), id, last_of(ask));
}
std::string get(const LeaseAsk& ask) {
  return fmt::format(R"([{{"requestRange":{{"key":"{}"}}}},{{"requestRange":{{"key":"{}"}}}}])", base64(ask.name), last_of(ask));
}
std::string erase(const LeaseAsk& ask) {
  return fmt::format(R"([{{"requestDeleteRange":{{"key":"{}"}}}},{{"requestDeleteRange":{{"key":"{}"}}}}])", base64(ask.name), last_of(ask));
}

/// What a key holds, base64; empty: it is not there.
struct Entry {
  std::string value{};
  std::int64_t lease{0};  ///< that it is attached to
};
struct Outcome {
  bool succeeded{false};
  Entry key{};   ///< when it did not succeed
  Entry last{};
};

Result<Entry> entry_of(const doc::Node& response) {
  const doc::Node* range = response.find("response_range");
  if (range == nullptr) return corrupt();
  const doc::Node* kvs = range->find("kvs");
  if (kvs == nullptr) return Entry{};
  const doc::Node* value = kvs->kind == doc::Kind::List && kvs->children.size() == 1 ? kvs->children[0].find("value") : nullptr;
  if (value == nullptr || value->kind != doc::Kind::String) return corrupt();
  return Entry{.value = value->text, .lease = number_at(kvs->children[0], "lease").value_or(0)};
}

/// If the comparisons hold then `success`, else what both keys hold.
Result<Outcome> transact(const Call& call, const LeaseAsk& ask, const std::vector<std::string>& comparisons, const std::string& success) {
  SK_TRY(const doc::Node tree, ask_for(call, "/v3/kv/txn",
                                       fmt::format(R"({{"compare":[{}],"success":{},"failure":{}}})", fmt::join(comparisons, ","), success, get(ask))));
  const doc::Node* succeeded = tree.find("succeeded");  // left out when false
  if (succeeded != nullptr && succeeded->kind != doc::Kind::Bool) return corrupt();
  if (succeeded != nullptr && succeeded->text == "true") return Outcome{.succeeded = true};
  const doc::Node* responses = tree.find("responses");
  if (responses == nullptr || responses->kind != doc::Kind::List || responses->children.size() != 2) return corrupt();
  SK_TRY(Entry key, entry_of(responses->children[0]));
  SK_TRY(Entry last, entry_of(responses->children[1]));
  return Outcome{.key = std::move(key), .last = std::move(last)};
}

std::string compare(const std::string& key, std::string_view what) { return fmt::format(R"({{"key":"{}","result":"EQUAL",{}}})", key, what); }
std::string if_lease(const LeaseAsk& ask, std::int64_t id) {
  return compare(base64(ask.name), fmt::format(R"("target":"LEASE","lease":"{}")", id));
}
std::string if_value(const std::string& key, const std::string& value) {
  return compare(key, fmt::format(R"("target":"VALUE","value":"{}")", value));
}
std::string if_absent(const std::string& key) { return compare(key, R"("target":"CREATE","createRevision":"0")"); }

/// Only letters of a node's name; anything else that stands in the key is shown as foreign.
std::string holder_of(const std::string& value) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : value.substr(0, value.find('='))) {
    const std::size_t at = kLetters.find(c);
    if (at == std::string_view::npos) return "somebody";
    bits = (bits << 6 | static_cast<std::uint32_t>(at)) & 0xffffU;
    if ((count += 6) < 8) continue;
    count -= 8;
    text += static_cast<char>(bits >> count & 0xffU);
  }
  const auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, fine) ? text : "somebody";
}

Result<LeaseReply> granted(std::int64_t id, std::int64_t ttl) {
  if (ttl > kTtlMaxSeconds) return corrupt();
  return LeaseReply{.granted = true, .id = std::to_string(id), .length = seconds{ttl}};
}

/// The lease of before, made longer; nothing when it is no more, or the key is not attached to it.
Result<std::optional<LeaseReply>> renew(const Call& call, const LeaseAsk& ask) {
  std::int64_t id = 0;
  const auto [end, failed] = std::from_chars(ask.id.data(), ask.id.data() + ask.id.size(), id);
  if (failed != std::errc{} || end != ask.id.data() + ask.id.size()) return std::optional<LeaseReply>{};
  SK_TRY(const doc::Node tree, ask_for(call, "/v3/lease/keepalive", fmt::format(R"({{"ID":"{}"}})", id)));
  const doc::Node* result = tree.find("result");
  if (result == nullptr) return corrupt();
  const auto ttl = number_at(*result, "TTL");  // left out when 0: it has run out
  if (!ttl || *ttl <= 0) return std::optional<LeaseReply>{};
  SK_TRY(const Outcome outcome, transact(call, ask, {if_lease(ask, id)}, "[]"));
  if (!outcome.succeeded) return std::optional<LeaseReply>{};
  SK_TRY(LeaseReply reply, granted(id, *ttl));
  return std::optional{std::move(reply)};
}

}  // namespace

namespace {

/// Nothing where it is to be asked for.
Result<std::optional<LeaseReply>> look(const Call& call, const LeaseAsk& ask) {
  // A comparison that never holds, so that both keys are told.
  SK_TRY(const Outcome there, transact(call, ask, {if_absent(base64(ask.name)), if_value(base64(ask.name), "")}, "[]"));
  const std::string mine = base64(ask.holder);
  if (there.key.value == mine || (there.key.value.empty() && there.last.value == mine)) return std::optional<LeaseReply>{};
  return std::optional{LeaseReply{}};
}

/// Puts the key onto the lease of etcd with that id, where it may be.
Result<Outcome> take(const Call& call, const LeaseAsk& ask, std::int64_t id) {
  const std::string key = base64(ask.name);
  const std::string mine = base64(ask.holder);
  SK_TRY(Outcome outcome, transact(call, ask, {if_absent(key), if_absent(last_of(ask))}, put(ask, id)));
  if (outcome.succeeded) return outcome;
  // A lease of this node's from before it started anew: the key goes over to the new one. Both are compared, so that this request, should
  // it arrive late, does not take the key away from a lease that was granted after it.
  if (outcome.key.value == mine) return transact(call, ask, {if_value(key, mine), if_lease(ask, outcome.key.lease)}, put(ask, id));
  const bool has_ended = outcome.key.value.empty() && !outcome.last.value.empty();
  if (has_ended && (ask.succeeds || outcome.last.value == mine)) {
    return transact(call, ask, {if_absent(key), if_value(last_of(ask), outcome.last.value)}, put(ask, id));
  }
  return outcome;
}

}  // namespace

Result<LeaseReply> acquire(const Call& call, const LeaseAsk& ask) {
  if (!ask.id.empty()) {
    SK_TRY(auto renewed, renew(call, ask));
    if (renewed) return std::move(*renewed);
  }
  if (ask.only_mine) {
    SK_TRY(auto nothing, look(call, ask));
    if (nothing) return std::move(*nothing);
  }
  const std::int64_t wanted = std::chrono::ceil<seconds>(ask.length).count();
  SK_TRY(const doc::Node lease, ask_for(call, "/v3/lease/grant", fmt::format(R"({{"TTL":"{}"}})", wanted)));
  const auto id = number_at(lease, "ID");
  const auto ttl = number_at(lease, "TTL");
  if (!id || !ttl || *ttl <= 0) return corrupt();
  SK_TRY(const Outcome outcome, take(call, ask, *id));
  if (outcome.succeeded) return granted(*id, *ttl);
  (void)call("/v3/lease/revoke", fmt::format(R"({{"ID":"{}"}})", *id));  // it runs out by itself
  if (!outcome.key.value.empty()) {
    const std::string holder = holder_of(outcome.key.value);
    return LeaseReply{.holder = holder, .detail = fmt::format("'{}' holds the lease", holder)};
  }
  if (outcome.last.value.empty()) return Error{Code::Unavailable, "the key came and went while it was asked for"};
  const std::string holder = holder_of(outcome.last.value);
  return LeaseReply{.holder = holder, .detail = not_given_back(holder)};
}

Status release(const Call& call, const LeaseAsk& ask) {
  std::int64_t id = 0;
  const auto [end, failed] = std::from_chars(ask.id.data(), ask.id.data() + ask.id.size(), id);
  if (failed != std::errc{} || end != ask.id.data() + ask.id.size()) return {};  // none of etcd's
  SK_TRY_VOID(transact(call, ask, {if_lease(ask, id)}, erase(ask)));
  const auto done = ask_for(call, "/v3/lease/revoke", fmt::format(R"({{"ID":"{}"}})", ask.id));
  if (!done && done.error().code != Code::NotFound) return done.error();
  return {};
}

Status probe(const Call& call) {
  SK_TRY_VOID(ask_for(call, "/v3/kv/range", fmt::format(R"({{"key":"{}","countOnly":true}})", base64(kProbeKey))));
  return {};
}

}  // namespace safekit::witness::etcd
