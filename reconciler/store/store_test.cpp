#include "reconciler/store/store.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "reconciler/store/migrations.h"
#include "reconciler/store/sqlite_backend.h"
#include "reconciler/store/sqlite_database.h"
#include "schema/fake/manual_clock.h"

namespace safekit::store {
namespace {

using testing::HasSubstr;

const ObjectKey kDb{Kind::Module, "db"};

std::string module_spec(const std::string& name, const std::string& nodes, const std::string& extra = "") {
  return fmt::format(R"({{"apiVersion":"safekit/v1","kind":"Module","metadata":{{"name":"{}"}},"spec":{{"mode":"mirror","nodes":[{}]{}}}}})",
                     name, nodes, extra);
}

/// A directory of its own for each test, removed at its end.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "safekit-store-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_{};
};

/// Gives each test a store that can be closed and opened again.
struct InMemory {
  MemoryBackend kept{};
  Backend& open() { return kept; }
  void close() {}
};
struct OnSqlite {
  Directory directory{};
  std::unique_ptr<SqliteBackend> opened{};
  Backend& open() {
    auto result = SqliteBackend::open(directory.path());
    if (!result) throw std::runtime_error{result.error().what};
    opened = std::move(*result);
    return *opened;
  }
  void close() { opened.reset(); }
};

template <class Place>
class StoreTest : public testing::Test {
 protected:
  StoreTest() { open(); }
  void open() { store = std::make_unique<Store>(place.open(), clock, NodeName{"node1"}); }
  void reopen() {
    store.reset();
    place.close();
    open();
  }
  fake::ManualClock clock{};
  Place place{};
  std::unique_ptr<Store> store{};
};
using Places = testing::Types<InMemory, OnSqlite>;
TYPED_TEST_SUITE(StoreTest, Places);

TYPED_TEST(StoreTest, KeepsAnAppliedObjectOverARestart) {
  const auto applied = this->store->apply(kDb, "{}", {.author = "admin"});
  ASSERT_TRUE(applied.has_value());
  EXPECT_EQ(applied->generation, 1U);
  EXPECT_EQ(applied->parent, "");
  EXPECT_EQ(applied->origin, NodeName{"node1"});
  this->reopen();
  EXPECT_EQ(this->store->get(kDb), *applied);
  EXPECT_EQ(this->store->history(kDb), std::vector<std::string>{applied->digest});
}

TYPED_TEST(StoreTest, ARevisionNamesItsParent) {
  const auto first = this->store->apply(kDb, "1", {});
  const auto second = this->store->apply(kDb, "2", {});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->generation, 2U);
  EXPECT_EQ(second->parent, first->digest);
  EXPECT_GT(second->revision, first->revision);
  this->reopen();
  EXPECT_THAT(this->store->history(kDb), testing::ElementsAre(second->digest, first->digest));
}

TYPED_TEST(StoreTest, TheSameSpecAgainChangesNothing) {
  const auto first = this->store->apply(kDb, "1", {.author = "a"});
  int told = 0;
  this->store->watch([&](const Change&) { ++told; });
  const auto again = this->store->apply(kDb, "1", {.author = "b"});
  EXPECT_EQ(again.value(), first.value());
  EXPECT_EQ(told, 0);
}

TYPED_TEST(StoreTest, ADryRunStoresNothing) {
  const auto dry = this->store->apply(kDb, "1", {.dry_run = true});
  ASSERT_TRUE(dry.has_value());
  EXPECT_EQ(dry->generation, 1U);
  EXPECT_FALSE(this->store->get(kDb).has_value());
  const auto wet = this->store->apply(kDb, "1", {});
  EXPECT_EQ(wet->digest, dry->digest);
  EXPECT_TRUE(this->store->remove(kDb, {.dry_run = true}).has_value());
  EXPECT_TRUE(this->store->get(kDb).has_value());
}

TYPED_TEST(StoreTest, RefusesAnApplyThatStartedFromAnOldRevision) {
  const auto first = this->store->apply(kDb, "1", {});
  const auto second = this->store->apply(kDb, "2", {.author = "eve", .expected = version_of(*first)});
  ASSERT_TRUE(second.has_value()) << second.error().what;
  const auto late = this->store->apply(kDb, "3", {.expected = version_of(*first)});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Code::Conflict);
  EXPECT_THAT(late.error().what, HasSubstr("'eve' on 'node1'"));
  EXPECT_EQ(this->store->get(kDb)->spec, "2");
}

