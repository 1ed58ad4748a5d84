"""`python -m darkroom_worker` is the command `darkroom-worker`."""
import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
