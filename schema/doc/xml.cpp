#include "schema/doc/xml.h"

#include <memory>

#include <expat.h>
#include <fmt/format.h>

namespace safekit::doc {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

class Builder {
 public:
  Builder(std::string_view text, Problems& problems) : text_(text), lines_(text), problems_(problems) {}

  bool run();
  Node document{Node::map()};

 private:
  static Builder& self(void* user) { return *static_cast<Builder*>(user); }
  static void XMLCALL on_start(void* user, const XML_Char* name, const XML_Char** attributes) {
    self(user).start(name, attributes);
  }
  static void XMLCALL on_end(void* user, const XML_Char*) { self(user).end(); }
  static void XMLCALL on_text(void* user, const XML_Char* text, int size) {
    self(user).characters({text, static_cast<std::size_t>(size)});
  }
  static void XMLCALL on_cdata_start(void* user) { self(user).begin_cdata(); }
  static void XMLCALL on_cdata_end(void* user) { self(user).end_cdata(); }
  static void XMLCALL on_instruction(void* user, const XML_Char* target, const XML_Char* data) {
    if (std::string_view{target} == "safekit") self(user).document.add("?safekit", Node::string(data));
  }
  static void XMLCALL on_entity(void* user, const XML_Char* name, int, const XML_Char*, int, const XML_Char*,
                                const XML_Char*, const XML_Char*, const XML_Char*) {
    self(user).refuse("entity", fmt::format("the entity '{}' is declared here, which is not allowed", name),
                      "write its text in place");
  }
  static void XMLCALL on_skipped(void* user, const XML_Char* name, int) {
    self(user).refuse("entity", fmt::format("the entity '{}' is not defined", name),
                      "write its text in place");
  }

  void start(const XML_Char* name, const XML_Char** attributes);
  void end();
  void characters(std::string_view text);
  void flush_text();
  void begin_cdata();
  void end_cdata();
  void refuse(std::string_view rule, std::string message, std::string fix = {});
  [[nodiscard]] Position here() const;
  /// Expat has no positions of attributes: they are read off the start tag, which it has found well-formed.
  [[nodiscard]] Position attribute_position(std::string_view name) const;

