"""docs/operations.md explains every line that the gate logs at warn and error, every close code, and every reason that it counts.

Usage: operations.py ROOT. Each table of the page is compared with the source, in both directions: what is missing, and what is stale.
"""

import pathlib
import re
import sys

# Lines whose text is not a literal: the pattern finds where it is given instead. None: the text is a handler's own.
MADE = {
    "libwsbus/link/shm_attach.c": r'complain\(s, p, "([^"]+)"',
    "wsgate/hub/register.c": None,
}
LEVELS = ("WSB_LOG_WARN", "WSB_LOG_ERROR")
HARMLESS = ("WSB_LOG_DEBUG", "WSB_LOG_INFO", "WSB_LOG_WSLOG")


def calls(text, name):
    """The arguments of each call of `name`, as one line."""
    for match in re.finditer(r"\b%s\(" % name, text):
        depth, at = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield " ".join(text[match.end():at - 1].split())


def level_of(arguments):
    """"warn", "error", "both", or None for a line below them."""
    before = arguments.split('"')[0]
    found = [level for level in LEVELS if level in before]
    if not found:
        return None if any(level in before for level in HARMLESS) else "both"
    return "both" if len(found) == 2 else found[0][len("WSB_LOG_"):].lower()


def logged(path, text):
    """(message, level) of each line at warn or error that this file writes; complains about one whose text cannot be told."""
    for arguments in calls(text, "WSB_LOG(?:_FEW)?"):
        level = level_of(arguments)
        literal = re.match(r'[^",]*,[^"]*?, "([^"]*)"', arguments)
        if not level or "module, level, msg" in arguments:
            continue
        if literal:
            yield literal.group(1), level
        elif path not in MADE:
            raise ValueError("%s: the text of this line is no literal: say in MADE where it comes from: %s" % (path, arguments))
        elif MADE[path]:
            for message in re.findall(MADE[path], text):
                yield message, level


def names_of(text, function):
    """The strings of the table in a function that gives names."""
    body = re.search(r"\b%s\([^)]*\)\s*\{(.*?)^\}" % function, text, re.S | re.M).group(1)
    return set(re.findall(r'"([a-z_0-9]+)"', body))


def section(page, title):
    found = re.search(r"^## %s\n(.*?)(?=^## |\Z)" % re.escape(title), page, re.S | re.M)
    if not found:
        raise ValueError("the page has no section %r" % title)
    return found.group(1)


def rows(page, title):
    """The cells of each row of a section's tables, without their heads."""
    lines = [line for line in section(page, title).splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [i for i, row in enumerate(table) if set("".join(row)) <= set("-:")]
    heads = {i - 1 for i in rules} | set(rules)
    return [row for i, row in enumerate(table) if i not in heads]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def compare(what, explained, there):
    for name in sorted(there - explained):
        yield "%s: %r is not explained" % (what, name)
    for name in sorted(explained - there):
        yield "%s: %r is explained, and is not in the source any more" % (what, name)


def check_log(page, files):
    table = {quoted(row[0])[0]: row[1] for row in rows(page, "Log lines")}
    there = {}
    for path, text in files.items():
        for message, level in logged(path, text):
            there.setdefault(message, set()).add(level)
    yield from compare("log lines", set(table), set(there))
    for message in sorted(set(table) & set(there)):
        if table[message] not in there[message]:
            yield "log lines: %r has the level %s in the page, and %s in the source" % (message, table[message], "/".join(sorted(there[message])))
    for row in rows(page, "Log lines"):
        if len(row) != 4 or not all(row):
            yield "log lines: a cell is empty, or one too many: %s" % row


def check_reasons(page, files):
    route = files["wsgate/bus/route.c"]
    for title, column, functions in (("A client was refused", 0, ["wsg_refusal_name"]), ("A client was closed", 1, ["wsg_ending_name"]),
                                     ("A response was cut", 0, ["wsg_cut_name"]),
                                     ("Messages were dropped", 0, ["wsg_in_drop_name", "wsg_out_drop_name"])):
        explained = {name for row in rows(page, title) for name in quoted(row[column])}
        yield from compare(title, explained, set().union(*(names_of(route, function) for function in functions)))


def check_codes(page, files):
    there = {int(code) for code in re.findall(r"^\s+WSB_CLOSE_\w+ = (1\d\d\d),", files["libwsbus/ws/close.h"], re.M)}
    text = section(page, "A client was closed")
    explained = {int(row[0]) for row in rows(page, "A client was closed")} | {int(code) for code in re.findall(r"\b1\d\d\d\b", text.split("The codes")[-1])}
    yield from compare("close codes", {str(code) for code in explained}, {str(code) for code in there})


def check_metrics(page, files):
    """Names of /metrics, as they are shown: those of counters end with _total."""
    found = re.findall(r'_ROW\((?:[^,()]*, *)?"(\w+)"\), *WSG_(COUNTER|GAUGE)', files["wsgate/admin/counters.c"])
    there = {name + ("_total" if kind == "COUNTER" else "") for name, kind in found}
    for name in sorted(set(re.findall(r"\bwsbus_(?:gate|bus|route|handler)_(\w+)", page)) - there):
        yield "metrics: there is no %r" % name


def check(page, files):
    """What is wrong, a line each."""
    return [*check_log(page, files), *check_reasons(page, files), *check_codes(page, files), *check_metrics(page, files)]


def check_links(page, root):
    """Each file that the page names is there, and each example of a proxy and of Kubernetes is named."""
    linked = {(root / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", page)}
    for path in sorted(linked):
        if not path.exists():
            yield "links: there is no %s" % path
    shown = [path for folder in ("proxy", "kubernetes") for path in sorted((root / "packaging" / folder).iterdir())]
    for path in shown:
        if path.resolve() not in linked:
            yield "links: %s is not shown" % path.relative_to(root)


def sources(root):
    return {str(path.relative_to(root)): path.read_text() for top in ("wsgate", "libwsbus") for path in sorted((root / top).rglob("*.[ch]"))}


def main():
    root = pathlib.Path(sys.argv[1])
    page = (root / "docs" / "operations.md").read_text()
    wrong = [*check(page, sources(root)), *check_links(page, root)]
    for line in wrong:
        print("docs/operations.md: " + line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