TYPED_TEST(StoreTest, ADeletedObjectStaysAsTombstoneAndCanBeMadeAnew) {
  (void)this->store->apply(kDb, "1", {});
  const auto gone = this->store->remove(kDb, {});
  ASSERT_TRUE(gone.has_value());
  this->reopen();
  EXPECT_FALSE(this->store->get(kDb).has_value());
  EXPECT_TRUE(this->store->list(Kind::Module).empty());
  ASSERT_EQ(this->store->all_with_tombstones().size(), 1U);
  EXPECT_EQ(this->store->remove(kDb, {}).error().code, Code::NotFound);
  const auto anew = this->store->apply(kDb, "1", {});
  ASSERT_TRUE(anew.has_value());
  EXPECT_EQ(anew->generation, 3U);
  EXPECT_EQ(anew->parent, gone->digest);
}

TYPED_TEST(StoreTest, AdoptsWhatAPeerMadeAsItIs) {
  MemoryBackend other_disk;
  Store other{other_disk, this->clock, NodeName{"node2"}};
  (void)other.apply(kDb, "1", {});
  const auto made = other.apply(kDb, "2", {.author = "bob"});
  ASSERT_TRUE(this->store->adopt(*made, other.history(kDb)).has_value());
  this->reopen();
  const auto adopted = this->store->get(kDb);
  ASSERT_TRUE(adopted.has_value());
  EXPECT_EQ(adopted->digest, made->digest);
  EXPECT_EQ(adopted->author, "bob");
  EXPECT_EQ(adopted->origin, NodeName{"node2"});
  EXPECT_EQ(this->store->history(kDb), other.history(kDb));
  Object forged = *made;
  forged.spec = "3";
  EXPECT_EQ(this->store->adopt(forged, {}).error().code, Code::Corrupt);
}

TYPED_TEST(StoreTest, RevisionsNeverGoBack) {
  Revision last = this->store->apply(kDb, "1", {})->revision;
  for (int i = 0; i < 3; ++i) {
    for (int n = 0; n < 10; ++n) {
      this->store->update_status(ModuleName{"db"}, [&](status::Module& m) { m.role.loop_count++; });
    }
    EXPECT_GT(this->store->revision(), last);
    last = this->store->revision();
    this->reopen();
    EXPECT_GE(this->store->revision(), last);
  }
}

TYPED_TEST(StoreTest, AnOperationIsPendingUntilFinishedOnce) {
  const auto id = this->store->submit({.module = "db", .verb = "start", .caller = "root"});
  ASSERT_TRUE(id.has_value());
  this->reopen();
  ASSERT_EQ(this->store->pending(ModuleName{"db"}).size(), 1U);
  EXPECT_EQ(this->store->pending(ModuleName{"db"}).front().verb, "start");
  EXPECT_TRUE(this->store->pending(ModuleName{"web"}).empty());
  EXPECT_TRUE(this->store->finish(*id, "done").has_value());
  EXPECT_EQ(this->store->finish(*id, "done").error().code, Code::NotFound);
  this->reopen();
  EXPECT_TRUE(this->store->pending(ModuleName{"db"}).empty());
  EXPECT_EQ(this->store->operation(*id)->outcome, "done");
  EXPECT_GT(this->store->submit({.module = "db", .verb = "stop"}).value(), *id);
}

TYPED_TEST(StoreTest, FactsOutliveARestart) {
  EXPECT_TRUE(this->store->set_fact("a", "1", true).has_value());
  EXPECT_TRUE(this->store->set_fact("b", "2", false).has_value());
  EXPECT_TRUE(this->store->set_fact("c", "relaxed", false).has_value());
  EXPECT_TRUE(this->store->set_fact("c", "durable", true).has_value());
  EXPECT_TRUE(this->store->set_fact("c", "newest", false).has_value());
  this->reopen();
  EXPECT_EQ(this->store->fact("a"), "1");
  EXPECT_EQ(this->store->fact("b"), "2");
  EXPECT_EQ(this->store->fact("c"), "newest");
  for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(this->store->forget_fact(key).has_value());
  this->reopen();
  for (const char* key : {"a", "b", "c"}) EXPECT_FALSE(this->store->fact(key).has_value());
}

TYPED_TEST(StoreTest, EventsComeOldestFirstShortOrVerbose) {
  const ModuleName db{"db"};
  for (int i = 0; i < 10; ++i) this->store->record(db, "safekit", i % 2 == 0 ? 'E' : 'I', fmt::format("event {}", i));
  this->store->record(ModuleName{"web"}, "safekit", 'E', "other");
  this->reopen();
  const auto verbose = this->store->events(db, 3, true);
  ASSERT_EQ(verbose.size(), 3U);
  EXPECT_EQ(verbose.front().text, "event 7");
  EXPECT_EQ(verbose.back().text, "event 9");
  EXPECT_EQ(verbose.back().node, NodeName{"node1"});
  const auto brief = this->store->events(db, 2, false);
  ASSERT_EQ(brief.size(), 2U);
  EXPECT_EQ(brief.front().text, "event 6");
  EXPECT_EQ(brief.back().text, "event 8");
}

