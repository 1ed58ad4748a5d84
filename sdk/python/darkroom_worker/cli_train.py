"""`darkroom-worker train`: its arguments."""
import argparse
import logging
from pathlib import Path

from .cli_run import OPTIONS, add_options, connect, read_options
from .errors import ModelError
from .process import Spec
from .train import Training

HELP = "serve the training runs of a dataset"
DESCRIPTION = ("Load the module in MODULE (a .py file, or a folder with train.py), register its dataset at the server, and train its "
               "runs, one at a time. The first SIGTERM or Ctrl-C finishes the run in hand, the second gives it back. Exit codes and "
               "environment variables are those of `run`; --name is the dataset's.")
TAKEN = ("--server", "--api-key-file", "--ca-file", "--insecure", "--name", "--version", "--timeout", "--burst", "--max-jobs",
         "--ready-file")
TRAIN_OPTIONS = [option for option in OPTIONS if option[0] in TAKEN]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("model", metavar="MODULE", help="a .py file, or a folder with train.py")
    add_options(parser, TRAIN_OPTIONS)


def main(args: argparse.Namespace) -> int:
    """Serves. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    said = read_options(args, TRAIN_OPTIONS)
    if not Path(args.model).exists():
        raise ModelError("there is no file %s" % args.model)
    return Training(Spec(args.model, said["--name"], said["--version"]), connect(said), timeout_s=said["--timeout"],
                    burst=bool(said["--burst"]), max_runs=said["--max-jobs"], ready_file=said["--ready-file"]).main()
