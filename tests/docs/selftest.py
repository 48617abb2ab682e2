"""Does operations.py see what is missing and what is stale? The page and the source here are small, and wrong in one place each."""

import sys
import unittest

import operations

PAGE = """
## What to watch
| alert on | because |
|---|---|
| `wsbus_gate_lost_total` | it |

## A client was closed
| code | `ended` | what |
|---|---|---|
| 1000 | `idle` | it |

The codes 1001 never come.

## A client was refused
| reason | answer |
|---|---|
| `rate` | 503 |

## A response was cut
| reason | what |
|---|---|
| `slow` | it |

## Messages were dropped
| reason | what |
|---|---|
| `full`, `gone` | it |

## Log lines
| `msg` | level | what it means | what to do |
|---|---|---|---|
| `it fell` | warn | it | that |
| `it broke` | error | it | that |
"""
NAMES = """
const char *wsg_refusal_name(enum wsg_refusal why)
{
    static const char *const names[] = {"rate"};
    return names[why];
}
const char *wsg_ending_name(enum wsg_ending why)
{
    static const char *const names[] = {"idle"};
}
const char *wsg_cut_name(enum wsg_cut why)
{
    static const char *const names[] = {"slow"};
}
const char *wsg_in_drop_name(enum wsg_in_drop why)
{
    static const char *const names[] = {"full"};
}
const char *wsg_out_drop_name(enum wsg_out_drop why)
{
    static const char *const names[] = {"gone"};
}
"""
FILES = {
    "wsgate/bus/route.c": NAMES,
    "libwsbus/ws/close.h": "enum {\n    WSB_CLOSE_NORMAL = 1000,\n    WSB_CLOSE_GOING_AWAY = 1001,\n};",
    "wsgate/admin/counters.c": '{GATE_ROW("lost", "lost"), WSG_COUNTER, PLAIN},',
    "wsgate/a.c": """
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "it fell", WSB_KS("why", text(1)));
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "all is well");
        WSB_LOG(in ? WSB_LOG_WS : WSB_LOG_HTTP, bad
                    ? WSB_LOG_ERROR : WSB_LOG_INFO, "it broke");
    """,
}


class Checks(unittest.TestCase):
    def said(self, page=PAGE, **changes):
        return operations.check(page, {**FILES, **{"wsgate/%s.c" % name: text for name, text in changes.items()}})

    def test_all_is_explained(self):
        self.assertEqual(self.said(), [])

    def test_a_line_that_is_not_explained(self):
        self.assertEqual(self.said(b='WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "new")'), ["log lines: 'new' is not explained"])
        self.assertEqual(self.said(b='WSB_LOG(WSB_LOG_GATE, level, "new")'), ["log lines: 'new' is not explained"])

    def test_a_line_that_is_no_more(self):
        self.assertEqual(self.said(a=""), ["log lines: %r is explained, and is not in the source any more" % name for name in ("it broke", "it fell")])

    def test_another_level(self):
        wrong = self.said(PAGE.replace("`it fell` | warn", "`it fell` | error"))
        self.assertEqual(wrong, ["log lines: 'it fell' has the level error in the page, and warn in the source"])

    def test_a_text_that_cannot_be_told(self):
        with self.assertRaises(ValueError):
            self.said(b="WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, what)")

    def test_reasons_codes_and_metrics(self):
        for old, new, wrong in (('"rate"', '"rate", "new"', "A client was refused"), ('"slow"', '"other"', "A response was cut"),
                                ('"gone"', '"lost"', "Messages were dropped"), ('"idle"', '"late"', "A client was closed")):
            said = operations.check(PAGE, {**FILES, "wsgate/bus/route.c": NAMES.replace(old, new)})
            self.assertTrue(said and all(line.startswith(wrong) for line in said), said)
        self.assertEqual(self.said(PAGE.replace("1001", "1002")),
                         ["close codes: '1001' is not explained", "close codes: '1002' is explained, and is not in the source any more"])
        self.assertEqual(self.said(PAGE.replace("lost_total", "lost")), ["metrics: there is no 'lost'"])

    def test_an_empty_cell(self):
        self.assertEqual(len(self.said(PAGE.replace("| it | that |\n| `it broke`", "| it | |\n| `it broke`"))), 1)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
