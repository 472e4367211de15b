"""Interval partitioning: intervals that may overlap are put into rows without overlaps.

Source: Kleinberg and Tardos, Algorithm Design (2005), section 4.1. The algorithm takes the
intervals in the order of their starts and puts each into the first row that is free. This uses the
smallest possible number of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def rows_of(lives: Iterable[tuple[str, str, int, int]]) -> dict[str, int]:
    """The row of each call: the first row of its client's lane that is free when the call starts.

    A life is a call, its client, its start and its end. Lives must be in the order of their starts.
    """
    busy_until: dict[str, list[int]] = defaultdict(list)
    rows: dict[str, int] = {}
    for call, client, start, end in lives:
        taken = busy_until[client]
        row = next((row for row, until in enumerate(taken) if until <= start), len(taken))
        taken[row : row + 1] = [end]
        rows[call] = row
    return rows
