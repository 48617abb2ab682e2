#!/usr/bin/env python3
"""libwsbus.so exports what its public headers declare with WSB_API, all of it, and nothing else.

    exports.py LIBRARY HEADER_DIRECTORY
"""
import pathlib
import re
import subprocess
import sys

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DECLARATION = re.compile(r"^WSB_API\b([^;]*);", re.MULTILINE)
NAME = re.compile(r"\b(wsb_\w+)\s*\(")


def declared(headers):
    names = set()
    for header in sorted(headers.glob("*.h")):
        for declaration in DECLARATION.findall(COMMENT.sub(" ", header.read_text(encoding="utf-8"))):
            name = NAME.search(declaration)
            if not name:
                sys.exit(f"{header.name}: cannot find the name of a wsb_ function in: WSB_API{declaration};")
            names.add(name.group(1))
    return names


def exported(library):
    table = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    # The linker adds the name of our version node, as an absolute symbol.
    symbols = [(line.split()[-2], line.split()[-1].split("@")[0]) for line in table.splitlines()]
    return {name for kind, name in symbols if (kind, name) != ("A", "WSBUS_0")}


def main(library, headers):
    want, got = declared(pathlib.Path(headers)), exported(library)
    for name in sorted(got - want):
        print(f"exported, but in no public header: {name}")
    for name in sorted(want - got):
        print(f"in a public header, but not exported: {name}")
    print(f"{len(got)} symbols exported, {len(want)} declared")
    return 0 if want and want == got else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
