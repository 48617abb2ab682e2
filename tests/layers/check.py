#!/usr/bin/env python3
"""Read every #include of the project and fail on one that goes up or sideways.

Knowledge flows one way: a folder includes itself and what stands in its row below, nothing else. To allow something
new, edit the tables, and say in the commit why the level may know it. A folder that is not in the table is an error,
so that a new one gets its level before it gets its code.

    check.py [ROOT]     exit 0: clean; 1: violations, one line each; 2: not a source tree
"""
import fnmatch
import os
import re
import sys

# --- Who may include whom -------------------------------------------------------------------------------------------

PUBLIC = "libwsbus/include/wsbus"
BASE = "libwsbus/base"
WIRE = "libwsbus/wire"
RING = "libwsbus/ring"
ZMTP = "libwsbus/zmtp"
LINK = "libwsbus/link"
API = "libwsbus/api"
WS = "libwsbus/ws"
TLS = "libwsbus/tls"
TOKEN = "libwsbus/token"
DIAL = "libwsbus/dial"

LEVEL_0 = {PUBLIC, BASE, WIRE}
POLICY = "wsgate/policy"
LEVEL_1 = {"wsgate/loop", POLICY}
SERVICE = "wsgate/service"
LEVEL_2 = {"wsgate/net", "wsgate/access", LINK}
LEVEL_3 = {TLS, WS, TOKEN, "wsgate/http", "wsgate/bus", "wsgate/config"}
BELOW_SESSION = LEVEL_0 | LEVEL_1 | LEVEL_2 | LEVEL_3
BELOW_HUB = BELOW_SESSION | {"wsgate/session"}
BELOW_GATE = BELOW_HUB | {"wsgate/hub"}

FOLDERS = {
    # level 0: the C library only
    PUBLIC: set(),
    BASE: {PUBLIC},
    WIRE: {PUBLIC, BASE},
    # level 1
    "wsgate/loop": LEVEL_0,
    POLICY: set(),
    RING: {PUBLIC, BASE},
    ZMTP: LEVEL_0,
    # level 2: those that do I/O
    "wsgate/net": LEVEL_0 | LEVEL_1,
    "wsgate/access": LEVEL_0 | {POLICY},
    SERVICE: LEVEL_0,
    LINK: LEVEL_0 | {RING, ZMTP},
    # level 3: bytes in, bytes and events out; never each other
    TLS: LEVEL_0,
    TOKEN: LEVEL_0,
    "wsgate/http": LEVEL_0 | {POLICY},
    WS: LEVEL_0,
    "wsgate/bus": LEVEL_0 | {POLICY},
    "wsgate/config": LEVEL_0 | {POLICY},
    # level 4: the only place that joins level 3
    "wsgate/session": BELOW_SESSION,
    # level 5: the hub decides what goes where; gate owns it, sessions and links; admin looks at a gate; main.c starts both
    "wsgate/hub": BELOW_HUB | {RING},
    "wsgate/gate": BELOW_GATE | {RING, DIAL, SERVICE},
    "wsgate/admin": BELOW_GATE | {"wsgate/gate"},
    "wsgate/main.c": BELOW_GATE | {SERVICE, "wsgate/gate", "wsgate/admin"},
    # beside sessions: a client's connection from its URL on, for those who may wait
    DIAL: LEVEL_0 | {WS, TLS},
    # beside the gate
    API: LEVEL_0 | {LINK, DIAL, WS, TLS},
    "wsctl": {PUBLIC, BASE, TOKEN},
    "wsbench": {PUBLIC, BASE, WS, TLS},  # a client of any server; frames and masks are the same at both ends
    "examples": {PUBLIC},
}

# A folder whose files know each other one way only: the nouns from the bottom up. A file includes no header of a noun that
# stands behind its own; headers that are named here by no file of their own are for all.
ORDER = {
    "wsgate/hub": """
        dead_letters hub.h round link hearing meta publish presence groups alone accounts pause deliver undeliverable place move leave hands
        going drain life ack admit ages express incoming.h register commands step take receive hub.c
    """.split(),
}

# --- Who may include which header from outside the project ----------------------------------------------------------

# A pattern, and the folders (or single files) that may include what it matches. The first match decides.
THIRD_PARTY = [
    ("openssl/*", {TLS, TOKEN, "libwsbus/ws/handshake.c", "wsbench"}),
    ("zlib.h", {WS, "wsgate/http"}),
    ("isa-l/*", {"libwsbus/ws/igzip.c"}),
    ("llhttp.h", {"wsgate/http"}),
    ("zmq.h", {LINK}),
    ("sodium.h", {ZMTP, LINK}),
    ("confuse.h", {"wsgate/config"}),
    ("jansson.h", {TOKEN, "wsgate/bus", "wsgate/session", "wsgate/gate", "wsgate/admin", API, "wsctl"}),
    ("uthash.h", {"wsgate/bus/table.h"}),
    ("utlist.h", {"wsgate/bus", "wsgate/session", "wsgate/hub", "wsgate/gate", "wsgate/admin", LINK, API, "wsctl"}),
]

