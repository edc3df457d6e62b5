"""python -m srez: the command line."""

import sys

from srez_main import start

sys.exit(start())
