#include "schema/doc/yaml.h"

#include <algorithm>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/emitter.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace safekit::doc {
namespace {

constexpr std::size_t kInlineListMax = 8;
constexpr std::size_t kInlineItemBytesMax = 24;

Position position(const YAML::Mark& mark) {
  if (mark.line < 0) return {};
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

bool is_number(std::string_view text) {
  if (text.empty() || text.size() > 20) return false;
  const std::size_t sign = text.front() == '-' ? 1 : 0;
  const std::string_view digits = text.substr(sign);
  // A leading zero is octal to some readers and text to others: it stays text.
  if (digits.empty() || (digits.size() > 1 && digits.front() == '0')) return false;
  return digits.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Words and shapes that some YAML reader does not take for text.
bool is_ambiguous(std::string_view text) {
  static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on",
                                                "off",  "null",  "y",   "n",  "~"};
  std::string lower{text};
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const std::string_view word : kWords) {
    if (lower == word) return true;
  }
  return text.find_first_not_of("0123456789.+-_:eExXoabcdfABCDF") == std::string_view::npos &&
         text.find_first_of("0123456789") != std::string_view::npos &&
         // Addresses are text to everyone, and read better bare.
         std::count(text.begin(), text.end(), '.') < 2;
}

struct LimitReached {};

/// Builds the tree from yaml-cpp's events. The event interface is used because it keeps order, positions and
/// quoting.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::vector<Node>& documents, Problems& problems) : documents_(documents), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put({}, mark, anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto at = anchors_.find(anchor);
    put(at == anchors_.end() ? Node{} : at->second, mark, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = Node::string(value);
    if (!is_utf8(value)) {
      problems_.error(position(mark), "not-utf8", "the text is not UTF-8", "save the file as UTF-8");
      node.text.clear();
    }
    const bool plain = tag == "?" || tag.empty();
    if (plain && (value == "null" || value == "~" || value.empty())) node = Node{};
    if (plain && (value == "true" || value == "false")) node.kind = Kind::Bool;
    if (plain && is_number(value)) node.kind = Kind::Number;
    put(std::move(node), mark, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::list(), mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::map(), mark, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node{};
    YAML::anchor_t anchor{0};
    bool has_key{false};
    std::string key{};
    Position key_at{};
  };

  static std::size_t count(const Node& node) {
    std::size_t sum = 1;
    for (const Node& child : node.children) sum += count(child);
    return sum;
  }

  void open(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (stack_.size() >= kDepthMax) throw LimitReached{};
    node.at = position(mark);
    stack_.push_back({std::move(node), anchor, false, {}, {}});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    place(std::move(done.node), done.anchor);
  }

  void put(Node node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    node.at = position(mark);
    place(std::move(node), anchor);
  }

  void place(Node node, YAML::anchor_t anchor) {
    // An alias brings a whole copy: the sum is what bounds a `billion laughs` file.
    nodes_ += node.is_scalar() ? 1 : count(node);
    if (nodes_ > kNodesMax) throw LimitReached{};
    if (anchor != 0) anchors_[anchor] = node;
    if (stack_.empty()) {
      if (node.kind != Kind::Null) documents_.push_back(std::move(node));
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Kind::List) {
      parent.node.push(std::move(node));
    } else if (!parent.has_key) {
      parent.has_key = true;
      parent.key = node.text;
      parent.key_at = node.at;
    } else {
      parent.has_key = false;
      node.key_at = parent.key_at;
      parent.node.add(std::move(parent.key), std::move(node));
    }
  }

  std::vector<Node>& documents_;
  Problems& problems_;
  std::vector<Open> stack_{};
  std::map<YAML::anchor_t, Node> anchors_{};
  std::size_t nodes_{0};
};

bool fits_on_a_line(const Node& list) {
  if (list.children.size() > kInlineListMax) return false;
  for (const Node& item : list.children) {
    if (!item.is_scalar() || item.text.size() > kInlineItemBytesMax ||
        item.text.find('\n') != std::string::npos) {
      return false;
    }
  }
  return true;
}

/// A literal block keeps exactly: text whose last character is its only trailing newline, without what YAML
/// would change.
bool fits_a_block(const std::string& text) {
  if (text.size() < 2 || text.back() != '\n' || text[text.size() - 2] == '\n') return false;
  if (text.front() == ' ' || text.front() == '\n' || text.front() == '\t') return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && c != '\n' && c != '\t') return false;
    if (byte >= 0x7f) return false;
  }
  return true;
}

void write(YAML::Emitter& out, const Node& node) {
  switch (node.kind) {
    case Kind::Null: out << YAML::Null; return;
    case Kind::Bool:
    case Kind::Number: out << node.text; return;
    case Kind::String:
      if (fits_a_block(node.text)) {
        out << YAML::Literal << node.text;
      } else if (node.text.empty() || is_ambiguous(node.text) || node.text.find('\n') != std::string::npos) {
        out << YAML::DoubleQuoted << node.text;
      } else {
        out << node.text;
      }
      return;
    case Kind::List:
      if (fits_on_a_line(node)) out << YAML::Flow;
      out << YAML::BeginSeq;
      for (const Node& item : node.children) write(out, item);
      out << YAML::EndSeq;
      return;
    case Kind::Map:
      if (node.children.empty()) out << YAML::Flow;
      out << YAML::BeginMap;
      for (const Node& child : node.children) {
        out << YAML::Key;
        write(out, Node::string(child.key));
        out << YAML::Value;
        write(out, child);
      }
      out << YAML::EndMap;
      return;
  }
}

}  // namespace

std::vector<Node> parse_yaml(std::string_view text, Problems& problems) {
  std::vector<Node> documents;
  if (text.size() > kTextBytesMax) {
    problems.error({1, 1}, "too-large", fmt::format("the file is larger than {} bytes", kTextBytesMax));
    return documents;
  }
  try {
    std::istringstream stream{std::string{text}};
    YAML::Parser parser{stream};
    Builder builder{documents, problems};
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    problems.error(position(error.mark), "syntax", error.msg);
  } catch (const LimitReached&) {
    problems.error({1, 1}, "too-large",
                   fmt::format("more than {} values or {} levels", kNodesMax, kDepthMax));
  }
  for (const Node& document : documents) report_duplicate_keys(document, problems);
  return documents;
}

std::string print_yaml(const Node& node) {
  YAML::Emitter out;
  out.SetSeqFormat(YAML::Block);
  write(out, node);
  std::string text = out.c_str();
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

}  // namespace safekit::doc
