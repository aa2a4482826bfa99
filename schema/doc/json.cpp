#include "schema/doc/json.h"

#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace safekit::doc {
namespace {

using Json = nlohmann::ordered_json;

/// Tells how far the library has read, because its events carry no position.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at{nullptr};
  const char** reached{nullptr};

  reference operator*() const { return *at; }
  Cursor& operator++() {
    ++at;
    *reached = at;
    return *this;
  }
  Cursor operator++(int) {
    Cursor old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at == b.at; }
  friend bool operator!=(const Cursor& a, const Cursor& b) { return a.at != b.at; }
};

class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, Problems& problems) : text_(text), lines_(text), problems_(problems) {}

  bool null() override { return place({}, word_start()); }
  bool boolean(bool value) override { return place(Node::boolean(value), word_start()); }
  bool number_integer(std::int64_t value) override {
    return place(Node::number(fmt::format("{}", value)), word_start());
  }
  bool number_unsigned(std::uint64_t value) override {
    return place(Node::number(fmt::format("{}", value)), word_start());
  }
  bool number_float(double, const std::string& written) override {
    return place(Node::number(written), word_start());
  }
  bool string(std::string& value) override { return place(Node::string(std::move(value)), string_start()); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Node::map()); }
  bool key(std::string& name) override {
    stack_.back().key = std::move(name);
    stack_.back().key_at = string_start();
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Node::list()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // `[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...`
    std::string what = error.what();
    if (const auto colon = what.find(": "); colon != std::string::npos) what = what.substr(colon + 2);
    const std::size_t end = offset();
    problems_.error(lines_.at(end == 0 ? 0 : end - 1), "syntax", what);
    return false;
  }

  const char* reached{nullptr};
  std::vector<Node> documents{};

 private:
  struct Open {
    Node node{};
    std::string key{};
    Position key_at{};
  };

  [[nodiscard]] std::size_t offset() const {
    return reached == nullptr ? 0 : static_cast<std::size_t>(reached - text_.data());
  }
  /// From behind a closing quote back to its opening one.
  [[nodiscard]] Position string_start() const {
    std::size_t i = offset();
    i = i < 2 ? 0 : i - 2;
    for (; i > 0; --i) {
      if (text_[i] != '"') continue;
      std::size_t slashes = 0;
      while (slashes < i && text_[i - 1 - slashes] == '\\') ++slashes;
      if (slashes % 2 == 0) break;
    }
    return lines_.at(i);
  }
  /// From the end of a bare word (a number has been read one character too far) back to its start.
  [[nodiscard]] Position word_start() const {
    static constexpr std::string_view kEnds = " \t\r\n,:[]{}";
    std::size_t i = std::min(offset(), text_.size());
    while (i > 0 && kEnds.find(text_[i - 1]) != std::string_view::npos) --i;
    while (i > 0 && kEnds.find(text_[i - 1]) == std::string_view::npos) --i;
    return lines_.at(i);
  }

  bool open(Node node) {
    if (stack_.size() >= kDepthMax) return limit();
    const std::size_t end = offset();
    node.at = lines_.at(end == 0 ? 0 : end - 1);
    stack_.push_back({std::move(node), {}, {}});
    return true;
  }
  bool close() {
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    const Position at = node.at;
    return place(std::move(node), at);
  }
  bool place(Node node, Position at) {
    if (++nodes_ > kNodesMax) return limit();
    node.at = at;
    if (stack_.empty()) {
      documents.push_back(std::move(node));
      return true;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Kind::List) {
      parent.node.push(std::move(node));
    } else {
      node.key_at = parent.key_at;
      parent.node.add(std::move(parent.key), std::move(node));
    }
    return true;
  }
  bool limit() {
    problems_.error({1, 1}, "too-large",
                    fmt::format("more than {} values or {} levels", kNodesMax, kDepthMax));
    return false;
  }

  std::string_view text_;
  LineIndex lines_;
  Problems& problems_;
  std::vector<Open> stack_{};
  std::size_t nodes_{0};
};

Json to_json(const Node& node) {
  switch (node.kind) {
    case Kind::Null: return nullptr;
    case Kind::Bool: return node.text == "true";
    case Kind::Number: {
      Json number = Json::parse(node.text, nullptr, false);
      return number.is_number() ? number : Json(node.text);
    }
    case Kind::String: return node.text;
    case Kind::List: {
      Json list = Json::array();
      for (const Node& item : node.children) list.push_back(to_json(item));
      return list;
    }
    case Kind::Map: {
      Json map = Json::object();
      for (const Node& child : node.children) map[child.key] = to_json(child);
      return map;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<Node> parse_json(std::string_view text, Problems& problems) {
  if (text.size() > kTextBytesMax) {
    problems.error({1, 1}, "too-large", fmt::format("the file is larger than {} bytes", kTextBytesMax));
    return {};
  }
  Builder builder{text, problems};
  const Cursor first{text.data(), &builder.reached};
  const Cursor last{text.data() + text.size(), &builder.reached};
  // A handler's `false` ends the parse; a syntax error has been reported through the handler.
  if (!Json::sax_parse(first, last, &builder)) return {};
  for (const Node& document : builder.documents) report_duplicate_keys(document, problems);
  return std::move(builder.documents);
}

std::string print_json(const Node& node, JsonForm form) {
  const auto replace = Json::error_handler_t::replace;
  if (form == JsonForm::Compact) return to_json(node).dump(-1, ' ', false, replace);
  return to_json(node).dump(2, ' ', false, replace) + "\n";
}

}  // namespace safekit::doc