TYPED_TEST(StoreTest, WatchersHearInOrderAlsoOfWhatTheyCause) {
  std::vector<std::string> heard;
  this->store->watch([&](const Change& change) {
    heard.push_back("1:" + change.name);
    if (change.name == "a") (void)this->store->apply({Kind::Module, "b"}, "{}", {});
  });
  const auto second = this->store->watch([&](const Change& change) { heard.push_back("2:" + change.name); });
  (void)this->store->apply({Kind::Module, "a"}, "{}", {});
  EXPECT_THAT(heard, testing::ElementsAre("1:a", "2:a", "1:b", "2:b"));
  this->store->unwatch(second);
  heard.clear();
  (void)this->store->apply({Kind::Module, "c"}, "{}", {});
  EXPECT_THAT(heard, testing::ElementsAre("1:c"));
}

TYPED_TEST(StoreTest, StatusIsToldOnlyWhenItDiffers) {
  int told = 0;
  this->store->watch([&](const Change& change) { told += change.what == Change::What::Status ? 1 : 0; });
  const ModuleName db{"db"};
  EXPECT_EQ(this->store->status(db).name, db);
  EXPECT_TRUE(this->store->update_status(db, [](status::Module& m) { m.role.reason = "x"; }));
  EXPECT_FALSE(this->store->update_status(db, [](status::Module& m) { m.role.reason = "x"; }));
  EXPECT_EQ(told, 1);
  this->store->forget_status(db);
  EXPECT_EQ(told, 2);
  EXPECT_EQ(this->store->status(db).role.reason, "");
}

TYPED_TEST(StoreTest, TypedSpecsAreParsedOncePerRevision) {
  (void)this->store->apply(kDb, module_spec("db", R"("node1","node2")"), {});
  (void)this->store->apply({Kind::Module, "far"}, module_spec("far", R"("node2","node3")"), {});
  const auto module = this->store->module(ModuleName{"db"});
  ASSERT_TRUE(module);
  EXPECT_EQ(module->metadata.generation, 1U);
  EXPECT_EQ(this->store->module(ModuleName{"db"}), module);
  EXPECT_THAT(this->store->local_modules(), testing::ElementsAre(ModuleName{"db"}));
  (void)this->store->apply(kDb, module_spec("db", R"("node1","node3")"), {});
  EXPECT_NE(this->store->module(ModuleName{"db"}), module);
  EXPECT_EQ(this->store->module(ModuleName{"db"})->nodes.back(), NodeName{"node3"});
  (void)this->store->remove(kDb, {});
  EXPECT_EQ(this->store->module(ModuleName{"db"}), nullptr);
  EXPECT_EQ(this->store->cluster(), nullptr);
}

TYPED_TEST(StoreTest, AConflictEndsByANewApplyOrByTakingASide) {
  for (const bool by_apply : {true, false}) {
    const ObjectKey key{Kind::Module, by_apply ? "one" : "two"};
    MemoryBackend other_disk;
    Store other{other_disk, this->clock, NodeName{"node2"}};
    (void)other.apply(key, "theirs", {});
    (void)this->store->apply(key, "mine", {});
    this->store->set_conflict({.peer = NodeName{"node2"}, .theirs = *other.get(key), .history = other.history(key)});
    ASSERT_EQ(this->store->conflicts(key).size(), 1U);
    EXPECT_EQ(this->store->take(key, NodeName{"node9"}, {}).error().code, Code::NotFound);
    const auto ended = by_apply ? this->store->apply(key, "new", {}) : this->store->take(key, NodeName{"node2"}, {});
    ASSERT_TRUE(ended.has_value());
    EXPECT_EQ(ended->spec, by_apply ? "new" : "theirs");
    EXPECT_TRUE(this->store->conflicts().empty());
    EXPECT_THAT(this->store->history(key), testing::Contains(other.get(key)->digest));
    this->reopen();
    EXPECT_THAT(this->store->history(key), testing::Contains(other.get(key)->digest));
  }
}

