"""Rows for intervals that may overlap, so that no two in one row do: interval partitioning.

Source: Kleinberg and Tardos, Algorithm Design (2005), section 4.1. Taken in the order of their
starts, each into the first row that is free, the intervals need as few rows as possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def rows_of(lives: Iterable[tuple[str, str, int, int]]) -> dict[str, int]:
    """The row of each call: the first of its client's lane that is free from its start to its end.

    A life is a call, its client, and these two times; they come in the order of their starts.
    """
    busy_until: dict[str, list[int]] = defaultdict(list)
    rows: dict[str, int] = {}
    for call, client, start, end in lives:
        taken = busy_until[client]
        row = next((row for row, until in enumerate(taken) if until <= start), len(taken))
        taken[row : row + 1] = [end]
        rows[call] = row
    return rows
