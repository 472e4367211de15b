"""A schedule as a line of text that can be shared: `lose-100: alice bob*2 alice`.

The puzzle's name comes before the colon, and the threads' steps come after it: `bob*2` is two steps
of bob, and `bob/1` takes the second of his options (0 is the first). Unusual characters in a name
are percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from urllib.parse import quote, unquote

Turn = tuple[str, int]
"""The thread that steps, and the option that it takes."""

MAX_STEPS = 10_000
"""The most steps of a schedule."""

_PART = re.compile(r"([^\s/*:]+)(?:/(\d{1,4}))?(?:\*(\d{1,5}))?", re.ASCII)


def slug(name: str) -> str:
    """A name without spaces: `lose-100`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def write(name: str, turns: Iterable[Turn]) -> str:
    """The line for these turns of the puzzle or scenario `name`."""
    parts = []
    for (thread, option), same in groupby(turns):
        count = len(list(same))
        part = quote(thread, safe="")
        part += f"/{option}" if option else ""
        part += f"*{count}" if count > 1 else ""
        parts.append(part)
    return f"{slug(name)}: {' '.join(parts)}"


def read(name: str, text: str) -> list[Turn]:
    """The turns in a line of `name`. ValueError, with the reason, for any other text."""
    whose, colon, rest = text.strip().partition(":")
    if not colon:
        raise ValueError(f"This is not a schedule. One looks like this: {write(name, EXAMPLE)}")
    if whose.strip() != slug(name):
        raise ValueError(f"This is a schedule of “{whose.strip()}”, not of “{slug(name)}”.")
    turns: list[Turn] = []
    for part in rest.split():
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"“{part}” is not a step. One looks like this: alice, or bob/1*2")
        thread, option, count = found.groups()
        turns += [(unquote(thread), int(option or 0))] * int(count or 1)
        if len(turns) > MAX_STEPS:
            raise ValueError(f"A schedule has at most {MAX_STEPS:,} steps.")
    return turns


EXAMPLE: list[Turn] = [("alice", 0), ("bob", 0), ("bob", 0), ("alice", 0)]
