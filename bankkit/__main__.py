"""`python -m bankkit serve | demo | doctor | grade | explore`."""

import sys

from bankkit.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
