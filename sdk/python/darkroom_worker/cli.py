"""The command `darkroom-worker`: what each subcommand takes and does is a module of its own."""
import argparse
import sys
from typing import List, Optional

from . import __version__, cli_bridge, cli_contract, cli_new, cli_run, cli_test, cli_train
from .errors import ModelError
from .process import NotServing

# Each has HELP, DESCRIPTION, add_arguments(parser), and main(args), which returns the exit code.
COMMANDS = {"run": cli_run, "train": cli_train, "bridge": cli_bridge, "test": cli_test, "new": cli_new, "contract": cli_contract}
DOES_NOT_LOAD = 1
WRONG_USAGE = 2  # also when there is nothing to run it on


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="darkroom-worker", description="Write predict(image), run one command.")
    parser.add_argument("--version", action="version", version="darkroom-worker " + __version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION))
    args = parser.parse_args(argv)
    try:
        code: int = COMMANDS[args.command].main(args)
        return code
    except ModelError as error:
        print("darkroom-worker %s: %s" % (args.command, error), file=sys.stderr)
        return WRONG_USAGE
    except NotServing as error:
        # What the module lacks is said in a sentence; where its own code fails, only the traceback tells.
        where = "" if error.error["type"] == "ModelError" else error.error["traceback"] or ""
        print("%sdarkroom-worker %s: the model does not load: %s" % (where, args.command, error), file=sys.stderr)
        return DOES_NOT_LOAD
