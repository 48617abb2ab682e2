#!/usr/bin/env python3
"""The binary interface of libwsbus is that of the baseline, or more: programs that are installed go on.

    abi.py LIBRARY INCLUDE_DIRECTORY BASELINE            compare
    abi.py LIBRARY INCLUDE_DIRECTORY BASELINE --record   add what is new to the baseline; refuse what is incompatible
    abi.py LIBRARY INCLUDE_DIRECTORY BASELINE --break    write the baseline anew: before a release, or with a new SONAME

The baseline has the exported symbols with their versions and prototypes, each enumerator with its value, and each struct with its
size and the place, size and type of each member, as x86-64 lays them out. Compatible is: a new function, enumerator or
struct; a new member at the end of a struct that begins with `size`. Everything else is not. What is new and not in the baseline
is a failure as well, since nothing would guard it.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
STRUCT = re.compile(r"\bstruct (wsb_\w+) \{([^{}]*)\}", re.DOTALL)
ENUM = re.compile(r"\benum(?: (\w+))? \{([^{}]*)\}", re.DOTALL)
MEMBER = re.compile(r"^(.*?[\s*])(\w+)((?:\[\w+\])*)$", re.DOTALL)
FUNCTION = re.compile(r"^WSB_API\b([^;{]*);", re.MULTILINE)


def words(text):
    """One space between words, none beside what is not one."""
    return re.sub(r"\s*([*(),\[\]])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


def read_headers(directory):
    structs, enumerators, functions = {}, [], {}
    for header in sorted(pathlib.Path(directory).glob("*.h")):
        text = COMMENT.sub(" ", header.read_text(encoding="utf-8"))
        text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
        for name, body in STRUCT.findall(text):
            members = [MEMBER.match(one.strip()) for one in body.split(";") if one.strip()]
            if not all(members):
                sys.exit("%s: cannot read struct %s" % (header.name, name))
            structs[name] = [(match.group(2), words(match.group(1)) + match.group(3)) for match in members]
        for _, body in ENUM.findall(text):
            enumerators += [one.split("=")[0].strip() for one in body.split(",") if one.strip()]
        for prototype in FUNCTION.findall(text):
            prototype = words(re.sub(r"__attribute__\(\(.*?\)\)\)?", "", prototype))
            functions[re.search(r"\b(wsb_\w+)\(", prototype).group(1)] = prototype
    return structs, enumerators, functions


def lay_out(include, structs, enumerators):
    """What the compiler makes of them."""
    lines = ["#include <stdio.h>", "#include <stddef.h>"]
    lines += ["#include <wsbus/%s>" % header.name for header in sorted(pathlib.Path(include).glob("*.h"))]
    lines += ["int main(void) {"]
    for name, members in structs.items():
        lines.append('printf("%s . %%zu 0\\n", sizeof(struct %s));' % (name, name))
        for member, _ in members:
            lines.append('printf("%s %s %%zu %%zu\\n", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));' % (
                name, member, name, member, name, member))
    lines += ['printf("%s = %%lld 0\\n", (long long)%s);' % (name, name) for name in enumerators]
    lines += ["return 0; }"]
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder, "abi.c"), pathlib.Path(folder, "abi")
        source.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run(["cc", "-std=c11", "-I", pathlib.Path(include).parent, source, "-o", program], check=True)
        output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    return [line.split() for line in output.splitlines()]


def exported(library):
    table = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library], check=True, capture_output=True, text=True).stdout
    symbols = [line.split()[-1] for line in table.splitlines() if line.split()[-2] == "T"]
    soname = re.search(r"SONAME.*\[(.*)\]", subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout)
    return sorted(symbols), soname.group(1) if soname else ""


def interface(library, include):
    structs, enumerators, functions = read_headers(include)
    symbols, soname = exported(library)
    found = {"soname": soname, "symbols": symbols, "functions": functions, "enumerators": {}, "structs": {}}
    types = {(name, member): type_ for name, members in structs.items() for member, type_ in members}
    for name, member, first, second in lay_out(include, structs, enumerators):
        if member == "=":
            found["enumerators"][name] = int(first)
        elif member == ".":
            found["structs"][name] = {"size": int(first), "members": []}
        else:
            found["structs"][name]["members"].append([member, types[name, member], int(first), int(second)])
    return found


def compare_struct(name, old, new):
    """(incompatible changes, additions)."""
    if new is None:
        return ["struct %s is gone" % name], []
    kept = new["members"][:len(old["members"])]
    wrong = ["struct %s: member %s is %s, was %s" % (name, was[0], now, was) for was, now in zip(old["members"], kept) if was != now]
    if len(kept) < len(old["members"]):
        wrong.append("struct %s has lost members" % name)
    added = new["members"][len(old["members"]):]
    if not wrong and (added or new["size"] != old["size"]):
        if not old["members"] or old["members"][0][0] != "size":
            wrong.append("struct %s has no size member and cannot grow" % name)
        wrong += ["struct %s: %s lies where older programs have padding" % (name, one[0]) for one in added if one[2] < old["size"]]
    return wrong, ["struct %s: %s" % (name, one[0]) for one in added] if not wrong else []


def compare(old, new):
    wrong, added = [], []
    if old["soname"] != new["soname"]:
        wrong.append("SONAME is %s, was %s" % (new["soname"], old["soname"]))
    wrong += ["%s is not exported any more" % symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
    added += ["symbol %s" % symbol for symbol in new["symbols"] if symbol not in old["symbols"]]
    for kind, what in (("functions", "the prototype of %s"), ("enumerators", "the value of %s")):
        for name, value in old[kind].items():
            if new[kind].get(name) != value:
                wrong.append((what + " is %s, was %s") % (name, new[kind].get(name), value))
        added += ["%s %s" % (kind[:-1], name) for name in new[kind] if name not in old[kind]]
    for name, value in old["structs"].items():
        more_wrong, more_added = compare_struct(name, value, new["structs"].get(name))
        wrong, added = wrong + more_wrong, added + more_added
    added += ["struct %s" % name for name in new["structs"] if name not in old["structs"]]
    return wrong, added


def main(library, include, baseline, *mode):
    path = pathlib.Path(baseline)
    new = interface(library, include)
    text = json.dumps(new, indent=1, sort_keys=True) + "\n"
    text = re.sub(r"\[\s+((?:\"[^\"]*\"|\d+),)\s+(\"[^\"]*\",)\s+(\d+,)\s+(\d+)\s+\]", r"[\1 \2 \3 \4]", text)  # a member a line
    if mode == ("--break",):
        path.write_text(text, encoding="utf-8")
        return 0
    wrong, added = compare(json.loads(path.read_text(encoding="utf-8")), new)
    for line in wrong:
        print("incompatible: %s" % line)
    if mode == ("--record",) and not wrong:
        path.write_text(text, encoding="utf-8")
        added = []
    for line in added:
        print("not in the baseline: %s (abi.py … --record)" % line)
    print("%d symbols, %d structs, %d enumerators; %d incompatible, %d new" % (
        len(new["symbols"]), len(new["structs"]), len(new["enumerators"]), len(wrong), len(added)))
    return 1 if wrong or added else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
