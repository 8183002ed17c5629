"""``python -m ctrs``: the command line."""

import sys

from ctrs.cli import main

if __name__ == "__main__":
    sys.exit(main())
