#include "reconciler/api/lost_writes.h"

#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/request.h"

namespace safekit::api {
namespace {

using doc::Node;

template <class Number>
Node number_of(Number value) {
  return Node::number(std::to_string(value));
}

template <class Number>
bool parse_number(std::string_view text, Number& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size();
}

template <class Number>
Number number_at(const Node& tree, std::string_view name) {
  Number value{};
  const std::string text = text_at(tree, {name});
  if (!parse_number(text, value)) return Number{};
  return value;
}

WallTime time_at(const Node& tree, std::string_view name) {
  const auto time = parse_wall_time(text_at(tree, {name}));
  return time ? *time : WallTime{};
}

/// Bytes of the UTF-8 character that `text` begins with; 0 for none that can be printed.
std::size_t printable(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return first >= ' ' && first != 0x7f && first != '\\' ? 1 : 0;
  if (first == 0xc2 && text.size() > 1 && static_cast<unsigned char>(text[1]) < 0xa0) return 0;  // C1 controls
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  return size <= text.size() && doc::is_utf8(text.substr(0, size)) ? size : 0;
}

/// `OFFSET+SIZE STATE AT`
std::string piece_text(const LostPiece& piece) {
  std::string text = fmt::format("{}+{} {}", piece.offset, piece.size, piece.state);
  return piece.state == "kept" ? fmt::format("{} {}", text, piece.at) : text;
}

Result<LostPiece> piece_from(std::string_view text) {
  LostPiece piece;
  const std::size_t plus = text.find('+');
  const std::size_t blank = text.find(' ');
  if (plus == std::string_view::npos || blank == std::string_view::npos || blank < plus)
    return Error{Code::Corrupt, fmt::format("'{}' is no piece of a file", text)};
  const std::size_t end = std::min(text.find(' ', blank + 1), text.size());
  piece.state = text.substr(blank + 1, end - blank - 1);
  const bool is_kept = piece.state == "kept";
  if (!parse_number(text.substr(0, plus), piece.offset) ||
      !parse_number(text.substr(plus + 1, blank - plus - 1), piece.size) ||
      (is_kept && (end == text.size() || !parse_number(text.substr(end + 1), piece.at)))) {
    return Error{Code::Corrupt, fmt::format("'{}' is no piece of a file", text)};
  }
  return piece;
}

Result<std::string> unescaped_at(const Node& tree, std::string_view name) {
  return unescaped(text_at(tree, {name}));
}

}  // namespace

std::string escaped(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t size = printable(bytes);
    if (size == 0) {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
    } else {
      text += bytes.substr(0, size);
    }
    bytes.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return text;
}

Result<std::string> unescaped(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    if (text[0] != '\\') {
      bytes += text[0];
      text.remove_prefix(1);
      continue;
    }
    unsigned value = 0;
    if (text.size() < 4 || text[1] != 'x' || !parse_number(text.substr(2, 2), value, 16))
      return Error{Code::Corrupt, fmt::format("'{}' is not escaped as it should be", text)};
    bytes += static_cast<char>(value);
    text.remove_prefix(4);
  }
  return bytes;
}

Node to_tree(const LostSet& set) {
  Node tree = Node::map();
  tree.add("name", Node::string(set.name));
  tree.add("node", Node::string(set.node));
  tree.add("keptCopyOf", Node::string(set.peer));
  tree.add("begun", Node::string(safekit::to_string(set.begun)));
  if (set.ended.ns != 0) tree.add("ended", Node::string(safekit::to_string(set.ended)));
  if (set.by_others) tree.add("byOthers", Node::boolean(true));
  tree.add("items", number_of(set.items));
  tree.add("bytes", number_of(set.bytes));
  tree.add("missedItems", number_of(set.missed_items));
  tree.add("missedBytes", number_of(set.missed_bytes));
  return tree;
}

LostSet lost_set_from(const Node& tree) {
  return {.name = text_at(tree, {"name"}),
          .node = text_at(tree, {"node"}),
          .peer = text_at(tree, {"keptCopyOf"}),
          .begun = time_at(tree, "begun"),
          .ended = time_at(tree, "ended"),
          .by_others = text_at(tree, {"byOthers"}) == "true",
          .items = number_at<std::uint64_t>(tree, "items"),
          .bytes = number_at<std::uint64_t>(tree, "bytes"),
          .missed_items = number_at<std::uint64_t>(tree, "missedItems"),
          .missed_bytes = number_at<std::uint64_t>(tree, "missedBytes")};
}

Node to_tree(const LostItem& item) {
  Node tree = Node::map();
  tree.add("number", number_of(item.number));
  tree.add("kind", Node::string(item.kind));
  tree.add("path", Node::string(escaped(item.path)));
  tree.add("removed", Node::boolean(item.removed));
  tree.add("mode", number_of(item.mode));
  tree.add("uid", number_of(item.uid));
  tree.add("gid", number_of(item.gid));
  tree.add("size", number_of(item.size));
  tree.add("mtimeSeconds", number_of(item.mtime_seconds));
  tree.add("mtimeNanoseconds", number_of(item.mtime_nanoseconds));
  if (item.device != 0) tree.add("device", number_of(item.device));
  if (!item.link_target.empty()) tree.add("linkTarget", Node::string(escaped(item.link_target)));
  if (!item.xattrs.empty()) {
    Node& list = tree.add("xattrs", Node::list());
    for (const auto& [name, value] : item.xattrs) {
      Node& xattr = list.push(Node::map());
      xattr.add("name", Node::string(escaped(name)));
      xattr.add("value", Node::string(escaped(value)));
    }
  }
  const auto texts = [&tree](const char* name, const auto& values, const auto& text) {
    if (values.empty()) return;
    Node& list = tree.add(name, Node::list());
    for (const auto& value : values) list.push(Node::string(text(value)));
  };
  texts("names", item.names, [](const std::string& name) { return escaped(name); });
  texts("pieces", item.pieces, piece_text);
  return tree;
}

Result<LostItem> lost_item_from(const Node& tree) {
  LostItem item{.number = number_at<std::uint64_t>(tree, "number"),
                .kind = text_at(tree, {"kind"}),
                .removed = text_at(tree, {"removed"}) == "true",
                .mode = number_at<std::uint32_t>(tree, "mode"),
                .uid = number_at<std::uint32_t>(tree, "uid"),
                .gid = number_at<std::uint32_t>(tree, "gid"),
                .device = number_at<std::uint64_t>(tree, "device"),
                .size = number_at<std::uint64_t>(tree, "size"),
                .mtime_seconds = number_at<std::int64_t>(tree, "mtimeSeconds"),
                .mtime_nanoseconds = number_at<std::uint32_t>(tree, "mtimeNanoseconds")};
  SK_TRY(item.path, unescaped_at(tree, "path"));
  SK_TRY(item.link_target, unescaped_at(tree, "linkTarget"));
  if (const Node* list = tree.find("xattrs")) {
    for (const Node& xattr : list->children) {
      SK_TRY(std::string name, unescaped_at(xattr, "name"));
      SK_TRY(std::string value, unescaped_at(xattr, "value"));
      item.xattrs.emplace_back(std::move(name), std::move(value));
    }
  }
  if (const Node* list = tree.find("names")) {
    for (const Node& name : list->children) {
      SK_TRY(std::string path, unescaped(name.text));
      item.names.push_back(std::move(path));
    }
  }
  if (const Node* list = tree.find("pieces")) {
    for (const Node& piece : list->children) {
      SK_TRY(LostPiece part, piece_from(piece.text));
      item.pieces.push_back(std::move(part));
    }
  }
  return item;
}

}  // namespace safekit::api