TYPED_TEST(StoreTest, TheSameChoiceOnBothSidesIsOneRevision) {
  MemoryBackend other_disk;
  Store other{other_disk, this->clock, NodeName{"node2"}};
  (void)other.apply(kDb, "theirs", {});
  (void)this->store->apply(kDb, "mine", {});
  const Conflict here{.peer = NodeName{"node2"}, .theirs = *other.get(kDb), .history = other.history(kDb)};
  const Conflict there{.peer = NodeName{"node1"}, .theirs = *this->store->get(kDb), .history = this->store->history(kDb)};
  this->store->set_conflict(here);
  other.set_conflict(there);
  EXPECT_EQ(this->store->take(kDb, NodeName{"node2"}, {.author = "a"})->digest,
            other.take(kDb, NodeName{"node2"}, {.author = "b"})->digest);
}

TYPED_TEST(StoreTest, TakesAThousandAppliesInARow) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(this->store->apply(kDb, fmt::format("spec {}", i), {}).has_value());
  const auto history = this->store->history(kDb);
  this->reopen();
  EXPECT_EQ(this->store->get(kDb)->generation, 1000U);
  EXPECT_EQ(this->store->history(kDb), history);
  EXPECT_EQ(history.size(), 1000U);
}

TEST(Store, HistoryIsBounded) {
  fake::ManualClock clock;
  MemoryBackend disk;
  Store store{disk, clock, NodeName{"node1"}};
  for (std::size_t i = 0; i < Store::kHistoryMax + 10; ++i) (void)store.apply(kDb, std::to_string(i), {});
  EXPECT_EQ(store.history(kDb).size(), Store::kHistoryMax);
  EXPECT_EQ(store.history(kDb).front(), store.get(kDb)->digest);
}

TEST(Store, DropsTheOldestTombstonesBeyondABound) {
  fake::ManualClock clock;
  MemoryBackend disk;
  Store store{disk, clock, NodeName{"node1"}};
  for (std::size_t i = 0; i < Store::kTombstonesMax + 3; ++i) {
    const ObjectKey key{Kind::Module, fmt::format("m{:05}", i)};
    (void)store.apply(key, "1", {});
    (void)store.remove(key, {});
  }
  const auto all = store.all_with_tombstones();
  ASSERT_EQ(all.size(), Store::kTombstonesMax);
  EXPECT_EQ(all.front().key.name, "m00003");
}

TEST(Store, AFullDiskStopsHistoryFirstAndControlLast) {
  fake::ManualClock clock;
  MemoryBackend disk;
  Store store{disk, clock, NodeName{"node1"}};
  const auto before = store.apply(kDb, "1", {});
  disk.refuse(true, false);
  store.record(ModuleName{"db"}, "safekit", 'E', "lost");
  EXPECT_NE(store.history_problem(), "");
  EXPECT_TRUE(store.apply(kDb, "2", {}).has_value());
  disk.refuse(true, true);
  EXPECT_EQ(store.apply(kDb, "3", {}).error().code, Code::Exhausted);
  EXPECT_EQ(store.submit({.module = "db", .verb = "start"}).error().code, Code::Exhausted);
  EXPECT_EQ(store.get(kDb)->spec, "2");
  disk.refuse(false, false);
  EXPECT_EQ(store.apply(kDb, "3", {})->generation, 3U);
  store.record(ModuleName{"db"}, "safekit", 'E', "kept");
  EXPECT_EQ(store.history_problem(), "");
}

TEST(SqliteBackend, ASecondOneOnTheSameDirectoryIsRefused) {
  Directory directory;
  const auto first = SqliteBackend::open(directory.path());
  ASSERT_TRUE(first.has_value());
  const auto second = SqliteBackend::open(directory.path());
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::Conflict);
  EXPECT_THAT(second.error().what, HasSubstr(fmt::format("pid {}", ::getpid())));
}

TEST(SqliteBackend, ANewerStateDirectoryIsRefusedAndLeftAlone) {
  Directory directory;
  { ASSERT_TRUE(SqliteBackend::open(directory.path()).has_value()); }
  {
    Database database;
    ASSERT_TRUE(database.open(directory.path() + "/control.db", Database::Sync::Full, control_migrations()).has_value());
    ASSERT_TRUE(database.execute("PRAGMA user_version=99").has_value());
  }
  const auto opened = SqliteBackend::open(directory.path());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::Unsupported);
  EXPECT_THAT(opened.error().what, HasSubstr("format 99"));
  EXPECT_THAT(opened.error().what, HasSubstr("up to 1"));
}

