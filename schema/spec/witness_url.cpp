#include "schema/spec/witness_url.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace safekit::spec {
namespace {

bool is_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_host_letter(char c) { return c > ' ' && c < 0x7f && std::string_view{"/@?#[]\"'\\"}.find(c) == std::string_view::npos; }

Status take_host(std::string_view& rest, std::string& host) {
  std::string_view found;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return Error{Code::Invalid, "the bracket after its IPv6 address is missing"};
    found = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    found = rest.substr(0, rest.find_first_of(":/"));
    rest.remove_prefix(found.size());
  }
  if (found.empty() || !std::ranges::all_of(found, is_host_letter)) return Error{Code::Invalid, "it names no host"};
  host = found;
  return {};
}

Status take_port(std::string_view& rest, std::uint16_t& port) {
  if (!rest.starts_with(':')) return {};
  const auto [end, failed] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
  if (failed != std::errc{} || port == 0) return Error{Code::Invalid, "its port is no number from 1 to 65535"};
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return {};
}

}  // namespace

Result<WitnessUrl> parse_witness_url(std::string_view text, WitnessKey key) {
  WitnessUrl url;
  std::string_view rest = text;
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  url.tls = rest.starts_with(kTls);
  if (!url.tls && !rest.starts_with(kPlain)) return Error{Code::Invalid, "it must begin with https:// or http://"};
  rest.remove_prefix(url.tls ? kTls.size() : kPlain.size());
  SK_TRY_VOID(take_host(rest, url.host));
  url.port = key == WitnessKey::Needed ? kWitnessPort : kEtcdPort;
  SK_TRY_VOID(take_port(rest, url.port));
  if (key == WitnessKey::None) {
    if (rest.empty() || rest == "/") return url;
    return Error{Code::Invalid, "nothing may stand after its port"};
  }
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.size() != 2 * kWitnessKeyHalf || !std::ranges::all_of(rest, is_digit))
    return Error{Code::Invalid, "it must end with '/' and the witness's key (`safekit witness --show` prints it)"};
  url.secret = rest.substr(0, kWitnessKeyHalf);
  url.fingerprint = rest.substr(kWitnessKeyHalf);
  return url;
}

}  // namespace safekit::spec
