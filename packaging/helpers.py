#!/usr/bin/python3 -B
"""The packages of the helpers: helpers.py FOLDER puts the wheel and the npm package there. Needs no network."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BACKEND = "import sys, setuptools.build_meta as backend; print(backend.build_wheel(sys.argv[1]))"


def wheel(folder):
    """Built in a copy: setuptools leaves things behind. Returns the file."""
    with tempfile.TemporaryDirectory() as copy:
        source = pathlib.Path(copy, "python")
        shutil.copytree(ROOT / "python", source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        command = ["/usr/bin/python3", "-B", "-c", BACKEND, str(pathlib.Path(folder).resolve())]
        name = subprocess.run(command, cwd=source, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return pathlib.Path(folder, name)


def npm(folder):
    command = ["npm", "pack", "--json", "--pack-destination", str(pathlib.Path(folder).resolve())]
    packed = subprocess.run(command, cwd=ROOT / "node", check=True, capture_output=True, text=True).stdout
    return pathlib.Path(folder, json.loads(packed)[0]["filename"])


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    print(wheel(sys.argv[1]), npm(sys.argv[1]), sep="\n")
