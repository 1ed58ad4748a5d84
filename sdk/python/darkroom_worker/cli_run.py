"""`darkroom-worker run`: its arguments and their environment variables."""
import argparse
import logging
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from .errors import ModelError
from .http import Server
from .process import Spec
from .run import Run
from .session import Settings

log = logging.getLogger("darkroom")

HELP = "serve a model from the queue"
DESCRIPTION = ("Load the model in MODEL (a .py file, or a folder with model.py), register it at the server, and serve its queue. "
               "The first SIGTERM or Ctrl-C finishes what is in hand, the second gives it back. Exit codes: 0, 1 for what is "
               "refused, 2 for wrong usage, 3 when the key is revoked, 130 after a second signal. Each option may also be given "
               "as an environment variable.")
SERVER = "http://127.0.0.1:8080"
KEY_WAIT_S = 60.0  # for the key's file to appear

Option = Tuple[str, str, Any, str]  # option, variable, kind, help; a kind of bool is a switch
OPTIONS: List[Option] = [
    ("--server", "DARKROOM_URL", str, "the server's address (%s)" % SERVER),
    ("--api-key-file", "DARKROOM_API_KEY_FILE", str, "a file with the API key, which may appear up to a minute later; or the key "
                                                     "itself in DARKROOM_API_KEY"),
    ("--ca-file", "DARKROOM_CA_FILE", str, "authorities to trust in place of the system's"),
    ("--insecure", "DARKROOM_INSECURE", bool, "allow plain HTTP to another machine"),
    ("--name", "DARKROOM_NAME", str, "the model's name, above what its module says"),
    ("--version", "DARKROOM_VERSION", str, "its version, above what its module says"),
    ("--batch", "DARKROOM_BATCH", "batch", "images per call, or auto to find out (the model's batch_size)"),
    ("--processes", "DARKROOM_PROCESSES", int, "how many processes load the model and work side by side (1)"),
    ("--timeout", "DARKROOM_TIMEOUT", float, "seconds after which a prediction is killed (the job's deadline)"),
    ("--watch", "DARKROOM_WATCH", bool, "load the model again when its files change"),
    ("--burst", "DARKROOM_BURST", bool, "end when the queue is empty"),
    ("--max-jobs", "DARKROOM_MAX_JOBS", int, "end after so many jobs"),
    ("--expect", "DARKROOM_EXPECT", str, "serve only if the model gives the answers in this file (see `test --expect`)"),
    ("--ready-file", "DARKROOM_READY_FILE", str, "touched when registered and at each answered beat "
                                                 "(/tmp/darkroom-MODEL.ready)"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a .py file, or a folder with model.py")
    add_options(parser, OPTIONS)


def add_options(parser: argparse.ArgumentParser, options: List[Option]) -> None:
    """Options that may also be given in the environment."""
    for option, variable, kind, text in options:
        told = "%s [%s]" % (text, variable)
        if kind is bool:
            parser.add_argument(option, action="store_true", default=None, help=told)
        else:
            parser.add_argument(option, help=told)


def main(args: argparse.Namespace) -> int:
    """Serves. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    said = read_options(args, OPTIONS)
    server = connect(said)
    batch = said["--batch"]
    settings = Settings(None if batch == "auto" else batch or 0, said["--processes"] or 1, said["--timeout"],
                        bool(said["--burst"]), said["--max-jobs"], said["--ready-file"])
    spec = Spec(args.model, said["--name"], said["--version"])
    if not Path(args.model).exists():
        raise ModelError("there is no file %s" % args.model)
    return Run(spec, server, settings, watch=bool(said["--watch"]), known=said["--expect"]).main()


def read_options(args: argparse.Namespace, options: List[Option]) -> Dict[str, Any]:
    """What the command line or the environment says, by option. Raises `ModelError`."""
    return {option: _read(option, variable, kind, getattr(args, option[2:].replace("-", "_")))
            for option, variable, kind, _ in options}


def connect(said: Dict[str, Any]) -> Server:
    """The server that the options name, with the key. Raises `ModelError`."""
    return Server(said["--server"] or SERVER, _key(said["--api-key-file"]), ca_file=said["--ca-file"],
                  insecure=bool(said["--insecure"]))


def from_environment() -> Server:
    """The server that the environment names, for a model that fetches something of its own there. Raises `ModelError`."""
    return connect({option: _read(option, variable, kind, None) for option, variable, kind, _ in OPTIONS})


def _read(option: str, variable: str, kind: Any, given: Any) -> Any:
    """An option's value, from the command line or else from the environment; None when neither says."""
    text = given if given is not None else os.environ.get(variable) or None
    if text is None or text is True:
        return text
    if kind is bool:
        return text.lower() in ("1", "true", "yes", "on")
    if kind is str or (kind == "batch" and text == "auto"):
        return text
    number: Optional[float] = None
    try:
        number = float(text) if kind is float else int(text)
    except ValueError:
        pass
    if number is None or not 0 < number < 1e9 or (kind == "batch" and number > 1000):
        raise ModelError("%s %s: this must be a number above 0%s" % (
            option, text, " and at most 1000, or auto" if kind == "batch" else ""))
    return number


def _key(path: Optional[str]) -> str:
    """The key from the environment, or from a file."""
    key, until = os.environ.get("DARKROOM_API_KEY", "").strip(), time.monotonic() + KEY_WAIT_S
    missed = None
    while path and not key and time.monotonic() < until:
        try:
            key, told = Path(path).read_text().strip(), "it is empty"
        except OSError as error:
            told = error.strerror or str(error)
        if not key:
            if told != missed:
                log.warning("no API key in %s: %s; waiting for it, %d s at most", path, told, until - time.monotonic())
            missed = told
            time.sleep(0.5)
    if not key:
        raise ModelError("no API key%s: name a file that holds one with --api-key-file, or set DARKROOM_API_KEY" % (
            " in %s" % path if path else ""))
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelError("this is no API key: it begins with dr_ and is one word")
    return key
