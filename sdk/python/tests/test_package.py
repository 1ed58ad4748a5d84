"""The package says the same of itself everywhere."""
import pathlib
import re
import subprocess
import sys

import pytest

import darkroom_worker

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_its_version_is_the_servers():
    def version(path):
        return re.search(r'^version = "(.+)"$', path.read_text(), re.M).group(1)
    assert darkroom_worker.__version__ == version(ROOT / "Cargo.toml") == version(ROOT / "sdk/python/pyproject.toml")


def test_all_that_goes_wrong_is_held_by_a_test():
    folder = ROOT / "sdk/python/tests"
    rows = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith("| ") and not line.endswith("held by |")]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)::(\w+)`", row.split("|")[-2])
        assert named and all("\ndef %s(" % name in (folder / file).read_text() for file, name in named), row


def test_its_types_hold(tmp_path):
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "darkroom_worker"], cwd=ROOT / "sdk/python",
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
