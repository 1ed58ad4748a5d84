"""What the tests share: model modules made on the spot, and a small photograph."""
import atexit
import compileall
import os
import pathlib
import shutil
import signal
import struct
import sys
import tempfile
import textwrap
import zlib

import pytest

TEST_S = 240


def compiled():
    """The folder of a copy of the package with its bytecode: some hundred processes load it, and leave nothing in the source."""
    folder = tempfile.mkdtemp(prefix="darkroom-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = pathlib.Path(__file__).resolve().parents[1] / "darkroom_worker"
    shutil.copytree(source, os.path.join(folder, source.name), ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=1)
    return folder


PACKAGES = compiled()
sys.path.insert(0, PACKAGES)
os.environ["PYTHONPATH"] = PACKAGES
from darkroom_worker import model  # noqa: E402
from serving import Server, Serving  # noqa: E402


@pytest.fixture
def write(tmp_path):
    """Writes a module: write("model.py", source) → its path."""
    def write(name, source):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return str(path)
    return write


@pytest.fixture
def load(write):
    """Loads a module from its source, with init done; what it brought into the interpreter goes afterwards."""
    modules, path = set(sys.modules), list(sys.path)

    def load(source, name="a_model.py", **named):
        loaded = model.load(write(name, source), **named)
        loaded.init()
        return loaded
    yield load
    for name in set(sys.modules) - modules:
        if not name.startswith(("PIL", "numpy")):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def server():
    with Server(lease_s=30) as server:  # which a slow machine outlives
        yield server


@pytest.fixture
def serve(server, write, tmp_path):
    """Starts a worker of a model given by its source: serve(source, "--flag", …)."""
    workers = []

    def serve(source, *flags, **environment):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        path = source if os.path.exists(source) else write("m.py", source)
        workers.append(Serving(server, path, *flags, **{"TMPDIR": str(tmp_path / "tmp"), **environment}))
        return workers[-1]
    yield serve
    for worker in workers:
        worker.kill()


@pytest.fixture
def photo(tmp_path):
    """A PNG of 3 × 2 pixels."""
    return png(tmp_path / "photo.png", 3, 2)


def png(path, width, height, shade=128):
    """Writes a grey PNG without any library."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([shade]) * width for _ in range(height))
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return str(path)


@pytest.fixture(autouse=True)
def bounded():
    """No test hangs: a slow machine is given time, and none decides."""
    def late(*_):
        raise TimeoutError("the test took longer than %d s" % TEST_S)
    signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_S)
    yield
    signal.alarm(0)