  std::string_view text_;
  LineIndex lines_;
  Problems& problems_;
  XML_Parser parser_{nullptr};
  std::vector<Node> stack_{};
  std::string pending_{};
  Position pending_at_{};
  bool in_cdata_{false};
  bool joins_previous_{
      false};  ///< this CDATA section begins where the last one ended: one text (see `cdata`)
  XML_Index cdata_end_{-1};
  bool refused_{false};
  std::size_t nodes_{0};
};

Position Builder::here() const {
  return {static_cast<std::uint32_t>(XML_GetCurrentLineNumber(parser_)),
          static_cast<std::uint32_t>(XML_GetCurrentColumnNumber(parser_) + 1)};
}

Position Builder::attribute_position(std::string_view name) const {
  const XML_Index start = XML_GetCurrentByteIndex(parser_);
  std::size_t i = start < 0 ? text_.size() : static_cast<std::size_t>(start);
  while (i < text_.size() && !is_space(text_[i]) && text_[i] != '>') ++i;
  while (i < text_.size()) {
    while (i < text_.size() && is_space(text_[i])) ++i;
    const std::size_t begin = i;
    while (i < text_.size() && text_[i] != '=' && !is_space(text_[i])) ++i;
    if (text_.substr(begin, i - begin) == name) return lines_.at(begin);
    i = text_.find_first_of("\"'", i);
    if (i == std::string_view::npos) break;
    i = text_.find(text_[i], i + 1);
    if (i == std::string_view::npos) break;
    ++i;
  }
  return here();
}

void Builder::refuse(std::string_view rule, std::string message, std::string fix) {
  if (refused_) return;
  refused_ = true;
  problems_.error(here(), rule, std::move(message), std::move(fix));
  XML_StopParser(parser_, XML_FALSE);
}

void Builder::start(const XML_Char* name, const XML_Char** attributes) {
  flush_text();
  if (stack_.size() >= kDepthMax || ++nodes_ > kNodesMax) {
    return refuse("too-large", fmt::format("more than {} elements or {} levels", kNodesMax, kDepthMax));
  }
  Node element = Node::map();
  element.key = name;
  element.at = element.key_at = here();
  for (std::size_t i = 0; attributes[i] != nullptr; i += 2) {
    ++nodes_;
    Node value = Node::string(attributes[i + 1]);
    value.at = value.key_at = attribute_position(attributes[i]);
    element.add(fmt::format("@{}", attributes[i]), std::move(value));
  }
  stack_.push_back(std::move(element));
}

void Builder::end() {
  flush_text();
  Node done = std::move(stack_.back());
  stack_.pop_back();
  (stack_.empty() ? document : stack_.back()).push(std::move(done));
}

void Builder::characters(std::string_view text) {
  if (pending_.empty()) pending_at_ = here();
  pending_ += text;
}

void Builder::begin_cdata() {
  flush_text();
  in_cdata_ = true;
  joins_previous_ = XML_GetCurrentByteIndex(parser_) == cdata_end_;
}

void Builder::end_cdata() {
  flush_text();
  in_cdata_ = joins_previous_ = false;
  cdata_end_ = XML_GetCurrentByteIndex(parser_) + static_cast<XML_Index>(std::string_view{"]]>"}.size());
}

void Builder::flush_text() {
  const bool keep = !stack_.empty() && (in_cdata_ || !is_blank(pending_)) && !pending_.empty();
  if (keep && joins_previous_ && !stack_.back().children.empty()) {
    stack_.back().children.back().text += pending_;
  } else if (keep) {
    Node text = Node::string(std::move(pending_));
    text.at = text.key_at = pending_at_;
    stack_.back().add("#text", std::move(text));
  }
  pending_.clear();
}

bool Builder::run() {
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, void (*)(XML_Parser)> owner{
      XML_ParserCreate(nullptr), XML_ParserFree};
  parser_ = owner.get();
  XML_SetUserData(parser_, this);
  XML_SetElementHandler(parser_, on_start, on_end);
  XML_SetCharacterDataHandler(parser_, on_text);
  XML_SetCdataSectionHandler(parser_, on_cdata_start, on_cdata_end);
  XML_SetProcessingInstructionHandler(parser_, on_instruction);
  XML_SetEntityDeclHandler(parser_, on_entity);
  XML_SetSkippedEntityHandler(parser_, on_skipped);
  const auto status = XML_Parse(parser_, text_.data(), static_cast<int>(text_.size()), XML_TRUE);
  if (refused_) return false;
  if (status != XML_STATUS_OK) {
    problems_.error(here(), "syntax", XML_ErrorString(XML_GetErrorCode(parser_)));
    return false;
  }
  return true;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\n': out += "&#10;"; break;
      case '\r': out += "&#13;"; break;
      case '\t': out += "&#9;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string cdata(std::string_view text) {
  std::string out = "<![CDATA[";
  std::size_t from = 0;
  // `]]>` would end the section: it is split over two.
  for (std::size_t at = text.find("]]>"); at != std::string_view::npos; at = text.find("]]>", from)) {
    out += fmt::format("{}]]]]><![CDATA[>", text.substr(from, at - from));
    from = at + 3;
  }
  return out + std::string{text.substr(from)} + "]]>";
}

void write(std::string& out, const Node& element, std::size_t depth) {
  const std::string indent(depth * 2, ' ');
  out += fmt::format("{}<{}", indent, element.key);
  bool has_content = false;
  for (const Node& child : element.children) {
    if (child.key.starts_with('@')) {
      out += fmt::format(" {}=\"{}\"", std::string_view{child.key}.substr(1), escaped(child.text));
    } else {
      has_content = true;
    }
  }
  if (!has_content) {
    out += "/>\n";
    return;
  }
  out += ">\n";
  for (const Node& child : element.children) {
    if (child.key.starts_with('@')) continue;
    if (child.key == "#text") {
      out += fmt::format("{}  {}\n", indent, cdata(child.text));
    } else {
      write(out, child, depth + 1);
    }
  }
  out += fmt::format("{}</{}>\n", indent, element.key);
}

}  // namespace

std::vector<Node> parse_xml(std::string_view text, Problems& problems) {
  if (text.size() > kTextBytesMax) {
    problems.error({1, 1}, "too-large", fmt::format("the file is larger than {} bytes", kTextBytesMax));
    return {};
  }
  Builder builder{text, problems};
  if (!builder.run()) return {};
  return {std::move(builder.document)};
}

std::string print_xml(const Node& document, std::string_view doctype) {
  std::string out;
  if (!doctype.empty()) out += fmt::format("<!DOCTYPE {}>\n", doctype);
  if (const Node* instruction = document.find("?safekit")) {
    out += fmt::format("<?safekit {}?>\n", instruction->text);
  }
  for (const Node& child : document.children) {
    if (!child.key.starts_with('?')) write(out, child, 0);
  }
  return out;
}

}  // namespace safekit::doc
