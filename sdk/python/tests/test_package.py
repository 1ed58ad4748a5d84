"""The package says the same of itself everywhere."""
import pathlib
import re

import darkroom_worker

ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_its_version_is_the_servers():
    def version(path):
        return re.search(r'^version = "(.+)"$', path.read_text(), re.M).group(1)
    assert darkroom_worker.__version__ == version(ROOT / "Cargo.toml") == version(ROOT / "sdk/python/pyproject.toml")
