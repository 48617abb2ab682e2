#!/usr/bin/env python3
"""See the layer check fail: each bad_* tree beside this file must give exactly the lines of its file 'expect'.

The tree good/ holds one include of each allowed kind and must give none.
"""
import os
import sys

import check

HERE = os.path.dirname(os.path.abspath(__file__))


def expected(tree):
    path = os.path.join(HERE, tree, "expect")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def main():
    trees = sorted(name for name in os.listdir(HERE) if name == "good" or name.startswith("bad_"))
    failed = 0
    for tree in trees:
        want, got = expected(tree), check.check(os.path.join(HERE, tree))
        ok = got == want and bool(want) == tree.startswith("bad_")
        print("ok  " if ok else "FAIL", tree)
        if not ok:
            failed += 1
            print("  wanted:", *want, "  got:", *got, sep="\n    ")
    if "good" not in trees or len(trees) < 2:
        print("FAIL the fixture trees are missing")
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
