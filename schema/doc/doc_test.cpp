#include <gtest/gtest.h>

#include "schema/doc/json.h"
#include "schema/doc/xml.h"
#include "schema/doc/yaml.h"

namespace safekit::doc {
namespace {

TEST(Yaml, KeepsOrderKindsAndPositions) {
  Problems problems{"a.yaml"};
  const auto documents = parse_yaml("b: 1\na:\n  - x\n  - 'on'\n  - true\nz: 010\n", problems);
  ASSERT_EQ(documents.size(), 1u);
  const Node& root = documents.front();
  ASSERT_EQ(root.children.size(), 3u);
  EXPECT_EQ(root.children[0].key, "b");
  EXPECT_EQ(root.children[0].kind, Kind::Number);
  const Node& list = root.children[1];
  EXPECT_EQ(list.children[0].at, (Position{3, 5}));
  EXPECT_EQ(list.key_at, (Position{2, 1}));
  EXPECT_EQ(list.children[1].kind, Kind::String);
  EXPECT_EQ(list.children[2].kind, Kind::Bool);
  EXPECT_EQ(root.children[2].kind, Kind::String) << "a leading zero is no number";
}

TEST(Yaml, LoadsSeveralDocumentsAndReportsTheSyntaxErrorBehindThem) {
  Problems problems{"a.yaml"};
  EXPECT_EQ(parse_yaml("---\na: 1\n---\n---\nb: 2\n", problems).size(), 2u);
  EXPECT_FALSE(problems.has_errors());
  EXPECT_EQ(parse_yaml("a: 1\n---\nb: [1\n", problems).size(), 1u);
  ASSERT_EQ(problems.list().size(), 1u);
  EXPECT_EQ(problems.list()[0].rule, "syntax");
}

TEST(Yaml, RefusesDuplicateKeysAndExplosions) {
  Problems twice{"a.yaml"};
  (void)parse_yaml("a: 1\nb: 2\na: 3\n", twice);
  ASSERT_EQ(twice.list().size(), 1u);
  EXPECT_EQ(twice.list()[0].at, (Position{3, 1}));

  std::string laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    laughs += std::string{c} + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) laughs += std::string{"*"} + static_cast<char>(c - 1) + ",";
    laughs.back() = ']';
    laughs += "\n";
  }
  Problems many{"a.yaml"};
  (void)parse_yaml(laughs, many);
  EXPECT_TRUE(many.has_errors());

  Problems deep{"a.yaml"};
  (void)parse_yaml(std::string(400, '['), deep);
  EXPECT_TRUE(deep.has_errors());
}

TEST(Yaml, PrintsWhatItReads) {
  Node root = Node::map();
  root.add("script", Node::string("#!/bin/sh\necho \"hi\"\n\n  indented\n"));
  root.add("plain", Node::string("10.0.0.1"));
  root.add("odd", Node::string("a: b # c"));
  root.add("word", Node::string("on"));
  root.add("digits", Node::string("0123"));
  root.add("no newline", Node::string("a\nb"));
  root.add("spaces", Node::string(" lead\ntrail \n"));
  root.add("empty", Node::string(""));
  root.add("utf8", Node::string("d\xc3\xa9j\xc3\xa0 vu\n"));
  root.add("yes", Node::boolean(true));
  root.add("n", Node::number("5"));
  Node list = Node::list();
  list.push(Node::string("one"));
  Node item = Node::map();
  item.add("k", Node::string("v"));
  list.push(item);
  root.add("list", list);
  root.add("none", Node::map());
  const std::string text = print_yaml(root);
  Problems problems{"a.yaml"};
  const auto back = parse_yaml(text, problems);
  ASSERT_EQ(back.size(), 1u) << text;
  EXPECT_TRUE(same(back.front(), root)) << text << print_yaml(back.front());
  EXPECT_NE(text.find("script: |"), std::string::npos) << text;
  EXPECT_NE(text.find("\"on\""), std::string::npos);
}

TEST(Json, KeepsOrderAndPositions) {
  Problems problems{"a.json"};
  const auto documents =
      parse_json("{\n  \"b\": [1, -2, true],\n  \"a\\\"\": {\"x\": \"y\\\\\"}\n}", problems);
  ASSERT_EQ(documents.size(), 1u);
  const Node& root = documents.front();
  EXPECT_EQ(root.children[0].key, "b");
  EXPECT_EQ(root.children[0].children[1].text, "-2");
  EXPECT_EQ(root.children[0].children[1].at, (Position{2, 12}));
  EXPECT_EQ(root.children[0].children[2].at, (Position{2, 16}));
  EXPECT_EQ(root.children[1].key_at, (Position{3, 3}));
  EXPECT_EQ(root.children[1].children[0].at, (Position{3, 16}));
  EXPECT_EQ(root.children[1].children[0].text, "y\\");
}

TEST(Json, ReportsWhereItBreaks) {
  Problems problems{"a.json"};
  EXPECT_TRUE(parse_json("{\n \"a\": ,\n}", problems).empty());
  ASSERT_EQ(problems.list().size(), 1u);
  EXPECT_EQ(problems.list()[0].at, (Position{2, 7}));
  Problems deep{"a.json"};
  EXPECT_TRUE(parse_json(std::string(1000, '['), deep).empty());
  EXPECT_TRUE(deep.has_errors());
}

