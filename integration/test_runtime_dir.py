"""A runtime directory that somebody else can have put there: nobody speaks to the gate in it."""

import os
import subprocess

import pytest

from conftest import BUILD, DEADLINE, HANDLERS

STRANGER = 4711


class Place:  # of a gate, as HANDLERS want one
    def __init__(self, directory):
        self.dir = str(directory)


PROGRAMS = {"wsctl": lambda place, route: [BUILD / "wsctl" / "wsctl", "--runtime-dir", place.dir, "status"],
            **{name: words for name, words in HANDLERS.items() if name != "raw"}}  # which has no library


def run(program, directory):
    command = [str(word) for word in PROGRAMS[program](Place(directory), "echo")]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)


@pytest.fixture
def everybodys(tmp_path_factory):
    """A directory like /tmp."""
    place = tmp_path_factory.mktemp("tmp")
    place.chmod(0o1777)
    return place


@pytest.mark.parametrize("program", PROGRAMS)
def test_that_others_can_write(program, tmp_path):
    directory = tmp_path / "gate"
    directory.mkdir()
    directory.chmod(0o775)
    done = run(program, directory)
    assert done.returncode != 0 and "can be written by others than its owner (mode 0775)" in done.stderr, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("program", PROGRAMS)
def test_that_is_somebody_elses_where_everybody_can_make_one(program, everybodys):
    way = everybodys / "way"
    directory = way / "gate"
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    os.chown(way, STRANGER, STRANGER)
    done = run(program, directory)
    said = "%s belongs to user %d, and everybody can make one in %s" % (way, STRANGER, everybodys)
    assert done.returncode != 0 and said in done.stderr, done


@pytest.mark.parametrize("language", [name for name in PROGRAMS if name != "wsctl"])
def test_who_waits_for_a_gate_keeps_its_place(processes, language, everybodys):
    directory = everybodys / "gate"
    handler = processes(PROGRAMS[language](Place(directory), "echo"))
    gate = processes([BUILD / "wsgate" / "wsgate", "--runtime-dir", directory, "--listen", "127.0.0.1:0", "--route", "echo=/echo"])
    gate.wait_line("msg=handler .*routes=1")
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert handler.process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_gate_says_whose_its_directory_is(everybodys):
    directory = everybodys / "gate"
    directory.mkdir()
    directory.chmod(0o711)
    os.chown(directory, STRANGER, STRANGER)
    command = [BUILD / "wsgate" / "wsgate", "--runtime-dir", directory, "--listen", "127.0.0.1:0", "--route", "echo=/echo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    said = "runtime directory %s belongs to user %d and not to user 0, who runs this (mode 0711): remove it, or use another one" % (directory, STRANGER)
    assert done.returncode == 1 and said in done.stderr, done
    assert not list(directory.iterdir()) and directory.stat().st_uid == STRANGER
