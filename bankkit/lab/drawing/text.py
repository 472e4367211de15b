"""Helpers for sentences with numbers and names."""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.explorer.text import counted

__all__ = ["counted", "listed"]


def listed(names: Sequence[str]) -> str:
    """Names as an English list: `ann`, `ann and ben`, `ann, ben and carl`; empty for no names."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
