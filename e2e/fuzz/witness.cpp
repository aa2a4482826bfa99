// What a witness reads from whoever has its key, from its disk, and what a node reads from a witness, also one that is none of ours.
#include <algorithm>
#include <array>

#include "e2e/fuzz/fuzz.h"
#include "reconciler/witness/etcd.h"
#include "reconciler/witness/protocol.h"
#include "schema/base/digest.h"
#include "schema/spec/witness_url.h"

namespace safekit::fuzz {
namespace {

constexpr MonoTime kNow{1'000'000'000'000};

Bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

/// What a book took is what it gives back; and it keeps what it took.
void read_question(BytesView input) {
  (void)witness::parse_release(as_text(input));
  const auto ask = witness::parse_acquire(as_text(input));
  if (!ask) return;
  witness::LeaseBook book;
  const auto answer = book.acquire(*ask, "id", kNow);
  SK_ASSERT(answer && answer->granted && answer->length > Duration{} && answer->length <= witness::LeaseBook::kLongest);
  const auto kept = witness::LeaseBook::from_text(book.to_text(), kNow);
  SK_ASSERT(kept && *kept == book);
  const auto reply = witness::parse_reply(witness::to_body(*answer));
  SK_ASSERT(reply && reply->granted && reply->length == answer->length);
}

std::vector<Bytes> questions() {
  return {bytes_of(witness::to_body(LeaseAsk{.name = "safekit/c/m", .holder = "a", .id = "7", .length = seconds{10}}))};
}

void read_answer(BytesView input) {
  const auto reply = witness::parse_reply(as_text(input));
  if (reply && reply->granted) SK_ASSERT(reply->length > Duration{} && reply->length <= hours{1} && !reply->id.empty());
}

std::vector<Bytes> answers() {
  return {bytes_of(witness::to_body(witness::LeaseBook::Answer{.granted = true, .holder = "a", .id = "7", .length = seconds{10}})),
          bytes_of(witness::to_body(witness::LeaseBook::Answer{.holder = "b"}))};
}

void read_file(BytesView input) {
  // The checksum is made right: what is behind it is not left out.
  std::string text{as_text(input)};
  const std::size_t lines = text.find('\n');
  if (lines != std::string::npos) {
    const std::string behind = text.substr(lines + 1);
    text = fmt::format("safekit-leases 1 {:08x}\n{}", checksum32(as_bytes(behind)), behind);
  }
  const auto book = witness::LeaseBook::from_text(text, kNow);
  if (book) SK_ASSERT(witness::LeaseBook::from_text(book->to_text(), kNow) == *book);
}

std::vector<Bytes> files() {
  witness::LeaseBook book;
  (void)book.acquire({.name = "m", .holder = "a", .length = seconds{10}}, "7", kNow);
  (void)book.acquire({.name = "n", .holder = "b", .length = seconds{5}}, "8", kNow);
  return {bytes_of(book.to_text())};
}

/// Each line is the answer to one more request.
void read_etcd(BytesView input) {
  std::string_view rest = as_text(input);
  const auto call = [&rest](const std::string&, const std::string&) -> Result<witness::HttpReply> {
    if (rest.empty()) return Error{Code::Unavailable, "no answer"};
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    witness::HttpReply reply{.status = 200, .body = std::string{rest.substr(0, end)}};
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return reply;
  };
  const auto reply = witness::etcd::acquire(call, {.name = "m", .holder = "a", .id = "7", .length = seconds{10}});
  if (reply && reply->granted) SK_ASSERT(reply->length >= seconds{1} && reply->length <= hours{1});
  if (reply && !reply->granted) SK_ASSERT(!reply->holder.empty() && reply->holder.size() <= 63);
}

std::vector<Bytes> etcds() {
  const std::string none = R"({"result":{"ID":"7"}})";
  const std::string grant = R"({"ID":"8","TTL":"10"})";
  return {bytes_of(R"({"result":{"ID":"7","TTL":"10"}})" "\n" R"({"succeeded":true})"), bytes_of(none + "\n" + grant + "\n" + R"({"succeeded":true})"),
          bytes_of(none + "\n" + grant + "\n" + R"({"responses":[{"response_range":{"kvs":[{"value":"YQ==","lease":"5"}]}}]})" + "\n" +
                   R"({"succeeded":true})"),
          bytes_of(none + "\n" + grant + "\n" + R"({"responses":[{"response_range":{"kvs":[{"value":"Yg=="}]}}]})")};
}

void read_url(BytesView input) {
  for (const auto key : {spec::WitnessKey::Needed, spec::WitnessKey::None}) {
    const auto url = spec::parse_witness_url(as_text(input), key);
    if (url) SK_ASSERT(url->port != 0 && !url->host.empty() && url->secret.empty() == (key == spec::WitnessKey::None));
  }
}

std::vector<Bytes> urls() {
  return {bytes_of("https://[fd00::9]:9454/" + std::string(64, 'a')), bytes_of("http://etcd1:2379")};
}

constexpr std::array kParsers{
    Parser{.name = "question", .bytes_max = 512, .read = read_question, .seeds = questions},
    Parser{.name = "answer", .bytes_max = 512, .read = read_answer, .seeds = answers},
    Parser{.name = "file", .bytes_max = 512, .read = read_file, .seeds = files},
    Parser{.name = "etcd", .bytes_max = 1024, .read = read_etcd, .seeds = etcds},
    Parser{.name = "url", .bytes_max = 256, .read = read_url, .seeds = urls},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
