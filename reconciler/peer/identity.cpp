#include "reconciler/peer/identity.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace safekit::peer {
namespace {

constexpr std::uint8_t kBodyVersion = 1;
constexpr std::size_t kPemBytesMax = 64 * 1024;
constexpr std::size_t kExtraBytesMax = 8U << 20;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

Result<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return Error{Code::Corrupt, "not a number"};
  return value;
}

std::string authority_name(const std::string& cluster, const std::string& id) {
  return fmt::format("safekit cluster {} {}", cluster, id);
}

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
  const auto is_fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (!name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), is_fine)) return {};
  return Error{Code::Invalid, fmt::format("'{}' cannot be the name of a {}: use 1 to 63 letters, digits, '-', '_' or '.'",
                                          name, what)};
}

std::string to_body(const JoinRequest& request) {
  ByteWriter writer;
  writer.u8(kBodyVersion);
  writer.raw(request.secret);
  writer.text(request.node.str());
  writer.text(request.request_pem);
  return std::string{as_text(writer.bytes())};
}

Result<JoinRequest> parse_join_request(std::string_view body) {
  ByteReader reader{as_bytes(body)};
  const std::uint8_t version = reader.u8();
  JoinRequest request{};
  const BytesView secret = reader.raw(request.secret.size());
  std::copy(secret.begin(), secret.end(), request.secret.begin());
  request.node = NodeName{reader.text(256)};
  request.request_pem = reader.text(kPemBytesMax);
  if (!reader.ok() || version != kBodyVersion) return Error{Code::Invalid, "not a join request of this version"};
  return request;
}

Pki::Pki(const Ports& ports, const std::string& state_directory) : ports_(ports), directory_(state_directory + "/pki") {}

Status Pki::refuse_if_member() const {
  const auto known = ports_.files.read(path("cluster.id"));
  if (!known) {
    if (known.error().code == Code::NotFound) return {};
    return known.error();
  }
  const auto lines = lines_of(*known);
  return Error{Code::Conflict, fmt::format("this node belongs to cluster '{}' already; to leave it, stop safekitd and move "
                                           "'{}' away",
                                           lines.size() > 1 ? lines[1] : "unknown", directory_)};
}

Result<ClusterIdentity> Pki::load() const {
  const auto id = ports_.files.read(path("cluster.id"));
  if (!id) {
    if (id.error().code != Code::NotFound) return id.error();
    return Error{Code::NotFound, "this node belongs to no cluster yet: make one with `safekit cluster init`, or join one "
                                 "with `safekit cluster join`"};
  }
  const auto lines = lines_of(*id);
  if (lines.size() != 3) return Error{Code::Corrupt, fmt::format("'{}' is damaged", path("cluster.id"))};
  ClusterIdentity identity{.node = NodeName{lines[2]}, .cluster_name = lines[1], .cluster_id = lines[0]};
  SK_TRY(identity.authority_pem, ports_.files.read(path("ca.pem")));
  SK_TRY(identity.authority_key_pem, ports_.files.read(path("ca.key")));
  SK_TRY(identity.own.certificate_pem, ports_.files.read(path("node.pem")));
  SK_TRY(identity.own.key_pem, ports_.files.read(path("node.key")));
  SK_TRY(identity.request_pem, ports_.files.read(path("node.csr")));
  SK_TRY(const std::string key, ports_.files.read(path("heartbeat.key")));
  if (key.size() != identity.heartbeat_key.size()) {
    return Error{Code::Corrupt, fmt::format("'{}' is damaged: copy it from another node of the cluster", path("heartbeat.key"))};
  }
  std::copy(key.begin(), key.end(), identity.heartbeat_key.begin());
  SK_TRY(const std::string token, ports_.files.read(path("admin.token")));
  identity.admin_token = token.substr(0, token.find('\n'));
  SK_TRY(const std::string issued, ports_.files.read(path("node.issued")));
  SK_TRY(identity.issued.ns, parse_number(issued));
  return identity;
}

Status Pki::save_certificate(const ClusterIdentity& identity) {
  SK_TRY_VOID(ports_.files.replace(path("node.pem"), identity.own.certificate_pem, 0600));
  return ports_.files.replace(path("node.issued"), std::to_string(identity.issued.ns), 0600);
}

