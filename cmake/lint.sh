#!/usr/bin/env bash
# How the C files of the project are formatted and checked, in one place for CMake's targets and for ./dev.
#   cmake/lint.sh format                rewrite every file the way clang-format wants it
#   cmake/lint.sh check-format          fail when it would change one
#   cmake/lint.sh check-tidy BUILD_DIR  clang-tidy over all that BUILD_DIR compiles
set -euo pipefail
cd "$(dirname "$0")/.."

c_files() {
    find libwsbus wsgate wsctl wsbench examples tests bench \( -name node_modules -o -path tests/layers \) -prune -o -type f -name '*.[ch]' -print0 2>/dev/null || true
}

case "${1:-}" in
format)
    c_files | xargs -0r clang-format -i
    ;;
check-format)
    c_files | xargs -0r clang-format --dry-run -Werror
    ;;
check-tidy)
    build=${2:?check-tidy needs a build directory}
    # run-clang-tidy takes patterns: everything of ours, nothing of a dependency that is built along.
    /usr/bin/python3 "$(command -v run-clang-tidy)" -quiet -p "$build" "^$PWD/(libwsbus|wsgate|wsctl|wsbench|examples|tests|bench)/"
    ;;
*)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