TEST(SqliteBackend, ADamagedHistoryIsSetAsideAControlFileIsAnError) {
  Directory directory;
  fake::ManualClock clock;
  {
    auto backend = SqliteBackend::open(directory.path());
    Store store{**backend, clock, NodeName{"node1"}};
    (void)store.apply(kDb, "1", {});
    store.record(ModuleName{"db"}, "safekit", 'E', "x");
  }
  std::ofstream{directory.path() + "/history.db"} << std::string(8192, 'x');
  {
    auto backend = SqliteBackend::open(directory.path());
    ASSERT_TRUE(backend.has_value()) << backend.error().what;
    Store store{**backend, clock, NodeName{"node1"}};
    EXPECT_EQ(store.get(kDb)->spec, "1");
    EXPECT_TRUE(store.events(ModuleName{"db"}, 10, true).empty());
    EXPECT_TRUE(std::filesystem::exists(directory.path() + "/history.db.damaged"));
  }
  std::ofstream{directory.path() + "/control.db"} << std::string(8192, 'x');
  const auto damaged = SqliteBackend::open(directory.path());
  ASSERT_FALSE(damaged.has_value());
  EXPECT_EQ(damaged.error().code, Code::Corrupt);
}

/// What a crash leaves is what the files hold at that moment: a copy of them, made while the store is open.
TEST(SqliteBackend, ACopyOfTheFilesAtAnyMomentHasAllThatWasPromised) {
  Directory directory;
  Directory crashed;
  fake::ManualClock clock;
  auto backend = SqliteBackend::open(directory.path());
  Store store{**backend, clock, NodeName{"node1"}};
  for (int i = 0; i < 200; ++i) {
    (void)store.apply(kDb, fmt::format("spec {}", i), {});
    const auto id = store.submit({.module = "db", .verb = "start"});
    if (i % 2 == 0) (void)store.finish(*id, "done");
    if (i % 20 != 0) continue;
    for (const char* file : {"control.db", "control.db-wal", "history.db", "history.db-wal"}) {
      std::filesystem::copy_file(directory.path() + "/" + file, crashed.path() + "/" + file,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::remove(crashed.path() + "/control.db-shm");
    std::filesystem::remove(crashed.path() + "/history.db-shm");
    auto after = SqliteBackend::open(crashed.path());
    ASSERT_TRUE(after.has_value()) << after.error().what;
    Store recovered{**after, clock, NodeName{"node1"}};
    EXPECT_EQ(recovered.get(kDb), store.get(kDb));
    EXPECT_EQ(recovered.history(kDb), store.history(kDb));
    EXPECT_EQ(recovered.pending(ModuleName{"db"}), store.pending(ModuleName{"db"}));
  }
}

TEST(SqliteBackend, TheLogsAreCopiedIntoTheFilesAndDoNotGrow) {
  constexpr std::uintmax_t kLogBytesMax = 16U << 20;  // two batches' worth
  constexpr auto kSoon = std::chrono::seconds{20};
  constexpr int kBatchesMax = 100;  // the history's log grows more slowly
  Directory directory;
  fake::ManualClock clock;
  const auto backend = SqliteBackend::open(directory.path());
  Store store{**backend, clock, NodeName{"node1"}};
  const auto path = [&](const std::string& name) { return directory.path() + "/" + name; };
  const auto copied = [&](const std::string& name) { return std::filesystem::file_size(path(name)) > 64U << 10; };
  for (int batch = 0; batch < 10 || !copied("history.db"); ++batch) {
    ASSERT_LT(batch, kBatchesMax);
    const auto before = std::filesystem::last_write_time(path("control.db"));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(store.apply(kDb, fmt::format("spec {} {}", batch, i), {}).has_value());
      ASSERT_TRUE(store.finish(*store.submit({.module = "db", .verb = "start"}), "done"));
      store.record(ModuleName{"db"}, "heart", 'E', fmt::format("event {} {}", batch, i));
    }
    // They are copied by a thread beside the commits, which a disk of any speed is given time for.
    const auto end = std::chrono::steady_clock::now() + kSoon;
    while (std::filesystem::last_write_time(path("control.db")) == before) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "batch " << batch << " is not copied";
      std::this_thread::yield();
    }
  }
  EXPECT_TRUE(copied("control.db"));
  EXPECT_LT(std::filesystem::file_size(path("control.db-wal")), kLogBytesMax);
  EXPECT_LT(std::filesystem::file_size(path("history.db-wal")), kLogBytesMax);
}

TEST(Migrations, AreNumberedWithoutGapAndOnlyTheMissingOnesAreRun) {
  for (const auto known : {control_migrations(), history_migrations()}) {
    for (std::size_t i = 0; i < known.size(); ++i) EXPECT_EQ(known[i].number, static_cast<int>(i) + 1);
    EXPECT_EQ(pending_migrations(known, 0, "f")->size(), known.size());
    EXPECT_TRUE(pending_migrations(known, known.back().number, "f")->empty());
  }
}

}  // namespace
}  // namespace safekit::store
