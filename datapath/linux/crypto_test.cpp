#include "datapath/linux/crypto.h"

#include <gtest/gtest.h>

#include "datapath/linux/aead.h"

namespace safekit::linux_os {
namespace {

Bytes from_hex(std::string_view text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string{text.substr(i, 2)}, nullptr, 16)));
  }
  return bytes;
}

TEST(Crypto,
     SealsAsTheGcmSpecificationSays) {  // test case 14 of the GCM specification: key and nonce of zeros
  OpensslCrypto crypto;
  const Bytes sealed = crypto.seal(SecretKey{}, AeadNonce{}, {}, Bytes(16));
  EXPECT_EQ(sealed, from_hex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"));
}

TEST(Crypto, OpensOnlyWhatWasSealedAndNothingChanged) {
  OpensslCrypto crypto;
  const SecretKey key{1, 2, 3};
  const AeadNonce nonce{9};
  const Bytes sealed = crypto.seal(key, nonce, as_bytes("head"), as_bytes("body"));
  EXPECT_EQ(as_text(*crypto.open(key, nonce, as_bytes("head"), sealed)), "body");
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes changed = sealed;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_EQ(crypto.open(key, nonce, as_bytes("head"), changed).error().code, Code::Denied);
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(crypto.open(key, nonce, as_bytes("head"), BytesView{sealed}.first(size)));
  }
  EXPECT_FALSE(crypto.open(key, nonce, as_bytes("other"), sealed));
  EXPECT_FALSE(crypto.open(SecretKey{}, nonce, as_bytes("head"), sealed));
  EXPECT_FALSE(crypto.open(key, AeadNonce{}, as_bytes("head"), sealed));
}

TEST(Crypto, AnAeadGoesOnAfterABadPacket) {
  const AeadNonce nonce{9};
  Aead aead{SecretKey{7}};
  Bytes sealed(3 + Aead::kTagBytes);
  Bytes plain(3);
  for (std::uint8_t round = 0; round < 3; ++round) {
    const Bytes body{round, 2, 3};
    aead.seal({round}, as_bytes("head"), body, sealed);
    EXPECT_FALSE(aead.open({round}, as_bytes("xxxx"), sealed, plain));
    EXPECT_TRUE(aead.open({round}, as_bytes("head"), sealed, plain));
    EXPECT_EQ(plain, body);
  }
  EXPECT_FALSE(aead.open(nonce, {}, BytesView{sealed}.first(5), {}));
}

TEST(Crypto, DerivesAsHkdfSays) {  // RFC 5869 with zero salt; cross-checked with python's hmac
  OpensslCrypto crypto;
  SecretKey key{};
  key.fill(0x0b);
  const SecretKey one = crypto.derive(key, "one");
  EXPECT_EQ(one, crypto.derive(key, "one"));
  EXPECT_NE(one, crypto.derive(key, "two"));
  EXPECT_EQ(Bytes(one.begin(), one.end()),
            from_hex("66e7853bff4f334f9aef8a61a0c44c546e1b67449f067ee10c71dee554d492ba"));
}

TEST(Crypto, DigestsAsSha256) {
  EXPECT_EQ(OpensslCrypto{}.sha256_hex(as_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Crypto, SignsForTheNameGivenAndNotTheNameAskedFor) {
  OpensslCrypto crypto;
  const Identity authority = *crypto.make_authority("cluster", 3650);
  const Identity request = *crypto.make_request("liar");
  const auto certificate = crypto.sign_request(authority, request.certificate_pem, "node1", 365);
  ASSERT_TRUE(certificate) << certificate.error().what;
  EXPECT_TRUE(certificate->starts_with("-----BEGIN CERTIFICATE-----"));
  EXPECT_EQ(crypto.fingerprint(*certificate)->size(), 64U);
  EXPECT_NE(*crypto.fingerprint(*certificate), *crypto.fingerprint(authority.certificate_pem));
}

TEST(Crypto, RefusesBadInput) {
  OpensslCrypto crypto;
  const Identity authority = *crypto.make_authority("cluster", 3650);
  const Identity other = *crypto.make_authority("other", 3650);
  const Identity request = *crypto.make_request("node1");
  const std::string& pem = request.certificate_pem;
  EXPECT_EQ(crypto.sign_request(authority, "garbage", "n", 1).error().code, Code::Invalid);
  EXPECT_EQ(crypto.sign_request({}, pem, "n", 1).error().code, Code::Invalid);
  EXPECT_EQ(crypto.sign_request({authority.key_pem, other.certificate_pem}, pem, "n", 1).error().code,
            Code::Invalid);
  EXPECT_EQ(crypto.sign_request(authority, pem, "", 1).error().code, Code::Invalid);
  EXPECT_EQ(crypto.sign_request(authority, pem, std::string(65, 'x'), 1).error().code, Code::Invalid);
  EXPECT_EQ(crypto.fingerprint("garbage").error().code, Code::Invalid);
  EXPECT_EQ(crypto.make_authority("", 1).error().code, Code::Invalid);
}

}  // namespace
}  // namespace safekit::linux_os
