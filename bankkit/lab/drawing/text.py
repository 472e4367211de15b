"""Sentences with numbers and names in them."""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.explorer.text import counted

__all__ = ["counted", "listed"]


def listed(names: Sequence[str]) -> str:
    """`ann`, `ann and ben`, `ann, ben and carl`; empty without a name."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
