# sk_room(<path> [ROOMS <path>...] [LIBS <target>...]): one static library for a second-level folder, linked only with
# the rooms it names (docs/layers.txt), and one test program for the *_test.cpp beside the code. Files that hold a
# `main` are named in sk_program instead.
add_library(sk_flags INTERFACE)
target_compile_options(sk_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<BOOL:${SK_WERROR}>:-Werror>)
# GCC 12 sees overruns and unset members in its own std::string and std::variant when it optimises (GCC PR 105329, 105651): these are left to ASan.
target_compile_options(sk_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-maybe-uninitialized>)
target_include_directories(sk_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(sk_flags INTERFACE _FILE_OFFSET_BITS=64)

# One precompiled header is shared by all rooms, so all are compiled with the same code-model flags.
add_library(sk_pch OBJECT ${CMAKE_CURRENT_LIST_DIR}/pch.cpp)
target_link_libraries(sk_pch PUBLIC sk_flags fmt::fmt tl::expected)
target_precompile_headers(sk_pch PUBLIC <algorithm> <array> <chrono> <compare> <cstdint> <functional> <map> <memory>
  <optional> <set> <span> <string> <string_view> <unordered_map> <utility> <variant> <vector> <fmt/format.h> <tl/expected.hpp>)

function(sk_target_name out path)
  string(REPLACE "/" "_" name ${path})
  set(${out} ${name} PARENT_SCOPE)
endfunction()

function(sk_link target)
  cmake_parse_arguments(ARG "" "" "ROOMS;LIBS" ${ARGN})
  foreach(room ${ARG_ROOMS})
    sk_target_name(dep ${room})
    target_link_libraries(${target} PUBLIC ${dep})
  endforeach()
  target_link_libraries(${target} PUBLIC sk_flags fmt::fmt tl::expected ${ARG_LIBS})
endfunction()

function(sk_room path)
  cmake_parse_arguments(ARG "" "" "ROOMS;LIBS;EXCLUDE;TEST_ROOMS" ${ARGN})
  sk_target_name(name ${path})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${path}/*.cpp)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${path}/*_test.cpp)
  foreach(file ${tests} ${ARG_EXCLUDE})
    get_filename_component(file ${file} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR}/${path})
    list(REMOVE_ITEM sources ${file})
  endforeach()
  if(NOT sources)
    set(sources ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
  endif()
  add_library(${name} STATIC ${sources})
  sk_link(${name} ROOMS ${ARG_ROOMS} LIBS ${ARG_LIBS})
  target_precompile_headers(${name} REUSE_FROM sk_pch)
  if(tests)
    add_executable(${name}_test ${tests})
    sk_link(${name}_test ROOMS ${path} ${ARG_TEST_ROOMS} LIBS GTest::gmock GTest::gtest_main)
    target_precompile_headers(${name}_test REUSE_FROM sk_pch)
    target_compile_definitions(${name}_test PRIVATE SK_TESTDATA="${CMAKE_SOURCE_DIR}/${path}/testdata")
    add_test(NAME ${path} COMMAND ${name}_test)
    set_tests_properties(${path} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()

# sk_program(<name> SOURCES <file>... [ROOMS ...] [LIBS ...]): a program; only these construct real ports.
function(sk_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;ROOMS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  sk_link(${name} ROOMS ${ARG_ROOMS} LIBS ${ARG_LIBS})
  target_precompile_headers(${name} REUSE_FROM sk_pch)
endfunction()
