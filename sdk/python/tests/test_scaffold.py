"""A new model's folder: it runs as it is."""
import os
import re
import subprocess
import sys

import pytest

from darkroom_worker import ModelError, __version__
from darkroom_worker.scaffold import new


def run(*command, folder):
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_its_own_test_passes_and_it_answers_at_once(tmp_path):
    made = run("darkroom_worker", "new", "size_of", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "size_of"
    assert {path.name for path in folder.iterdir()} == {"size_of.py", "requirements.txt", "test_model.py", "Dockerfile", "compose.yml",
                                                        "README.md", "photos"}
    passed = run("pytest", "-q", "-p", "no:cacheprovider", folder=folder)
    assert passed.returncode == 0 and "1 passed" in passed.stdout, passed.stdout
    answered = run("darkroom_worker", "test", "size_of.py", "photos", folder=folder)
    assert answered.returncode == 0 and '"small"' in answered.stdout and "size_of" in answered.stderr, answered


def test_its_files_name_it_and_the_package_of_this_version(tmp_path):
    files = new(str(tmp_path / "a-b.c"))
    texts = {path.name: path.read_text() for path in files if path.suffix != ".png"}
    assert not any(re.search("@[a-z]+@", text) for text in texts.values())
    assert "darkroom_worker-%s-py3-none-any.whl" % __version__ in texts["Dockerfile"]
    assert files[0].name == "a-b.c.py" and "COPY a-b.c.py ./" in texts["Dockerfile"]
    assert "/tmp/darkroom-a-b.c.ready" in texts["Dockerfile"] and "  a-b.c:\n" in texts["compose.yml"]


@pytest.mark.parametrize("name, said", [("taken", "exists already"), ("Big", "cannot be a model's name"), ("", "cannot be")])
def test_a_folder_that_exists_and_a_name_that_cannot_be_are_refused(tmp_path, name, said):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ModelError, match=said):
        new(os.path.join(tmp_path, name) if name else "")
    assert list((tmp_path / "taken").iterdir()) == []
