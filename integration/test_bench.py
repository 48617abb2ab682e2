"""The bench measures what it says: its limits answer correctly, its handlers and its client of the seed grid do what they are for, and
its plots can be read."""

import math
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

from conftest import BUILD, DEADLINE, ROOT
from test_wsbench import SHORT, wsbench

sys.path.insert(0, str(ROOT / "bench"))
from harness import plot  # noqa: E402

pytestmark = pytest.mark.skipif(not (BUILD / "bench" / "bench_limit").exists(), reason="built without WSBUS_BENCH")


@pytest.fixture(params=["copy", "in-place"])
def limit(request, processes):
    process = processes([BUILD / "bench" / "bench_limit", request.param])
    return "ws://127.0.0.1:%s" % process.wait_line(r"port=(\d+)").group(1)


@pytest.mark.parametrize("args", [[], ["-s", 0], ["-s", 126, "-f", 5], ["-s", 16384, "-f", 4], ["-s", 300000, "-n", 50, "-c", 3, "-f", 3, "-b"]], ids=str)
def test_the_limit_echoes(limit, args):
    result = wsbench("echo", limit + "/", *SHORT, *args)
    assert result["received"] == result["sent"] >= 50


def test_the_limit_publishes(limit):
    result = wsbench("fanout", limit + "/sub", "--publish-path", "/pub", "-c", 30, "-f", 3, *SHORT, "-n", 100)
    assert result["received"] == 3000


def test_the_fanout_handler_publishes(make_gate, processes):
    gate = make_gate(routes=["sub=/sub", "pub=/pub"])
    processes([BUILD / "bench" / "bench_fanout_handler", gate.dir])
    gate.wait_handlers("sub", 1)
    result = wsbench("fanout", gate.url("/sub"), "--publish-path", "/pub", "-c", 30, "-f", 3, *SHORT, "-n", 100)
    assert result["received"] == 3000


def test_the_seed_client_measures_both_ways(make_gate, processes):
    gate = make_gate(routes=["seed=/seed"])
    processes([BUILD / "bench" / "bench_seed_handler", gate.dir])
    gate.wait_handlers("seed", 1)
    run = subprocess.run([str(BUILD / "bench" / "bench_seed_client"), str(gate.port), "1020", "70000"], capture_output=True, text=True,
                         timeout=DEADLINE * 3)
    assert run.returncode == 0, run.stderr
    said = [dict(word.split("=") for word in line.split()) for line in run.stdout.splitlines()]
    assert [(one["way"], one["size"]) for one in said] == [
        ("round", "8"), ("up", "1020"), ("down", "1020"), ("up", "70000"), ("down", "70000")]
    assert all(0 < float(one["ns"]) and 0 < float(one["p99_ns"]) for one in said)


def test_a_plot_is_svg_with_every_point_in_its_place():
    series = [plot.Series("a <b>", [(16, 1000), (1600, 10), (160, 100), (0, 5)]), plot.Series("none", [])]
    root = xml.fromstring(plot.svg("T & T", "bytes", "µs", series, plot.text_of_bytes))
    space = "{http://www.w3.org/2000/svg}"
    (line,) = root.iter(space + "polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert len(points) == 3  # what is not positive has no place
    xs, ys = zip(*points)
    assert math.isclose(xs[1] - xs[0], xs[2] - xs[1], abs_tol=0.2) and math.isclose(ys[1] - ys[0], ys[2] - ys[1], abs_tol=0.2)
    assert xs[0] < xs[1] and ys[0] < ys[1]  # down the page: 1000, 100, 10
    words = [text.text for text in root.iter(space + "text")]
    assert "T & T" in words and "a <b>" in words and "none" not in words


def test_a_plot_of_nothing_is_none():
    assert plot.svg("T", "x", "y", [plot.Series("a", [(1, 0)])]) is None
