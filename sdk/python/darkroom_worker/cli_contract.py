"""`darkroom-worker contract`: any worker's command line against the rules of the protocol."""
import argparse
import sys
import tempfile

HELP = "hold any worker, in any language, to the rules of the protocol"
DESCRIPTION = ("Runs a worker against a server in memory that shows it every answer and fault of the protocol, and says of each rule whether it "
               "is kept. The worker finds its server in DARKROOM_URL and its key in DARKROOM_API_KEY. Ends with 0 if every rule that must be "
               "kept is kept, else with 1.")
LOG_LINES = 12  # of the worker's output that are shown when a rule is not kept
WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.usage = "darkroom-worker contract [options] -- COMMAND…"
    parser.add_argument("--strict", action="store_true", help="what only should be kept must be, too")
    parser.add_argument("--photo", metavar="FILE", help="a photograph that the model can work with, in place of small PNGs of noise")
    parser.add_argument("--only", metavar="WORDS", action="append", default=[], help="only the rules whose name has these words")
    parser.add_argument("--wait-s", type=float, default=20.0, metavar="S", help="seconds that a step may take (%(default)g)")
    parser.add_argument("--start-s", type=float, default=60.0, metavar="S", help="seconds until it must have registered (%(default)g)")
    parser.add_argument("run", nargs=argparse.REMAINDER, metavar="COMMAND", help="what starts the worker, after --")


def main(args: argparse.Namespace) -> int:
    """Judges the worker; one line for each rule."""
    from .testing.contract import judge, line  # the test kit is loaded only here
    command = args.run[1:] if args.run[:1] == ["--"] else args.run
    if not command:
        print("darkroom-worker contract: say what starts the worker, after --", file=sys.stderr)
        return WRONG_USAGE
    try:
        photo = open(args.photo, "rb").read() if args.photo else None
    except OSError as error:
        print("darkroom-worker contract: %s" % error, file=sys.stderr)
        return WRONG_USAGE
    with tempfile.TemporaryFile() as log:
        verdicts = judge(command, photo=photo, wait_s=args.wait_s, start_s=args.start_s, only=args.only, log=log,
                         tell=lambda verdict: print(line(verdict), flush=True))
        log.seek(0)
        said = log.read().decode("utf-8", "replace").splitlines()
    bad = [verdict for verdict in verdicts if verdict.word == "failed" or args.strict and verdict.why]
    if bad and said:
        print("\nThe last that it said:\n  " + "\n  ".join(said[-LOG_LINES:]))
    print("\n%d of %d rules are kept." % (sum(not verdict.why for verdict in verdicts), len(verdicts)))
    return 1 if bad or not verdicts else 0
