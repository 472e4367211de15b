"""A doubt tells a fact, and no other doubt of the same answer tells it again."""

import array
import io
import threading as real
from collections.abc import Callable
from typing import Any

import pytest

from bankkit.explorer import explore
from tests.explorer.specimens import together

Scenario = Callable[[Any], None]


class RealLock:
    """An object with a lock that is not scheduled."""

    def __init__(self) -> None:
        self.lock = real.Lock()
        self.n = 0

    def use(self) -> None:
        """Hold the lock."""
        with self.lock:
            pass


def under_three_names(threading: Any) -> None:
    """The same lock is an attribute of two names, and a variable."""
    it = RealLock()
    lock = it.lock

    def variable() -> None:
        with lock:
            pass

    def attribute() -> None:
        with it.lock:
            pass

    together(threading, variable, attribute, it.use)


def under_two_names(threading: Any) -> None:
    """The same list is a variable and an attribute."""
    it: Any = RealLock()
    items = it.n = [0]

    def variable() -> None:
        items[0] += 1

    def attribute() -> None:
        it.n[0] += 1

    together(threading, variable, attribute)


def a_list(threading: Any) -> None:
    """That nothing is in common is the same fact as that the list is plain data."""
    items: list[int] = []

    def work() -> None:
        if not items:
            items.append(1)

    together(threading, work, work)


def tracked(make: Callable[[], Any], change: Callable[[Any], Any]) -> Scenario:
    """Tracked data holds something whose changes are not seen."""

    def scenario(threading: Any) -> None:
        s = threading.shared(held=make())

        def work() -> None:
            change(s.held)

        together(threading, work, work)

    return scenario


class Words(dict[str, int]):
    """A subclass of dict."""


def add(items: Any, key: Any) -> None:
    items[key] += 1


@pytest.mark.parametrize(
    "scenario",
    [
        under_three_names,
        under_two_names,
        a_list,
        tracked(io.StringIO, lambda file: file.write("x")),
        tracked(lambda: array.array("i", [0]), lambda items: add(items, 0)),
        tracked(lambda: Words(a=1), lambda items: add(items, "a")),
    ],
)
def test_one_fact_is_one_doubt(scenario: Scenario) -> None:
    """However many names the data has, and in however many schedules it is seen."""
    result = explore(scenario)
    assert result.verdict == "unknown"
    assert len(result.doubts) == 1, result.doubts


def test_what_the_start_of_a_real_thread_does_is_no_doubt() -> None:
    """The set of threads that Python itself keeps is not the program's data."""

    def scenario(threading: Any) -> None:
        def work() -> None:
            thread = real.Thread(target=len, args=("",))
            thread.start()
            thread.join()

        together(threading, work, work)

    assert "WeakSet" not in str(explore(scenario))
