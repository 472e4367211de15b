"""A schedule calls the objects of a program what the program calls them."""

from collections.abc import Callable
from typing import Any

import pytest

from bankkit import lab


class Holder:
    """Keeps locks under several names."""

    def __init__(self, threading: Any) -> None:
        self._mutex = threading.Lock()
        self.first, self.second = threading.Lock(), threading.Lock()
        self.by_key = {"left": threading.Lock(), "right": threading.Lock()}
        self.by_key["late"] = threading.Lock()
        self.changed = threading.Condition()
        self.given = threading.Condition(threading.Lock())
        self.kept = keep(
            threading.Event(),
            inner=threading.Lock(),
        )
        a = threading.Lock(); b = threading.Lock()  # noqa: E702  # fmt: skip
        self.several = [a, b]
        self.locks = [threading.Lock() for _ in range(2)]
        self.chosen = threading.Lock() if self.locks else None
        self.over_lines: Any = (
            threading
            .Semaphore(2)
        )  # fmt: skip
        if (walrus := threading.Lock()) is not None:
            self.walrus = walrus
        same = threading.Lock() == self.walrus
        assert not same


def keep(*things: Any, **named: Any) -> list[Any]:
    """The things, in a list."""
    return [*things, *named.values()]


NAMES: dict[str, tuple[Callable[[Holder], Any], str]] = {
    "an attribute": (lambda holder: holder._mutex, "acquire mutex"),
    "the first of a pair": (lambda holder: holder.first, "acquire first"),
    "the second of a pair": (lambda holder: holder.second, "acquire second"),
    "the value of a key": (lambda holder: holder.by_key["right"], "acquire right"),
    "an item": (lambda holder: holder.by_key["late"], "acquire by_key['late']"),
    "a condition's own lock": (lambda holder: holder.changed._lock, "acquire changed's lock"),
    "a condition's given lock": (lambda holder: holder.given._lock, "acquire given's lock"),
    "an argument": (lambda holder: holder.kept[1], "acquire inner"),
    "the second in a line": (lambda holder: holder.several[1], "acquire b"),
    "an element": (lambda holder: holder.locks[1], "acquire locks 2"),
    "a choice": (lambda holder: holder.chosen, "acquire chosen"),
    "a call over lines": (lambda holder: holder.over_lines, "acquire over_lines"),
    "a walrus": (lambda holder: holder.walrus, "acquire walrus"),
}


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("lines", [(), (Holder,)], ids=["", "with lines"])
def test_an_object_has_the_name_that_its_own_call_gives_it(what: str, lines: Any) -> None:
    """It is not the name of something else in the same line or statement."""
    get, does = NAMES[what]
    holder: Any = None

    def scenario(threading: Any) -> None:
        nonlocal holder
        holder = Holder(threading)
        get(holder).acquire()

    with lab.Run(scenario, lines=lines) as run:
        while run.outcome is None:
            last = run.enabled[0]
            run.step(last)
    assert last.does == does


def test_an_object_without_a_name_has_that_of_its_class() -> None:
    """The value of a call that is only an argument has no name of its own."""

    def scenario(threading: Any) -> None:
        result = keep(threading.Event())
        result[0].set()

    with lab.Run(scenario) as run:
        assert run.enabled[0].does == "set event"
