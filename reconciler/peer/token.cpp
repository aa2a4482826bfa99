#include "reconciler/peer/token.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::peer {
namespace {

constexpr std::string_view kPrefix = "sk1.";
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kAddressesMax = 32;
constexpr std::size_t kFingerprintBytes = 32;

std::string to_base64url(BytesView bytes) {
  std::string text;
  std::uint32_t held = 0;
  int bits = 0;
  for (const std::uint8_t byte : bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(kAlphabet[(held >> (bits - 6)) & 63]);
  }
  if (bits > 0) text.push_back(kAlphabet[(held << (6 - bits)) & 63]);
  return text;
}

Result<Bytes> from_base64url(std::string_view text) {
  Bytes bytes;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return Error{Code::Invalid, fmt::format("'{}' cannot be in it", c)};
    held = (held << 6) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(held >> bits));
  }
  return bytes;
}

}  // namespace

std::string to_hex(BytesView bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Result<Bytes> from_hex(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = i + 1 < text.size() ? digit(text[i + 1]) : -1;
    if (high < 0 || low < 0) return Error{Code::Invalid, "not an even number of hexadecimal digits"};
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

std::string to_text(const JoinToken& token) {
  const auto fingerprint = from_hex(token.authority_fingerprint);
  SK_ASSERT(fingerprint && fingerprint->size() == kFingerprintBytes);
  SK_ASSERT(token.addresses.size() <= kAddressesMax);
  ByteWriter writer;
  writer.u8(kVersion);
  writer.raw(*fingerprint);
  writer.raw(token.secret);
  writer.u16(token.port);
  writer.u8(static_cast<std::uint8_t>(token.addresses.size()));
  for (const std::string& address : token.addresses) {
    SK_ASSERT(address.size() <= 255);
    writer.u8(static_cast<std::uint8_t>(address.size()));
    writer.raw(as_bytes(address));
  }
  return std::string{kPrefix} + to_base64url(writer.bytes());
}

Result<JoinToken> parse_token(std::string_view text) {
  const Error wrong{Code::Invalid,
                    "this is not a whole join token: it starts with 'sk1.' and is one line; copy it again from "
                    "`safekit cluster token` on a node of the cluster"};
  if (!text.starts_with(kPrefix)) return wrong;
  const auto bytes = from_base64url(text.substr(kPrefix.size()));
  if (!bytes) return wrong;
  ByteReader reader{*bytes};
  if (const std::uint8_t version = reader.u8(); version > kVersion) {
    return Error{Code::Unsupported, "this join token was made by a newer safekit: install that version on this node"};
  }
  JoinToken token{};
  token.authority_fingerprint = to_hex(reader.raw(kFingerprintBytes));
  const BytesView secret = reader.raw(token.secret.size());
  if (secret.size() == token.secret.size()) std::copy(secret.begin(), secret.end(), token.secret.begin());
  token.port = reader.u16();
  const std::size_t count = reader.u8();
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    const std::size_t size = reader.u8();
    token.addresses.emplace_back(as_text(reader.raw(size)));
  }
  if (!reader.ok() || !reader.at_end() || token.addresses.empty() || token.addresses.size() > kAddressesMax) return wrong;
  return token;
}

}  // namespace safekit::peer