TEST(Json, PrintsWhatItReads) {
  Problems problems{"a.json"};
  const std::string text = R"({"a":[1,"x",true,null],"b":{"c":"d"}})";
  const auto documents = parse_json(text, problems);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(print_json(documents.front(), JsonForm::Compact), text);
}

TEST(Xml, GivesElementsAttributesTextsAndPositions) {
  Problems problems{"u.xml"};
  const auto documents = parse_xml(
      "<!DOCTYPE safe>\n<safe>\n  <!-- c -->\n  <a x=\"1\"\n     y='&lt;2&gt;'/>\n"
      "  <f><![CDATA[ one < ]]>\n  <![CDATA[two]]></f></safe>",
      problems);
  ASSERT_EQ(documents.size(), 1u) << to_string(problems.list()[0]);
  const Node& safe = documents.front().children.front();
  EXPECT_EQ(safe.key, "safe");
  ASSERT_EQ(safe.children.size(), 2u);
  const Node& a = safe.children[0];
  EXPECT_EQ(a.at, (Position{4, 3}));
  EXPECT_EQ(a.children[1].text, "<2>");
  EXPECT_EQ(a.children[1].at, (Position{5, 6}));
  ASSERT_EQ(safe.children[1].children.size(), 2u);
  EXPECT_EQ(safe.children[1].children[0].text, " one < ");
  EXPECT_EQ(safe.children[1].children[1].text, "two");
}

TEST(Xml, RefusesEntitiesAndDepth) {
  for (const std::string text :
       {"<!DOCTYPE safe [<!ENTITY x \"y\">]><safe>&x;</safe>",
        "<!DOCTYPE safe [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><safe>&x;</safe>",
        "<!DOCTYPE safe SYSTEM \"no.dtd\"><safe>&x;</safe>"}) {
    Problems problems{"u.xml"};
    EXPECT_TRUE(parse_xml(text, problems).empty()) << text;
    ASSERT_EQ(problems.list().size(), 1u);
    EXPECT_EQ(problems.list()[0].rule, "entity");
  }
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<a>";
  for (int i = 0; i < 100; ++i) deep += "</a>";
  Problems problems{"u.xml"};
  EXPECT_TRUE(parse_xml(deep, problems).empty());
  EXPECT_EQ(problems.list().at(0).rule, "too-large");
}

TEST(Xml, ReportsTheLineOfASyntaxError) {
  Problems problems{"userconfig.xml"};
  EXPECT_TRUE(parse_xml("<safe>\n<custom></custom></custom>\n</safe>", problems).empty());
  ASSERT_EQ(problems.list().size(), 1u);
  EXPECT_EQ(problems.list()[0].at.line, 2u);
}

TEST(Xml, PrintsWhatItReads) {
  Problems problems{"u.xml"};
  const std::string text =
      "<!DOCTYPE safe>\n<?safekit {\"a\":1}?>\n<safe>\n  <a x=\"&lt;&quot;&amp;&#10;\"/>\n  <f>\n"
      "    <![CDATA[if ]]]]><![CDATA[> x]]>\n  </f>\n</safe>\n";
  const auto documents = parse_xml(text, problems);
  ASSERT_EQ(documents.size(), 1u);
  const std::string printed = print_xml(documents.front(), "safe");
  const auto again = parse_xml(printed, problems);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(printed, text);
  EXPECT_TRUE(same(again.front(), documents.front()));
}

TEST(Doc, MutatedInputNeverCrashes) {
  const std::vector<std::string> seeds = {
      "a: &x {b: [1, 'two', \"three\"]}\nc: *x\nd: |\n  text\n---\ne: >-\n  f\n",
      "{\"a\": [1, 2.5, \"x\\u00e9\", null], \"b\": {\"c\": true}}",
      "<!DOCTYPE safe><safe a=\"b\"><c><![CDATA[d]]></c><!-- e --></safe>"};
  std::uint64_t state = 42;
  const auto next = [&] {
    return state = state * 6364136223846793005ULL + 1442695040888963407ULL, state >> 33;
  };
  for (int round = 0; round < 3000; ++round) {
    std::string text = seeds[next() % seeds.size()];
    for (std::uint64_t edits = 1 + next() % 4; edits > 0 && !text.empty(); --edits) {
      const std::size_t at = next() % text.size();
      switch (next() % 4) {
        case 0: text[at] = static_cast<char>(next()); break;
        case 1: text.erase(at, 1 + next() % 4); break;
        case 2: text.insert(at, text.substr(next() % text.size(), next() % 12)); break;
        case 3: text.resize(at); break;
      }
    }
    Problems problems{"f"};
    for (const Node& node : parse_yaml(text, problems)) (void)print_yaml(node);
    for (const Node& node : parse_json(text, problems)) (void)print_json(node);
    for (const Node& node : parse_xml(text, problems)) (void)print_xml(node);
  }
}

}  // namespace
}  // namespace safekit::doc
