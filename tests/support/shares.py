"""Parameters of which `make test` runs a share; `make test-all` runs the others."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from _pytest.mark import ParameterSet

ELSEWHERE = pytest.mark.elsewhere


def one_in(step: int, values: Iterable[Any]) -> list[ParameterSet]:
    """The first value and every `step`-th after it run in `make test`."""
    return [
        pytest.param(value, marks=[ELSEWHERE] * bool(number % step))
        for number, value in enumerate(values)
    ]


def in_turn(rows: Iterable[Any], columns: Sequence[Any]) -> list[ParameterSet]:
    """All pairs. In `make test`, each row has one column: the columns take turns."""
    return [
        pytest.param(row, column, marks=[ELSEWHERE] * (number % len(columns) != turn))
        for number, row in enumerate(rows)
        for turn, column in enumerate(columns)
    ]
