"""The folder of a worker's images: it goes, however the worker ends, and nobody else's does."""
import os
import subprocess
import sys
import tempfile

import pytest

from darkroom_worker.files import PREFIX, Folder

KILLED = """
import os, signal
from darkroom_worker.files import Folder
folder = Folder()
path, file = folder.create("image/jpeg")
file.write(b"a photograph")
file.close()
print(folder.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_what_a_killed_worker_left_goes_with_the_next_and_what_lives_stays(temporary):
    living = Folder()
    killed = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, timeout=60).stdout.strip()
    assert os.listdir(killed) == ["1.jpg"]
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (temporary / (PREFIX + "link")).symlink_to(elsewhere)
    (temporary / (PREFIX + "file")).touch()
    (temporary / "darkroom-of-others").mkdir()
    mine = Folder()
    assert not os.path.exists(killed) and os.path.isdir(living.path) and os.path.isdir(mine.path)
    assert (elsewhere / "kept").exists() and (temporary / (PREFIX + "file")).exists() and (temporary / "darkroom-of-others").exists()
    mine.remove()
    living.remove()
    assert not os.path.exists(living.path) and not os.path.exists(mine.path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_folder_is_never_touched(temporary):
    others = temporary / (PREFIX + "others")
    others.mkdir()
    os.chown(others, 12345, 12345)
    Folder().remove()
    assert others.exists()
