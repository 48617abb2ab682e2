# One folder is one module: a static library that sees its own level and those below it, and the tests that link it.
# Settings live on targets.

add_library(wsbus_settings INTERFACE)
target_link_libraries(wsbus_settings INTERFACE wsbus_hardening)
target_link_options(wsbus_settings INTERFACE -Wl,--as-needed) # a program depends on the libraries that it uses
target_compile_features(wsbus_settings INTERFACE c_std_11)
target_compile_definitions(wsbus_settings INTERFACE _GNU_SOURCE WSBUS_VERSION="${PROJECT_VERSION}")
target_compile_options(wsbus_settings INTERFACE
    -fno-common -fvisibility=hidden -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wswitch -Wformat=2 -Wno-format-nonliteral)
# Clearing or copying a struct with `rep stos` costs more than all else that a short function does; a few wide stores do not.
include(CheckCCompilerFlag)
set(WSBUS_STRUCT_FLAGS "-mmemset-strategy=unrolled_loop:384:noalign,libcall:-1:noalign" "-mmemcpy-strategy=unrolled_loop:384:noalign,libcall:-1:noalign")
check_c_compiler_flag("-mmemset-strategy=unrolled_loop:384:noalign,libcall:-1:noalign" WSBUS_HAS_STRUCT_FLAGS)
if(WSBUS_HAS_STRUCT_FLAGS)
    target_compile_options(wsbus_settings INTERFACE $<$<NOT:$<CONFIG:Debug>>:${WSBUS_STRUCT_FLAGS}>) # clang-tidy reads the Debug build
endif()
if(WSBUS_WERROR)
    target_compile_options(wsbus_settings INTERFACE -Werror)
endif()
if(WSBUS_SANITIZE STREQUAL "address")
    target_compile_options(wsbus_settings INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(wsbus_settings INTERFACE -fsanitize=address,undefined)
elseif(WSBUS_SANITIZE STREQUAL "thread")
    target_compile_options(wsbus_settings INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
    target_link_options(wsbus_settings INTERFACE -fsanitize=thread)
elseif(WSBUS_SANITIZE)
    message(FATAL_ERROR "WSBUS_SANITIZE is '${WSBUS_SANITIZE}'; it can be empty, 'address' or 'thread'")
endif()
if(WSBUS_FUZZ)
    target_compile_options(wsbus_settings INTERFACE -fsanitize=fuzzer-no-link)
    add_custom_target(fuzzers) # all fuzz targets, and nothing else
endif()

# wsb_module(NAME SOURCES file… [LINK target…]): the library of one folder. Includes are written from the roots
# libwsbus/ and wsgate/ ("base/buf.h", "ws/frame.h"), so that the layer check can read them.
function(wsb_module name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/libwsbus/include" "${PROJECT_SOURCE_DIR}/libwsbus")
    if(CMAKE_CURRENT_SOURCE_DIR MATCHES "/wsgate")
        target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/wsgate")
    endif()
    target_link_libraries(${name} PUBLIC wsbus_settings ${ARG_LINK})
endfunction()

# wsb_unit_test(NAME SOURCES file… LINK module…): a cmocka program, run by ctest as NAME with label "unit".
function(wsb_unit_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/wsgate")
    target_link_libraries(${name} PRIVATE wsbus_settings ${ARG_LINK} PkgConfig::cmocka)
    target_compile_options(${name} PRIVATE -Werror=unused-function)
    target_compile_definitions(${name} PRIVATE WSBUS_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND ${name})
    # The gates of these tests speak ZeroMQ; handlers would look for shared memory first.
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120 ENVIRONMENT WSBUS_LINK=zmq)
endfunction()

# wsb_fuzz_target(NAME SOURCES file… LINK module…): tests/fuzz/NAME.c with corpus/NAME and regressions/NAME. Built with
# libFuzzer when WSBUS_FUZZ is on; otherwise with a small driver that replays the stored inputs as a unit test.
function(wsb_fuzz_target name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    set(target fuzz_${name})
    if(WSBUS_FUZZ)
        add_executable(${target} ${ARG_SOURCES})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        add_dependencies(fuzzers ${target})
    else()
        add_executable(${target} ${ARG_SOURCES} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c")
        add_test(NAME ${target} COMMAND ${target} "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}"
            "${PROJECT_SOURCE_DIR}/tests/fuzz/regressions/${name}")
        set_tests_properties(${target} PROPERTIES LABELS unit TIMEOUT 120)
    endif()
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}/wsgate")
    target_link_libraries(${target} PRIVATE wsbus_settings ${ARG_LINK})
endfunction()
