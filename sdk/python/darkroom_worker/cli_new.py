"""`darkroom-worker new`: a folder with a model that runs as it is."""
import argparse

from . import scaffold

HELP = "make a folder with a model to begin with"
DESCRIPTION = "Writes a model, its requirements, a test, a Dockerfile and a Compose file, that run as they are."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("folder", metavar="NAME", help="the folder, which must not exist yet; its last part names the model")


def main(args: argparse.Namespace) -> int:
    """Run it, and return the exit code."""
    files = scaffold.new(args.folder)
    for file in files:
        print(file)
    print("\ntry it: cd %s && darkroom-worker test %s photos --html report.html" % (args.folder, files[0].name))
    return 0
