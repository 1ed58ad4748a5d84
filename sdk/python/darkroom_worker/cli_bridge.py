"""`darkroom-worker bridge`: its arguments and their environment variables."""
import argparse
import logging
import ssl
from pathlib import Path
from typing import Any, Dict, List

from .bridge.listen import Listen
from .bridge.protocol import Options
from .bridge.serve import PROTOCOLS, Bridge, Bridged
from .cli_run import OPTIONS as RUN_OPTIONS
from .cli_run import Option, add_options, connect, read_options
from .errors import ModelError
from .module import NAME
from .session import Settings

HELP = "serve a model server that expects to be called"
DESCRIPTION = ("Claim jobs on behalf of a model server, send it their images, and complete them with what it answers; or, with --listen, "
               "on behalf of every microservice that registers itself here. While the server is not ready nothing is claimed. Ends, "
               "and exit codes, as of `run`.")
COMMON = ("--server", "--api-key-file", "--ca-file", "--insecure", "--name", "--version", "--timeout", "--burst", "--max-jobs",
          "--ready-file")
OPTIONS: List[Option] = [option for option in RUN_OPTIONS if option[0] in COMMON] + [
    ("--protocol", "DARKROOM_PROTOCOL", str, "how the server is spoken to: " + ", ".join(PROTOCOLS)),
    ("--url", "DARKROOM_MODEL_URL", str, "the model server's address"),
    ("--field", "DARKROOM_FIELD", str, "the input that takes the image (multipart: image_file; else as its schema tells)"),
    ("--model", "DARKROOM_MODEL", str, "kserve: the model's name on that server (as --name)"),
    ("--image", "DARKROOM_IMAGE", str, "kserve: base64 or binary; labelstudio: url or data (the first)"),
    ("--images-at", "DARKROOM_IMAGES_AT", str, "labelstudio: HOST:PORT where it fetches images (127.0.0.1, a free port)"),
    ("--label-config", "DARKROOM_LABEL_CONFIG", str, "labelstudio: a file with the labelling configuration"),
    ("--parallel", "DARKROOM_PARALLEL", int, "images sent to the server at once (1)"),
    ("--leave-after", "DARKROOM_LEAVE_AFTER", float, "end when the server has not been ready for so many seconds (never)"),
    ("--listen", "DARKROOM_LISTEN_AT", str, "HOST:PORT that takes POST /model/register from microservices, instead of --url"),
    ("--listen-key-file", "DARKROOM_LISTEN_KEY_FILE", str, "the key that they send as `api_key`"),
    ("--allow", "DARKROOM_ALLOW", str, "networks in which they may be, as 10.0.0.0/8,fd00::/8 (this machine)"),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_options(parser, OPTIONS)


def main(args: argparse.Namespace) -> int:
    """Serves. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    said = read_options(args, OPTIONS)
    server = connect(said)
    if said["--listen"]:
        if said["--url"] or said["--name"] or said["--protocol"] not in (None, "multipart"):
            raise ModelError("with --listen, microservices say themselves who and where they are, and are spoken to as multipart: "
                             "leave --url, --name and --protocol out")
        return Listen(said["--listen"], said["--listen-key-file"], said["--allow"], said).main()
    settings = Settings(1, said["--parallel"] or 1, said["--timeout"], bool(said["--burst"]), said["--max-jobs"], said["--ready-file"])
    return Bridge(_bridged(said), server, settings).main()


def _bridged(said: Dict[str, Any]) -> Bridged:
    protocol, name = said["--protocol"], said["--name"] or said["--model"]
    if protocol not in PROTOCOLS:
        raise ModelError("--protocol must be one of %s" % ", ".join(PROTOCOLS))
    if not said["--url"]:
        raise ModelError("say with --url where the model server is, or let microservices register with --listen")
    if not name or not NAME.fullmatch(name):
        raise ModelError("say with --name what the model is called here: lower-case letters, digits, and _ . - inside")
    options = Options(said["--field"], said["--model"] or name, said["--image"], said["--images-at"] or Options().images_at,
                      _text(said["--label-config"]))
    trust = ssl.create_default_context(cafile=said["--ca-file"]) if said["--ca-file"] else None
    return Bridged(protocol, said["--url"], name, said["--version"], options, said["--leave-after"], trust)


def _text(path: Any) -> Any:
    try:
        return Path(path).read_text("utf-8") if path else None
    except (OSError, ValueError) as error:
        raise ModelError("--label-config %s cannot be read: %s" % (path, error)) from error
