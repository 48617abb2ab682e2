#!/usr/bin/env bash
# Install the build into an empty prefix, then build and run somebody else's program against it, once found by CMake
# and once by pkg-config. The prefix is not the configured one, so this also proves that the tree can be moved.
#   install_and_link.sh BUILD_DIR LIBDIR VERSION
set -euo pipefail
build=$1 libdir=$2 version=$3
here=$(cd "$(dirname "$0")" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }

echo "== every public header compiles alone, as C11 and as C++"
for header in "$prefix"/include/wsbus/*.h; do
    name=wsbus/$(basename "$header")
    echo "#include <$name>" | cc -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$prefix/include" -x c -
    if command -v c++ >/dev/null; then
        echo "#include <$name>" | c++ -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$prefix/include" -x c++ -
    fi
done

echo "== find_package(wsbus)"
cmake -S "$here/consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DWANT_VERSION="$version" >"$work/cmake.log" ||
    { cat "$work/cmake.log"; exit 1; }
cmake --build "$work/cmake"
"$work/cmake/consumer"

echo "== pkg-config wsbus"
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
[ "$(pkg-config --modversion wsbus)" = "$version" ]
# shellcheck disable=SC2046 # the flags are words
cc -Wall -Werror "$here/consumer/main.c" -o "$work/consumer" $(pkg-config --cflags --libs wsbus)
LD_LIBRARY_PATH=$prefix/$libdir "$work/consumer"

echo "== the program asks for libwsbus.so.0"
readelf -d "$work/consumer" | grep -F 'Shared library: [libwsbus.so.0]'
