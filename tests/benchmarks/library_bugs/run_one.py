"""Explores one scenario with the release that is installed, and prints the answer as JSON.

`python -m tests.benchmarks.library_bugs.run_one NAME FAULT SECONDS`
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
import warnings
from typing import Any, NoReturn

from bankkit import explorer


def main(name: str, fault: str, seconds: str) -> None:
    """Explore the scenario of this name. The fault is a regular expression."""
    warnings.simplefilter("ignore")  # old releases use what is deprecated now
    try:
        module = importlib.import_module(f"tests.benchmarks.library_bugs.scenarios.{name}")
    except (AttributeError, ImportError) as error:  # a release that is older than this Python
        tell({"verdict": "not imported", "told": f"{type(error).__name__}: {error}"})
    result = explorer.explore(module.scenario, seconds=float(seconds), **module.SETTINGS)
    shown = ""
    if result.bug is not None:
        shown = str(result.bug) + "".join(traceback.format_exception(result.bug.error))
    told = str(result) if result.bug is None else f"{result.bug.kind}: {result.bug.text}"
    answer = {
        "verdict": result.verdict,
        "schedules": result.schedules,
        "seconds": round(result.seconds, 1),
        "told": told,
        "is_the_fault": bool(re.search(fault, shown)),
        "shown": shown,
    }
    tell(answer)


def tell(answer: dict[str, Any]) -> NoReturn:
    """Print the answer and end. What libraries do at exit would use locks of a past schedule."""
    print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
