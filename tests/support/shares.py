"""Tests of which `make test` runs a share of the cases; `make test-all` runs the others."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from _pytest.mark import ParameterSet

ELSEWHERE = pytest.mark.elsewhere


def share(items: Iterable[pytest.Item]) -> None:
    """Follow `@pytest.mark.one_in(step)`: the first case and every `step`-th after it run."""
    cases = Counter[str]()
    for item in items:
        marker = item.get_closest_marker("one_in")
        if marker is not None:
            test = item.nodeid.partition("[")[0]
            if cases[test] % marker.args[0]:
                item.add_marker(ELSEWHERE)
            cases[test] += 1


def in_turn(rows: Iterable[Any], columns: Sequence[Any]) -> list[ParameterSet]:
    """All pairs. In `make test`, each row has one column: the columns take turns."""
    return [
        pytest.param(row, column, marks=[ELSEWHERE] * (number % len(columns) != turn))
        for number, row in enumerate(rows)
        for turn, column in enumerate(columns)
    ]
