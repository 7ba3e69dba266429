# Compiler settings that every target shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# ccache must be told that precompiled headers and __TIME__ do not change what a file means, and that a second checkout
# elsewhere is the same code.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

# -g1 keeps function names and lines for profiles and crash reports at a tenth of the size of -g.
# Assertions that guard safety are our own macro (raft/assert.h) and stay on in every build.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

set(QUORATE_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")
if(QUORATE_SANITIZE)
  add_compile_options(-fsanitize=${QUORATE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QUORATE_SANITIZE})
endif()

option(QUORATE_FUZZ "Build what is in tests/fuzz as libFuzzer programs; clang only" OFF)
if(QUORATE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Werror)
# gcc needs this to let ccache see through a precompiled header.
add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)

# quorate_library(NAME SOURCES...): a static library whose headers are included from the repository root
# ("raft/raft.h"), with the standard library precompiled once.
function(quorate_library name)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_precompile_headers(${name} PRIVATE <algorithm> <chrono> <cstdint> <deque> <functional> <map>
                            <memory> <optional> <span> <string> <string_view> <variant> <vector>)
endfunction()
