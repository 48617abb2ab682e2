#!/usr/bin/env python3
"""What abi.py makes of changes that are compatible, and of those that are not."""
import copy
import sys

import abi

BASE = {
    "soname": "lib.so.0",
    "symbols": ["wsb_one@@V_0", "wsb_two@@V_0"],
    "functions": {"wsb_one": "bool wsb_one(int)", "wsb_two": "void wsb_two(void)"},
    "enumerators": {"WSB_A": 0, "WSB_B": 1},
    "structs": {
        "wsb_grows": {"size": 24, "members": [["size", "size_t", 0, 8], ["text", "const char*", 8, 8], ["flag", "bool", 16, 1]]},
        "wsb_fixed": {"size": 8, "members": [["v", "uint64_t", 0, 8]]},
    },
}


def grown(members, size=32):
    return lambda it: it["structs"].update(wsb_grows={"size": size, "members": members})


OLD = BASE["structs"]["wsb_grows"]["members"]
CASES = [  # what changes, how many complaints, how many additions
    ("nothing", lambda it: None, 0, 0),
    ("a function more", lambda it: (it["symbols"].append("wsb_new@@V_0"), it["functions"].update(wsb_new="int wsb_new(void)")), 0, 2),
    ("a function less", lambda it: it["symbols"].remove("wsb_two@@V_0"), 1, 0),
    ("a function of another version", lambda it: it.update(symbols=["wsb_one@@V_1", "wsb_two@@V_0"]), 1, 1),
    ("another prototype", lambda it: it["functions"].update(wsb_one="bool wsb_one(long)"), 1, 0),
    ("an enumerator more", lambda it: it["enumerators"].update(WSB_C=2), 0, 1),
    ("an enumerator of another value", lambda it: it["enumerators"].update(WSB_B=2), 1, 0),
    ("a member at the end", grown(OLD + [["more", "int", 24, 4]]), 0, 1),
    ("a member in the padding", grown(OLD + [["more", "bool", 17, 1]], 24), 1, 0),
    ("a member in the middle", grown([OLD[0], ["more", "int", 8, 4], *OLD[1:]]), 2, 0),
    ("a member of another type", grown([OLD[0], ["text", "char*", 8, 8], OLD[2]], 24), 1, 0),
    ("a member less", grown(OLD[:2], 16), 1, 0),
    ("a struct without a size that grows", lambda it: it["structs"].update(wsb_fixed={"size": 16, "members": [["v", "uint64_t", 0, 8], ["w", "int", 8, 4]]}), 1, 0),
    ("a struct less", lambda it: it["structs"].pop("wsb_fixed"), 1, 0),
    ("a struct more", lambda it: it["structs"].update(wsb_new={"size": 8, "members": [["v", "uint64_t", 0, 8]]}), 0, 1),
    ("another soname", lambda it: it.update(soname="lib.so.1"), 1, 0),
]


def main():
    failed = 0
    for name, change, wrong, added in CASES:
        new = copy.deepcopy(BASE)
        change(new)
        got = tuple(map(len, abi.compare(BASE, new)))
        if got != (wrong, added):
            failed += 1
            print("%s: %s instead of %s" % (name, abi.compare(BASE, new), (wrong, added)))
    print("%d cases, %d failed" % (len(CASES), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
