#include "datapath/linux/tls_record.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <algorithm>

namespace safekit::tls {
namespace {

Bytes from_hex(const char* text) {
  long size = 0;
  std::uint8_t* const bytes = OPENSSL_hexstr2buf(text, &size);
  EXPECT_NE(bytes, nullptr);
  Bytes result{bytes, bytes + size};
  OPENSSL_free(bytes);
  return result;
}

Bytes counted(std::size_t bytes) {
  Bytes result(bytes);
  for (std::size_t i = 0; i < bytes; ++i) result[i] = static_cast<std::uint8_t>(i);
  return result;
}

/// A record of any inner bytes: what a peer may send, and our sealer does not.
Bytes record_of(RecordKey& key, BytesView inner) {
  Bytes record(inner.size() - 1 + kRecordCost);
  key.seal(inner.first(inner.size() - 1), inner.back(), record);
  return record;
}

Result<Bytes> open(RecordOpener& opener, BytesView records) {
  Bytes content;
  while (!records.empty()) {
    SK_TRY(const auto size, RecordOpener::find(records));
    if (!size) return Error{Code::Invalid, "part of a record"};
    Bytes into(RecordOpener::room(*size));
    SK_TRY(const std::size_t bytes, opener.open(records.first(*size), into));
    content.insert(content.end(), into.begin(), into.begin() + static_cast<std::ptrdiff_t>(bytes));
    records = records.subspan(*size);
  }
  return content;
}

const TrafficSecret kSecret{AeadCipher::Aes128Gcm, {1, 2, 3}};

TEST(TlsRecord, IsWhatTheRfcShows) {
  // RFC 8448, 3: client_application_traffic_secret_0, and the client's first record with it.
  TrafficSecret secret;
  std::ranges::copy(from_hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"), secret.secret.begin());
  const Bytes record = from_hex(
      "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae6"
      "3aeebb21694915e4");
  RecordSealer sealer{secret};
  EXPECT_TRUE(std::ranges::equal(sealer.seal(counted(50)), record));
  RecordOpener opener{secret};
  EXPECT_EQ(open(opener, record).value(), counted(50));
}

TEST(TlsRecord, CarriesAnySizeWithBothCiphers) {
  for (const AeadCipher cipher : {AeadCipher::Aes128Gcm, AeadCipher::ChaCha20Poly1305}) {
    const TrafficSecret secret{cipher, {9}};
    RecordSealer sealer{secret};
    RecordOpener opener{secret};
    for (const std::size_t bytes : {1UL, 16UL, kRecordContentMax - 1, kRecordContentMax, kRecordContentMax + 1, 200'000UL, 0UL, 5UL}) {
      const BytesView sealed = sealer.seal(counted(bytes));
      EXPECT_EQ(sealed.size(), bytes + (bytes + kRecordContentMax - 1) / kRecordContentMax * kRecordCost);
      EXPECT_EQ(open(opener, sealed).value(), counted(bytes));
    }
  }
}

TEST(TlsRecord, KeysChangeBeforeTheyAreWornOut) {
  RecordSealer sealer{kSecret, 3};
  RecordOpener opener{kSecret};
  for (int i = 0; i < 20; ++i) EXPECT_EQ(open(opener, sealer.seal(counted(100))).value(), counted(100));
  RecordOpener other{kSecret};
  RecordSealer fresh{kSecret, 3};
  Bytes all;
  for (int i = 0; i < 4; ++i) std::ranges::copy(fresh.seal(counted(1)), std::back_inserter(all));
  EXPECT_EQ(all.size(), 4 * (1 + kRecordCost) + 5 + kRecordCost) << "three, a change of the key, one";
  EXPECT_EQ(open(other, all).value().size(), 4u);
  EXPECT_FALSE(other.take_request());
}

TEST(TlsRecord, AChangeThatIsAskedForComesFirst) {
  RecordKey key{kSecret};
  RecordOpener opener{kSecret};
  const Bytes asks{24, 0, 0, 1, 1, 22};
  EXPECT_EQ(open(opener, record_of(key, asks)).value(), Bytes{});
  EXPECT_TRUE(opener.take_request());
  EXPECT_FALSE(opener.take_request());
  key.change();
  EXPECT_EQ(open(opener, record_of(key, Bytes{7, 23})).value(), Bytes{7});
  RecordSealer sealer{kSecret};
  RecordOpener back{kSecret};
  EXPECT_EQ(open(back, sealer.seal(counted(3), true)).value(), counted(3));
}

TEST(TlsRecord, TakesPaddingAway) {
  RecordKey key{kSecret};
  RecordOpener opener{kSecret};
  EXPECT_EQ(open(opener, record_of(key, Bytes{1, 0, 2, 23, 0, 0, 0})).value(), (Bytes{1, 0, 2}));
  for (int i = 0; i < 32; ++i) EXPECT_EQ(open(opener, record_of(key, Bytes{23, 0})).value(), Bytes{}) << "a record may be empty";
  EXPECT_EQ(open(opener, record_of(key, Bytes{23})).error().what, "TLS: too many records without content");
}

TEST(TlsRecord, SaysWhatIsWrong) {
  const auto why = [](const Bytes& inner) {
    RecordKey key{kSecret};
    RecordOpener opener{kSecret};
    const auto done = open(opener, record_of(key, inner));
    return done ? "" : done.error().what;
  };
  EXPECT_EQ(why({0, 0, 0}), "TLS: a record without a type");
  EXPECT_EQ(why({1, 25}), "TLS: a record of an unknown type");
  EXPECT_EQ(why({1, 0, 21}), "TLS: the peer ended the connection: close notify");
  EXPECT_EQ(why({2, 48, 21}), "TLS: the peer ended the connection: unknown CA");
  EXPECT_EQ(why({2, 21}), "TLS: a record of an unknown type") << "half of an alert";
  EXPECT_EQ(why({24, 0, 0, 1, 2, 22}), "TLS: an unexpected message of the handshake");
  EXPECT_EQ(why({4, 0, 0, 0, 22}), "TLS: an unexpected message of the handshake");
  Bytes long_one(kRecordContentMax + 1, 23);
  EXPECT_EQ(why(long_one), "");
  long_one.push_back(0);
  EXPECT_EQ(why(long_one), "TLS: what came is no record") << "padding counts";
}

TEST(TlsRecord, ABitThatIsChangedIsFound) {
  RecordSealer sealer{kSecret};
  const BytesView sealed = sealer.seal(counted(20));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes changed{sealed.begin(), sealed.end()};
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    RecordOpener opener{kSecret};
    EXPECT_FALSE(open(opener, changed)) << bit;
  }
  RecordOpener opener{kSecret};
  EXPECT_TRUE(open(opener, sealed));
  EXPECT_FALSE(open(opener, sealed)) << "played back";
}

TEST(TlsRecord, WaitsForTheWholeOfIt) {
  const Bytes whole = record_of(*std::make_unique<RecordKey>(kSecret), Bytes(10, 23));
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const auto found = RecordOpener::find(BytesView{whole}.first(bytes));
    EXPECT_TRUE(found && !*found) << bytes;
  }
  EXPECT_EQ(RecordOpener::find(whole).value(), whole.size());
  EXPECT_FALSE(RecordOpener::find(Bytes{23, 3, 3, 0, 16})) << "no room for a type";
  EXPECT_FALSE(RecordOpener::find(Bytes{23, 3, 3, 0x40, 18}));
  EXPECT_TRUE(RecordOpener::find(Bytes{23, 3, 3, 0x40, 17}));
  EXPECT_FALSE(RecordOpener::find(Bytes{22, 3, 3, 0, 30}));
}

}  // namespace
}  // namespace safekit::tls
