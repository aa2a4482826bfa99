#include "schema/doc/node.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace safekit::doc {

const Node* Node::find(std::string_view name) const {
  for (const Node& child : children) {
    if (child.key == name) return &child;
  }
  return nullptr;
}

Node* Node::find(std::string_view name) {
  return const_cast<Node*>(std::as_const(*this).find(name));
}

Node& Node::add(std::string name, Node value) {
  value.key = std::move(name);
  children.push_back(std::move(value));
  return children.back();
}

Node& Node::push(Node value) {
  children.push_back(std::move(value));
  return children.back();
}

void Node::erase(std::string_view name) {
  std::erase_if(children, [&](const Node& child) { return child.key == name; });
}

bool same(const Node& a, const Node& b) {
  return a.kind == b.kind && a.text == b.text && a.key == b.key &&
         std::equal(a.children.begin(), a.children.end(), b.children.begin(), b.children.end(), same);
}

LineIndex::LineIndex(std::string_view text) : starts_{0} {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') starts_.push_back(i + 1);
  }
}

Position LineIndex::at(std::size_t offset) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
  return {static_cast<std::uint32_t>(after - starts_.begin()),
          static_cast<std::uint32_t>(offset - *(after - 1) + 1)};
}

bool is_utf8(std::string_view text) {
  static constexpr std::uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t size = first < 0x80             ? 1
                             : (first & 0xe0) == 0xc0 ? 2
                             : (first & 0xf0) == 0xe0 ? 3
                             : (first & 0xf8) == 0xf0 ? 4
                                                      : 0;
    if (size == 0 || i + size > text.size()) return false;
    std::uint32_t code = size == 1 ? first : first & (0x7fU >> size);
    for (std::size_t k = 1; k < size; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = (code << 6) | (next & 0x3fU);
    }
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    if (code < kLowest[size] || code > 0x10ffff || surrogate || (code & 0xfffe) == 0xfffe) return false;
    i += size;
  }
  return true;
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
}

void report_duplicate_keys(const Node& node, Problems& problems) {
  std::set<std::string_view> seen;
  for (const Node& child : node.children) {
    if (node.kind == Kind::Map && !seen.insert(child.key).second) {
      problems.error(child.key_at, "duplicate-field", fmt::format("'{}' is given twice", child.key),
                     "keep one of them");
    }
    report_duplicate_keys(child, problems);
  }
}

}  // namespace safekit::doc
