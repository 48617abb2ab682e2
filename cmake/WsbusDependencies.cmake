# Third-party libraries, each as one imported or SYSTEM target; their warnings are not ours.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB 1.2.11 REQUIRED)
option(WSBUS_IGZIP "compress with ISA-L where that is faster, if it is installed" ON)
if(WSBUS_IGZIP)
    pkg_check_modules(isal QUIET IMPORTED_TARGET libisal>=2.30)
endif()
pkg_check_modules(zmq REQUIRED IMPORTED_TARGET libzmq>=4.3) # the handlers' end; the gate speaks ZMTP itself
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium>=1.0.18)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(confuse REQUIRED IMPORTED_TARGET libconfuse>=3.3)
if(WSBUS_TESTS)
    pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)
    pkg_check_modules(lws QUIET IMPORTED_TARGET libwebsockets>=4) # another implementation, to test with
endif()

# llhttp: a CMake package, a pkg-config module, or the sources that Debian ships (node-llhttp).
find_package(llhttp CONFIG QUIET)
if(TARGET llhttp::llhttp_shared OR TARGET llhttp::llhttp_static)
    add_library(wsbus_llhttp INTERFACE)
    target_link_libraries(wsbus_llhttp INTERFACE
        $<IF:$<TARGET_EXISTS:llhttp::llhttp_static>,llhttp::llhttp_static,llhttp::llhttp_shared>)
else()
    pkg_check_modules(llhttp QUIET IMPORTED_TARGET libllhttp)
    if(TARGET PkgConfig::llhttp)
        add_library(wsbus_llhttp INTERFACE)
        target_link_libraries(wsbus_llhttp INTERFACE PkgConfig::llhttp)
    else()
        find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
        find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp /usr/include NO_DEFAULT_PATH)
        if(NOT LLHTTP_SOURCE_DIR OR NOT LLHTTP_INCLUDE_DIR)
            message(FATAL_ERROR "llhttp not found: install node-llhttp (Debian), libllhttp-dev or llhttp-devel")
        endif()
        add_library(wsbus_llhttp STATIC
            "${LLHTTP_SOURCE_DIR}/api.c" "${LLHTTP_SOURCE_DIR}/http.c" "${LLHTTP_SOURCE_DIR}/llhttp.c")
        target_link_libraries(wsbus_llhttp PRIVATE wsbus_hardening)
        target_include_directories(wsbus_llhttp SYSTEM PUBLIC "${LLHTTP_INCLUDE_DIR}")
        target_compile_options(wsbus_llhttp PRIVATE -w)
        # Loose mode accepts a bare CR, "Host : a" and wrong chunk ends; a unit test proves that this took effect.
        target_compile_definitions(wsbus_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
    endif()
endif()
