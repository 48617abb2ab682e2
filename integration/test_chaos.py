"""A minute of chaos; chaos/chaos.py says what must hold. `./dev soak` does it for longer."""

import os
import sys

import pytest
from conftest import BUILD, ROOT, is_sanitized

sys.path.insert(0, str(ROOT / "integration" / "chaos"))

import chaos  # noqa: E402

SECONDS = float(os.environ.get("WSBUS_CHAOS_SECONDS", "60"))


@pytest.mark.timeout(SECONDS + 300)
def test_nothing_is_lost_whatever_happens_to_handlers():
    sanitized = is_sanitized(BUILD / "wsgate" / "wsgate")
    world = chaos.run(BUILD, SECONDS, clients=300 if sanitized else 2000, most_mib=2000 if sanitized else 160, say=print)
    assert world.processed > 100 * SECONDS
    world.check_that_much_happened()
