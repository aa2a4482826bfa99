#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "e2e/sandbox/topology.h"
#include "schema/check/diff.h"
#include "schema/check/load.h"

namespace safekit {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The one module of a file; every problem of it, warnings too, fails the test.
spec::Module module_in(const fs::path& path, const check::LoadOptions& options) {
  const auto loaded = check::load(read(path), path.string(), options);
  for (const auto& problem : loaded.problems) ADD_FAILURE() << check::render(problem);
  const auto modules = loaded.modules();
  EXPECT_EQ(modules.size(), 1U) << path;
  return modules.empty() ? spec::Module{} : *modules.front();
}

class Example : public ::testing::TestWithParam<std::string> {};

TEST_P(Example, FitsTheSandboxAndIsTheSameInBothForms) {
  const fs::path directory = fs::path(SK_TESTDATA).parent_path() / "../../examples" / GetParam();
  const auto topology = sandbox::plan_topology({}).value();
  const auto cluster = check::load(sandbox::cluster_text(topology, "sandbox"), "cluster.yaml");
  ASSERT_NE(cluster.cluster(), nullptr);
  check::LoadOptions options{.cluster = cluster.cluster()};
  spec::Module yaml = module_in(directory / "module.yaml", options);
  EXPECT_EQ(yaml.scripts.value().directory, "bin");
  options.module_name = yaml.metadata.name;
  options.module_nodes = yaml.nodes;
  options.module_id = yaml.id;
  const spec::Module xml = module_in(directory / "userconfig.xml", options);
  yaml.scripts->directory.clear();  // XML has no word for it: an archive brings its own
  for (const auto& change : check::diff(yaml, xml)) ADD_FAILURE() << check::to_string(change);
}

INSTANTIATE_TEST_SUITE_P(All, Example, ::testing::Values("mirror/postgresql", "mirror/sqlite", "light"));

}  // namespace
}  // namespace safekit
