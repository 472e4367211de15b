"""A schedule as a line that can be sent to somebody: `lose-100: alice bob*2 alice`.

Before the colon what it is a schedule of, after it who steps: `bob*2` twice, `bob/1` in the second
of the ways that he could go on (0 is the first), with everything unusual in a name in per cent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from urllib.parse import quote, unquote

Turn = tuple[str, int]
"""Whose step, and which of the ways in which the thread could go on."""

MOST = 10_000
"""Steps of a schedule."""

_PART = re.compile(r"([^\s/*:]+)(?:/(\d{1,4}))?(?:\*(\d{1,5}))?", re.ASCII)


def slug(name: str) -> str:
    """A name without spaces: `lose-100`."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def write(name: str, turns: Iterable[Turn]) -> str:
    parts = []
    for (thread, option), same in groupby(turns):
        count = len(list(same))
        part = quote(thread, safe="")
        part += f"/{option}" if option else ""
        part += f"*{count}" if count > 1 else ""
        parts.append(part)
    return f"{slug(name)}: {' '.join(parts)}"


def read(name: str, text: str) -> list[Turn]:
    """The turns of a schedule of `name`. ValueError, with the reason, for anything else."""
    whose, colon, rest = text.strip().partition(":")
    if not colon:
        raise ValueError(f"This is no schedule; one looks like this: {write(name, EXAMPLE)}")
    if whose.strip() != slug(name):
        raise ValueError(f"This is a schedule of “{whose.strip()}”, and here is “{slug(name)}”.")
    turns: list[Turn] = []
    for part in rest.split():
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"“{part}” is no step; one looks like this: alice, or bob/1*2")
        thread, option, count = found.groups()
        turns += [(unquote(thread), int(option or 0))] * int(count or 1)
        if len(turns) > MOST:
            raise ValueError(f"A schedule has at most {MOST:,} steps.")
    return turns


EXAMPLE: list[Turn] = [("alice", 0), ("bob", 0), ("bob", 0), ("alice", 0)]
