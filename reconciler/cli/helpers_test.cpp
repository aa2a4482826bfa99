#include "reconciler/cli/helpers.h"

#include <gtest/gtest.h>

namespace safekit::cli {
namespace {

class NoOutput final : public Output {
 public:
  void out(std::string_view) override {}
  void err(std::string_view text) override { said += text; }
  [[nodiscard]] bool is_terminal() const override { return false; }
  [[nodiscard]] bool is_broken() const override { return false; }
  std::string said{};
};

TEST(Helpers, LinesOfTextArePassedOnAndXmlIsRefused) {
  EXPECT_EQ(flat_log("/data/x: mode\n1 difference").value(), "/data/x: mode\n1 difference\n");
  EXPECT_EQ(flat_log("a\n").value(), "a\n");
  EXPECT_EQ(flat_log("").value(), "");
  EXPECT_EQ(flat_log("\n <rfsverify/>\n").error().code, Code::Unsupported);
}

TEST(Helpers, OnlyWhatIsThereIsRun) {
  NoOutput output;
  EXPECT_FALSE(run_helper({"-r", "processtree", "list"}, output));
  EXPECT_FALSE(run_helper({"-r"}, output));
  EXPECT_FALSE(run_helper({"state", "flatlogdump"}, output));
  EXPECT_EQ(run_helper({"-r", "flatlogdump", "stdout"}, output), 2);
  EXPECT_NE(output.said.find("-O stdout|FILE"), std::string::npos);
}

}  // namespace
}  // namespace safekit::cli