Status Pki::save(const ClusterIdentity& identity) {
  SK_TRY_VOID(ports_.files.make_directories(directory_));
  SK_TRY_VOID(ports_.files.replace(path("ca.pem"), identity.authority_pem, 0600));
  SK_TRY_VOID(ports_.files.replace(path("ca.key"), identity.authority_key_pem, 0600));
  SK_TRY_VOID(ports_.files.replace(path("node.key"), identity.own.key_pem, 0600));
  SK_TRY_VOID(ports_.files.replace(path("node.csr"), identity.request_pem, 0600));
  SK_TRY_VOID(save_certificate(identity));
  SK_TRY_VOID(ports_.files.replace(path("heartbeat.key"), as_text(identity.heartbeat_key), 0600));
  SK_TRY_VOID(ports_.files.replace(path("admin.token"), identity.admin_token + "\n", 0600));
  return ports_.files.replace(
      path("cluster.id"), fmt::format("{}\n{}\n{}\n", identity.cluster_id, identity.cluster_name, identity.node.str()), 0600);
}

Result<ClusterIdentity> Pki::init(const std::string& cluster_name, const NodeName& node) {
  SK_TRY_VOID(check_name("cluster", cluster_name));
  SK_TRY_VOID(check_name("node", node.str()));
  SK_TRY_VOID(refuse_if_member());
  std::array<std::uint8_t, 8> id{};
  std::array<std::uint8_t, 24> token{};
  ports_.random.fill(id);
  ports_.random.fill(token);
  ClusterIdentity identity{.node = node,
                           .cluster_name = cluster_name,
                           .cluster_id = to_hex(id),
                           .admin_token = to_hex(token),
                           .issued = ports_.clock.wall_now()};
  ports_.random.fill(identity.heartbeat_key);
  SK_TRY(const Identity authority,
         ports_.crypto.make_authority(authority_name(cluster_name, identity.cluster_id), kAuthorityDays));
  identity.authority_pem = authority.certificate_pem;
  identity.authority_key_pem = authority.key_pem;
  SK_TRY(const Identity request, ports_.crypto.make_request(node.str()));
  identity.own.key_pem = request.key_pem;
  identity.request_pem = request.certificate_pem;
  SK_TRY(identity.own.certificate_pem,
         ports_.crypto.sign_request(authority, request.certificate_pem, node.str(), kNodeDays));
  SK_TRY_VOID(save(identity));
  return identity;
}

std::string Pki::secret_line(BytesView secret) const { return ports_.crypto.sha256_hex(secret); }

Result<std::string> Pki::make_token(const std::vector<std::string>& addresses, std::uint16_t api_port) {
  SK_TRY(const ClusterIdentity identity, load());
  if (addresses.empty() || addresses.size() > 32) {
    return Error{Code::Invalid, "a token needs 1 to 32 addresses of this node: apply the cluster file first"};
  }
  JoinToken token{.port = api_port, .addresses = addresses};
  SK_TRY(token.authority_fingerprint, ports_.crypto.fingerprint(identity.authority_pem));
  ports_.random.fill(token.secret);
  std::vector<std::string> open;
  if (const auto text = ports_.files.read(path("tokens"))) open = lines_of(*text);
  if (open.size() >= kTokensMax) open.erase(open.begin());
  open.push_back(fmt::format("{} {}", secret_line(token.secret), (ports_.clock.wall_now().ns + kTokenLife.count())));
  std::string text;
  for (const std::string& line : open) text += line + "\n";
  SK_TRY_VOID(ports_.files.replace(path("tokens"), text, 0600));
  return to_text(token);
}

Status Pki::consume_secret(BytesView secret) {
  const std::string hash = secret_line(secret);
  std::string kept;
  bool is_valid = false;
  bool is_old = false;
  std::vector<std::string> open;
  if (const auto text = ports_.files.read(path("tokens"))) open = lines_of(*text);
  for (const std::string& line : open) {
    const std::size_t blank = line.find(' ');
    if (blank == std::string::npos) continue;
    const bool has_ended = parse_number(std::string_view{line}.substr(blank + 1)).value_or(0) < ports_.clock.wall_now().ns;
    // Hashes of random secrets are compared, so the time it takes says nothing about a secret.
    if (line.substr(0, blank) == hash) {
      is_valid = !has_ended;
      is_old = has_ended;
    } else if (!has_ended) {
      kept += line + "\n";
    }
  }
  SK_TRY_VOID(ports_.files.replace(path("tokens"), kept, 0600));
  if (is_valid) return {};
  return Error{Code::Denied, fmt::format("this join token {}: make a new one with `safekit cluster token`",
                                         is_old ? "is older than 24 hours" : "was used already or was not made by this node")};
}

