#include "schema/codec/xml_value.h"

#include <charconv>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "schema/codec/suggest.h"

namespace safekit::codec {
namespace {

using doc::Node;
using doc::Problems;

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string_view trimmed(std::string_view text) {
  static constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::int64_t unit_ns(As unit) {
  switch (unit) {
    case As::Hours: return 3'600'000'000'000;
    case As::Minutes: return 60'000'000'000;
    case As::Seconds: return 1'000'000'000;
    default: return 1'000'000;  // the callers ask only for times
  }
}

template <class T>
bool is_whole(std::string_view text, T lowest, T highest) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= lowest && value <= highest;
}

void invalid(const XmlAttribute& attribute, const Node& text, std::string_view expected, Problems& problems,
             std::string fix = {}) {
  problems.error(text.at, "invalid-value",
                 fmt::format("invalid value '{}' for the attribute {} (expected: {})", text.text,
                             attribute.name, expected),
                 std::move(fix));
}

std::optional<Node> time_value(const XmlAttribute& attribute, const Node& text, Problems& problems) {
  const auto parsed = parse_xml_time(text.text, attribute.as);
  if (!parsed) {
    problems.error(text.at, "time-unit",
                   fmt::format("invalid value '{}' for the attribute {} (expected time unit: '{}')",
                               text.text, attribute.name, unit_suffix(attribute.as)));
    return std::nullopt;
  }
  if (parsed->truncated) {
    problems.warning(text.at, "time-unit",
                     fmt::format("the value '{}' for the attribute {} is cut off to {}", text.text,
                                 attribute.name, print_xml_time(parsed->value, attribute.as)));
  }
  return Node::string(to_string(parsed->value));
}

std::optional<Node> word_value(const XmlAttribute& attribute, std::string_view element, const Node& text,
                               Problems& problems) {
  std::string expected;
  std::vector<std::string_view> names;
  for (const std::string_view entry : split(attribute.words, " ")) {
    if (entry.front() == '!') {
      if (entry.substr(1) != text.text) continue;
      problems.error(
          text.at, "removed",
          fmt::format("{}=\"{}\" is no longer supported in <{}>", attribute.name, text.text, element));
      return std::nullopt;
    }
    const std::size_t equals = entry.find('=');
    const std::string_view name = entry.substr(0, equals);
    if (name == text.text) {
      return Node::string(std::string{equals == std::string_view::npos ? name : entry.substr(equals + 1)});
    }
    names.push_back(name);
    expected += fmt::format("{}{}", expected.empty() ? "" : "|", name);
  }
  const std::string near = nearest(text.text, names);
  invalid(attribute, text, expected, problems, near.empty() ? "" : fmt::format("did you mean '{}'?", near));
  return std::nullopt;
}

std::optional<Node> whole_value(const XmlAttribute& attribute, const Node& text, Problems& problems) {
  const std::string_view digits = text.text;
  switch (attribute.as) {
    case As::Int:
      if (is_whole<std::int32_t>(digits, std::numeric_limits<std::int32_t>::min(),
                                 std::numeric_limits<std::int32_t>::max())) {
        break;
      }
      invalid(attribute, text, "a whole number", problems);
      return std::nullopt;
    case As::Port:
      if (attribute.words == digits && !digits.empty()) return std::nullopt;
      if (is_whole<std::uint32_t>(digits, 1, 65535)) break;
      invalid(attribute, text, "a port from 1 to 65535", problems);
      return std::nullopt;
    case As::Hex: {
      std::uint32_t value = 0;
      const bool hex = digits.starts_with("0x");
      const std::string_view rest = hex ? digits.substr(2) : digits;
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, hex ? 16 : 10);
      const bool known =
          error == std::errc{} && end == rest.data() + rest.size() && (value == 0 || value == 0x10 || value == 0x10000);
      if (known) return Node::number(fmt::format("{}", value));
      invalid(attribute, text, "0x10|0x10000|0", problems);
      return std::nullopt;
    }
    default:
      if (is_whole<std::uint32_t>(digits, 0, std::numeric_limits<std::uint32_t>::max())) break;
      invalid(attribute, text, "a whole number of 0 or more", problems);
      return std::nullopt;
  }
  return Node::number(text.text);
}

}  // namespace

bool is_time(As as) {
  return as == As::Hours || as == As::Minutes || as == As::Seconds || as == As::Milliseconds;
}

