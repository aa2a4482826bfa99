#include "reconciler/witness/protocol.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "schema/doc/json.h"

namespace safekit::witness {
namespace {

constexpr Duration kAskedMax = hours{1};  ///< so that no arithmetic overflows; what is granted is shorter

bool is_word(std::string_view text, std::size_t bytes_max, std::string_view more) {
  const auto fits = [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= bytes_max && std::ranges::all_of(text, fits);
}

std::string text_of(const doc::Node& tree, std::string_view key) {
  const doc::Node* found = tree.find(key);
  return found != nullptr && found->kind == doc::Kind::String ? found->text : std::string{};
}

bool is_true(const doc::Node& tree, std::string_view key) {
  const doc::Node* found = tree.find(key);
  return found != nullptr && found->kind == doc::Kind::Bool && found->text == "true";
}

std::optional<Duration> milliseconds_of(const doc::Node& tree, std::string_view key) {
  const doc::Node* found = tree.find(key);
  if (found == nullptr || found->kind != doc::Kind::Number) return std::nullopt;
  std::int64_t value = 0;
  const char* const last = found->text.data() + found->text.size();
  const auto [end, failed] = std::from_chars(found->text.data(), last, value);
  if (failed != std::errc{} || end != last || value < 0 || value > kAskedMax / milliseconds{1}) return std::nullopt;
  return milliseconds{value};
}

doc::Node number_of(Duration duration) {
  return doc::Node::number(std::to_string(std::chrono::floor<milliseconds>(duration).count()));
}

Result<doc::Node> map_of(std::string_view body) {
  doc::Problems problems;
  std::vector<doc::Node> nodes = doc::parse_json(body, problems);
  if (nodes.size() != 1 || nodes[0].kind != doc::Kind::Map) return Error{Code::Invalid, "the body must be a JSON object"};
  return std::move(nodes[0]);
}

Status check_name(std::string_view name) {
  if (is_word(name, kNameBytesMax, "_.-/")) return {};
  return Error{Code::Invalid, fmt::format("'name' must have 1 to {} letters, digits and '_.-/'", kNameBytesMax)};
}

}  // namespace

std::string not_given_back(const std::string& holder) {
  return fmt::format("'{}' had the lease, and has not given it back: it may have written without this node", holder);
}

std::string pattern_of(std::string_view route) { return std::string{route.substr(api::kRoot.size() + 1)}; }

std::string to_body(const LeaseAsk& ask) {
  doc::Node tree = doc::Node::map();
  tree.add("name", doc::Node::string(ask.name));
  tree.add("holder", doc::Node::string(ask.holder));
  if (!ask.id.empty()) tree.add("id", doc::Node::string(ask.id));
  tree.add("lengthMs", number_of(ask.length));
  if (ask.succeeds) tree.add("succeeds", doc::Node::boolean(true));
  if (ask.only_mine) tree.add("onlyMine", doc::Node::boolean(true));
  return doc::print_json(tree, doc::JsonForm::Compact);
}

Result<LeaseBook::Ask> parse_acquire(std::string_view body) {
  SK_TRY(const doc::Node tree, map_of(body));
  LeaseBook::Ask ask{.name = text_of(tree, "name"), .holder = text_of(tree, "holder"), .id = text_of(tree, "id")};
  SK_TRY_VOID(check_name(ask.name));
  if (!is_word(ask.holder, kHolderBytesMax, "_.-"))
    return Error{Code::Invalid, fmt::format("'holder' must have 1 to {} letters, digits and '_.-'", kHolderBytesMax)};
  if (!ask.id.empty() && !is_word(ask.id, kIdBytesMax, "")) return Error{Code::Invalid, "'id' must be one that was given out"};
  const auto length = milliseconds_of(tree, "lengthMs");
  if (!length || *length < kShortest)
    return Error{Code::Invalid, fmt::format("'lengthMs' must be a number from {} up", kShortest / milliseconds{1})};
  ask.length = *length;
  ask.succeeds = is_true(tree, "succeeds");
  ask.only_mine = is_true(tree, "onlyMine");
  return ask;
}

Result<Release> parse_release(std::string_view body) {
  SK_TRY(const doc::Node tree, map_of(body));
  Release release{.name = text_of(tree, "name"), .id = text_of(tree, "id")};
  SK_TRY_VOID(check_name(release.name));
  if (!is_word(release.id, kIdBytesMax, "")) return Error{Code::Invalid, "'id' must be one that was given out"};
  return release;
}

std::string to_body(const LeaseBook::Answer& answer) {
  doc::Node tree = doc::Node::map();
  tree.add("granted", doc::Node::boolean(answer.granted));
  if (!answer.holder.empty()) tree.add("holder", doc::Node::string(answer.holder));
  if (answer.has_ended) tree.add("ended", doc::Node::boolean(true));
  if (answer.granted) {
    tree.add("id", doc::Node::string(answer.id));
    tree.add("lengthMs", number_of(answer.length));
  }
  return doc::print_json(tree, doc::JsonForm::Compact);
}

Result<LeaseReply> parse_reply(std::string_view body) {
  const Error corrupt{Code::Corrupt, "the witness's answer is none: is it a safekit-witness?"};
  const auto tree = map_of(body);
  if (!tree) return corrupt;
  const doc::Node* granted = tree->find("granted");
  if (granted == nullptr || granted->kind != doc::Kind::Bool) return corrupt;
  LeaseReply reply{.granted = granted->text == "true", .holder = text_of(*tree, "holder"), .id = text_of(*tree, "id")};
  if (!reply.holder.empty() && !is_word(reply.holder, kHolderBytesMax, "_.-")) return corrupt;
  if (reply.granted) {
    const auto length = milliseconds_of(*tree, "lengthMs");
    if (!length || *length <= Duration{} || !is_word(reply.id, kIdBytesMax, "")) return corrupt;
    reply.length = *length;
    return reply;
  }
  reply.detail = reply.holder.empty()       ? "the witness has lost its file, and grants nothing for up to a minute"
                 : is_true(*tree, "ended") ? not_given_back(reply.holder)
                                           : fmt::format("'{}' holds the lease", reply.holder);
  return reply;
}

}  // namespace safekit::witness