Result<std::string> Pki::accept_join(const JoinRequest& request, const std::string& extra) {
  SK_TRY_VOID(check_name("node", request.node.str()));
  SK_TRY(const ClusterIdentity identity, load());
  if (request.node == identity.node) {
    return Error{Code::Invalid, fmt::format("'{}' is the name of the node that was asked: give the new node its own", request.node.str())};
  }
  SK_TRY_VOID(consume_secret(request.secret));
  SK_TRY(const std::string certificate,
         ports_.crypto.sign_request({.key_pem = identity.authority_key_pem, .certificate_pem = identity.authority_pem},
                                    request.request_pem, request.node.str(), kNodeDays));
  ByteWriter writer;
  writer.u8(kBodyVersion);
  writer.text(identity.cluster_name);
  writer.text(identity.cluster_id);
  writer.text(identity.authority_pem);
  writer.text(identity.authority_key_pem);
  writer.text(certificate);
  writer.raw(identity.heartbeat_key);
  writer.text(identity.admin_token);
  writer.text(extra);
  return std::string{as_text(writer.bytes())};
}

Result<Pki::Joining> Pki::prepare_join(const JoinToken& token, const NodeName& node) {
  SK_TRY_VOID(check_name("node", node.str()));
  SK_TRY_VOID(refuse_if_member());
  SK_TRY(const Identity request, ports_.crypto.make_request(node.str()));
  return Joining{.request = {.secret = token.secret, .node = node, .request_pem = request.certificate_pem},
                 .key_pem = request.key_pem};
}

Result<Pki::Joined> Pki::complete_join(const JoinToken& token, const Joining& joining, std::string_view answer) {
  ByteReader reader{as_bytes(answer)};
  const std::uint8_t version = reader.u8();
  Joined joined{};
  ClusterIdentity& identity = joined.identity;
  identity.node = joining.request.node;
  identity.cluster_name = reader.text(256);
  identity.cluster_id = reader.text(256);
  identity.authority_pem = reader.text(kPemBytesMax);
  identity.authority_key_pem = reader.text(kPemBytesMax);
  identity.request_pem = joining.request.request_pem;
  identity.own = {.key_pem = joining.key_pem, .certificate_pem = reader.text(kPemBytesMax)};
  const BytesView key = reader.raw(identity.heartbeat_key.size());
  std::copy(key.begin(), key.end(), identity.heartbeat_key.begin());
  identity.admin_token = reader.text(256);
  joined.extra = reader.text(kExtraBytesMax);
  identity.issued = ports_.clock.wall_now();
  if (!reader.ok() || version != kBodyVersion) {
    return Error{Code::Unsupported, "the cluster answered in a form that this version does not know: install the same "
                                    "version of safekit on all nodes"};
  }
  SK_TRY(const std::string fingerprint, ports_.crypto.fingerprint(identity.authority_pem));
  if (fingerprint != token.authority_fingerprint) {
    return Error{Code::Denied, "the node that answered is not of the cluster that made the token"};
  }
  SK_TRY_VOID(refuse_if_member());
  SK_TRY_VOID(save(identity));
  return joined;
}

Result<std::optional<ClusterIdentity>> Pki::renew_if_due() {
  SK_TRY(ClusterIdentity identity, load());
  const Duration age{ports_.clock.wall_now().ns - identity.issued.ns};
  if (age < hours{24} * (kNodeDays / 3)) return std::optional<ClusterIdentity>{};
  // The key stays, so that a crash between two files never leaves a key and a certificate that do not fit.
  SK_TRY(identity.own.certificate_pem,
         ports_.crypto.sign_request({.key_pem = identity.authority_key_pem, .certificate_pem = identity.authority_pem},
                                    identity.request_pem, identity.node.str(), kNodeDays));
  identity.issued = ports_.clock.wall_now();
  SK_TRY_VOID(save_certificate(identity));
  return std::optional{std::move(identity)};
}

}  // namespace safekit::peer