std::string_view unit_suffix(As unit) {
  switch (unit) {
    case As::Hours: return "h";
    case As::Minutes: return "m";
    case As::Seconds: return "s";
    default: return "ms";
  }
}

Result<XmlTime> parse_xml_time(std::string_view text, As unit) {
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  const std::string written = bare ? fmt::format("{}{}", text, unit_suffix(unit)) : std::string{text};
  // `ns` is a unit of ours, not of SafeKit's.
  if (written.ends_with("ns")) return Error{Code::Invalid, "unknown unit"};
  SK_TRY(const Duration value, parse_duration(written));
  const std::int64_t ns = unit_ns(unit);
  const std::int64_t whole = value.count() / ns;
  if (whole == 0) {
    // A zero in another unit is refused as well: it is a value cut off to nothing for all we know.
    const std::size_t digits = written.find_first_not_of("0123456789");
    const bool is_plain_zero = value.count() == 0 && written.substr(digits) == unit_suffix(unit);
    if (!is_plain_zero) return Error{Code::Invalid, "becomes zero"};
  }
  return XmlTime{Duration{whole * ns}, whole * ns != value.count()};
}

std::string print_xml_time(Duration value, As unit) {
  std::int64_t whole = value.count() / unit_ns(unit);
  if (whole == 0 && value.count() != 0) whole = 1;
  return fmt::format("{}{}", whole, unit_suffix(unit));
}

std::optional<Node> value_from_xml(const XmlAttribute& attribute, std::string_view element, const Node& text,
                                   Problems& problems) {
  switch (attribute.as) {
    case As::Text: return Node::string(text.text);
    case As::OnOff:
    case As::YesNo: {
      const bool on_off = attribute.as == As::OnOff;
      if (text.text == (on_off ? "on" : "yes")) return Node::boolean(true);
      if (text.text == (on_off ? "off" : "no")) return Node::boolean(false);
      invalid(attribute, text, on_off ? "on|off" : "yes|no", problems);
      return std::nullopt;
    }
    case As::Int:
    case As::Count:
    case As::Port:
    case As::Hex: return whole_value(attribute, text, problems);
    case As::Hours:
    case As::Minutes:
    case As::Seconds:
    case As::Milliseconds: return time_value(attribute, text, problems);
    case As::Word: return word_value(attribute, element, text, problems);
    case As::SpaceList:
    case As::CommaList: {
      Node list = Node::list();
      for (const std::string_view part : split(text.text, attribute.as == As::SpaceList ? " \t\r\n" : ",")) {
        if (!trimmed(part).empty()) list.push(Node::string(std::string{trimmed(part)})).at = text.at;
      }
      return list;
    }
    case As::Obsolete:
      problems.warning(text.at, "obsolete",
                       fmt::format("attribute {} of <{}> is obsolete and ignored", attribute.name, element));
      if (attribute.words.empty()) return std::nullopt;
      return word_value(attribute, element, text, problems);
    case As::Removed:
      problems.error(text.at, "removed",
                     fmt::format("{} is no longer supported in <{}>", attribute.name, element), "remove it");
      return std::nullopt;
  }
  return std::nullopt;
}

std::string value_to_xml(const XmlAttribute& attribute, const Node& value) {
  switch (attribute.as) {
    case As::OnOff: return value.text == "true" ? "on" : "off";
    case As::YesNo: return value.text == "true" ? "yes" : "no";
    case As::Hours:
    case As::Minutes:
    case As::Seconds:
    case As::Milliseconds:
      return print_xml_time(parse_duration(value.text).value_or(Duration{}), attribute.as);
    case As::Hex: {
      std::uint32_t number = 0;
      std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
      return fmt::format("0x{:x}", number);
    }
    case As::Word:
      for (const std::string_view entry : split(attribute.words, " ")) {
        const std::size_t equals = entry.find('=');
        if (equals != std::string_view::npos && entry.substr(equals + 1) == value.text) {
          return std::string{entry.substr(0, equals)};
        }
      }
      return value.text;
    case As::SpaceList:
    case As::CommaList: {
      std::string text;
      for (const Node& item : value.children) {
        if (!text.empty()) text += attribute.as == As::SpaceList ? " " : ", ";
        text += item.text;
      }
      return text;
    }
    case As::Text:
    case As::Int:
    case As::Count:
    case As::Port:
    case As::Obsolete:
    case As::Removed: return value.text;
  }
  return value.text;
}

}  // namespace safekit::codec