# The C library and the kernel.
SYSTEM = """
    assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h threads.h time.h
    dirent.h dlfcn.h endian.h fcntl.h fnmatch.h getopt.h glob.h grp.h libgen.h malloc.h netdb.h poll.h pthread.h pwd.h regex.h
    sched.h semaphore.h signal.h spawn.h strings.h syslog.h termios.h unistd.h wchar.h
    arpa/* linux/* net/* netinet/* sys/* *mmintrin.h arm_neon.h
""".split()

# What waits, connects or starts something has no place in a pure core.
PURE = {WIRE, ZMTP} | LEVEL_3
DOES_IO = """
    netdb.h poll.h pthread.h semaphore.h signal.h spawn.h sys/epoll.h sys/eventfd.h sys/sendfile.h sys/signalfd.h
    sys/socket.h sys/timerfd.h sys/un.h sys/wait.h threads.h
""".split()

# --- The check ------------------------------------------------------------------------------------------------------

ROOTS = ("libwsbus", "wsgate", "wsctl", "wsbench", "examples")
# Where an include is looked for after the folder of the file itself. All are searched for every file, so that an
# include that a compiler would not even find from there is named for what it is.
SEARCH = ("libwsbus/include", "libwsbus", "wsgate", "wsctl", "wsbench", "examples", "")
NOT_OURS = {"node_modules", "__pycache__"}

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|include_next|import)\b[ \t]*([^\n]*)", re.MULTILINE)
LITERAL = re.compile(r'^(?:"([^"]+)"|<([^>]+)>)')


def folder_of(path):
    """The row of FOLDERS that a file belongs to, or None."""
    if path in FOLDERS:
        return path
    folder = os.path.dirname(path)
    if folder in FOLDERS:
        return folder
    return "examples" if path.startswith("examples/") else None


def source_files(root):
    for top in ROOTS:
        for folder, subfolders, names in os.walk(os.path.join(root, top)):
            subfolders[:] = sorted(set(subfolders) - NOT_OURS)
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def includes_of(root, path):
    """(line, text after #include) for each include, comments ignored."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    text = COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment.group()), text)
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1).strip()


def find_in_project(root, path, name):
    for folder in (os.path.dirname(path), *SEARCH):
        candidate = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def judge_outside(path, folder, name):
    """The complaint about including NAME, which is no file of the project; None when it is allowed."""
    for pattern, allowed in THIRD_PARTY:
        if fnmatch.fnmatchcase(name, pattern):
            return None if folder in allowed or path in allowed else f"{folder} may not include the third-party <{name}>"
    if not matches(name, SYSTEM):
        return f"<{name}> is in no table: name it and who may include it"
    if folder in PURE and matches(name, DOES_IO):
        return f"{folder} is a pure core and may not include <{name}>"
    return None


def place_in_order(path, folder):
    """Where a file of an ordered folder stands: by its name, or by that of its noun; None: nowhere."""
    name = os.path.basename(path)
    for at, noun in enumerate(ORDER[folder]):
        if noun in (name, os.path.splitext(name)[0]):
            return at
    return None


def judge_order(path, folder, target):
    own, other = place_in_order(path, folder), place_in_order(target, folder)
    if own is None or other is None:
        return f"{path if own is None else target} has no place in the order of {folder} in tests/layers/check.py"
    return f"{path} may not know {target}, which is above it" if other > own else None


def judge(root, path, folder, directive):
    literal = LITERAL.match(directive)
    if not literal:
        return f"cannot read #include {directive}: write the file's name"
    name = literal.group(1) or literal.group(2)
    # <wsbus/…> is ours as an installed header; every other <…> is somebody else's, whatever we have of that name.
    ours = literal.group(1) or name.startswith("wsbus/")
    target = find_in_project(root, path, name) if ours else None
    if target is None:
        if literal.group(1) or ours:
            return f'"{name}" is not a file of the project'
        return judge_outside(path, folder, name)
    target_folder = folder_of(target)
    if target_folder == folder and folder in ORDER:
        return judge_order(path, folder, target)
    if target_folder is None or target_folder == folder or target_folder in FOLDERS[folder]:
        return None  # a target in an unknown folder is reported once, for itself
    return f"{folder} may not include {target_folder} ({target})"


def check(root):
    """All violations of a tree, as lines of text."""
    found = []
    for path in source_files(root):
        folder = folder_of(path)
        if folder is None:
            found.append(f"{path}: unknown folder {os.path.dirname(path)}: give it a level in tests/layers/check.py")
            continue
        for line, directive in includes_of(root, path):
            complaint = judge(root, path, folder, directive)
            if complaint:
                found.append(f"{path}:{line}: {complaint}")
    return found


def main(arguments):
    root = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    files = sum(1 for _ in source_files(root))
    if not files:
        print(f"{root}: no C files in {', '.join(ROOTS)}", file=sys.stderr)
        return 2
    found = check(root)
    for line in found:
        print(line)
    print(f"{files} files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
