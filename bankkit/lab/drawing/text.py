"""Sentences with numbers and names in them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, what: str) -> str:
    """`1 write`, `1,200 writes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`ann`, `ann and ben`, `ann, ben and carl`; empty without a name."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
