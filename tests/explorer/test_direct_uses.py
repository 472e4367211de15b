"""Data that is tracked, or used in named code, and that other code uses in ways that are no steps.

The verdict on a race is never `ok`, and the doubt names the data and how it is used.
"""

import copy
import dataclasses
import heapq
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from bankkit.explorer import explore
from tests.explorer.specimens import together

Work = Callable[[], Any]


def after_a_lock(threading: Any, *works: Work) -> None:
    """Run the works in threads, each after it has taken one lock and given it back."""
    lock = threading.Lock()

    def behind(work: Work) -> Work:
        def run() -> None:
            with lock:
                pass
            work()

        return run

    together(threading, *map(behind, works))


class Box:
    """An object with a number and a list."""

    def __init__(self) -> None:
        self.n = 0
        self.items: list[Any] = []


# The container that tracked data was made from.


def append_if_empty(items: list[int]) -> None:
    if not items:
        items.append(1)


def test_a_list_is_used_directly_too() -> None:
    """One thread uses the tracked list, the other one the list that it was made from."""

    def scenario(threading: Any) -> None:
        real: list[int] = []
        s = threading.shared(items=real)
        after_a_lock(threading, lambda: append_if_empty(s.items), lambda: append_if_empty(real))
        assert len(real) == 1

    result = explore(scenario)
    assert result.verdict == "unknown"
    assert len(result.doubts) == 1
    assert "the list that `s.items` was made from is also used directly" in result.doubts[0]
    assert "as `items` (test_direct_uses.py:" in result.doubts[0]


def test_a_dict_in_an_object_is_used_directly_too() -> None:
    """The other thread gets the real dict from an object that had it before."""

    def scenario(threading: Any) -> None:
        box: Any = Box()
        box.n = {"n": 0}
        s = threading.shared(d=box.n)

        def track() -> None:
            s.d["n"] += 1

        def direct() -> None:
            box.n["n"] += 1

        after_a_lock(threading, track, direct)
        assert box.n["n"] == 2

    result = explore(scenario)
    assert result.verdict == "unknown"
    assert "the dict that `s.d` was made from is also used directly, as `box.n['n']`" in str(result)


def test_code_in_c_changes_the_list_directly() -> None:
    """The changes are seen in the list itself."""

    def scenario(threading: Any) -> None:
        real = [0]
        s = threading.shared(items=real)
        after_a_lock(threading, lambda: heapq.heappush(real, 1), lambda: s.items.append(2))

    assert explore(scenario).verdict == "unknown"


def test_an_attribute_is_used_directly_too() -> None:
    """To change the dictionary of an object is not a step."""

    def scenario(threading: Any) -> None:
        box = threading.track(Box(), "n")

        def track() -> None:
            box.n += 1

        def direct() -> None:
            vars(box)["n"] += 1

        after_a_lock(threading, track, direct)
        assert box.n == 2

    result = explore(scenario)
    assert result.verdict == "unknown"
    assert "`box.n` is also used directly, as `vars(box)['n']`" in str(result.doubts)


def test_what_track_returns_is_not_used() -> None:
    """Nothing that the threads do is a step."""

    def scenario(threading: Any) -> None:
        real: list[int] = []
        threading.track(real)
        after_a_lock(threading, *[lambda: append_if_empty(real)] * 2)

    assert explore(scenario).verdict == "unknown"


def test_direct_uses_that_a_lock_guards_are_right() -> None:
    """They are ordered, and so is what the main thread does before and after."""

    def scenario(threading: Any) -> None:
        real: list[int] = []
        s = threading.shared(items=real)
        real.append(0)
        lock = threading.Lock()

        def track() -> None:
            with lock:
                s.items.append(len(s.items))

        def direct() -> None:
            with lock:
                real.append(len(real))

        together(threading, track, direct)
        assert real == [0, 1, 2]

    assert explore(scenario).verdict == "ok"


# What the library reads of an object, and named code.


@dataclasses.dataclass
class Pair:
    """Two numbers that are equal, and a list."""

    a: int = 0
    b: int = 0
    items: list[Any] = dataclasses.field(default_factory=list)


class Changes:
    """Code that changes a pair in two steps."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def run(self) -> None:
        """Set both numbers."""
        self.pair.a = 1
        self.pair.b = 1


class Copies:
    """Code that calls a function with a pair."""

    def __init__(self, pair: Pair, copied: Callable[[Pair], Any]) -> None:
        self.pair = pair
        self.copied = copied

    def run(self) -> None:
        """Call it."""
        self.copied(self.pair)


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "asdict": dataclasses.asdict,
    "astuple": dataclasses.astuple,
    "replace": dataclasses.replace,
    "==": lambda pair: pair == Pair(),
    "repr": repr,
    "vars": lambda pair: dict(vars(pair)),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("named", [Changes, Copies])
def test_a_copy_of_plain_data_may_be_torn(name: str, named: type) -> None:
    """Only one of the two sides is in code that is named."""

    def scenario(threading: Any) -> None:
        pair = Pair()
        after_a_lock(threading, Copies(pair, COPIES[name]).run, Changes(pair).run)

    result = explore(scenario, lines=[named])
    assert result.verdict == "unknown"
    assert "is plain data that the threads run and run-2 use without a lock" in str(result.doubts)


@pytest.mark.parametrize("name", ["copy", "deepcopy", "pickle"])
def test_to_copy_a_tracked_object_reads_its_attributes(name: str) -> None:
    """Another thread may change it in between, or what it holds."""

    def scenario(threading: Any) -> None:
        pair = threading.track(Pair(items=[[]]))
        copies = []

        def change() -> None:
            pair.a = 1
            pair.items[0].append(1)

        after_a_lock(threading, lambda: copies.append(COPIES[name](pair)), change)
        copied = copies[0]
        if isinstance(copied, bytes):
            copied = pickle.loads(copied)
        assert copied.a == len(copied.items[0])

    assert explore(scenario).verdict == "bug"


INSIDE: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "repr": repr,
    "text": lambda outer: f"{outer}",
    "==": lambda outer: outer == [[1]],
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_is_in_a_container_is_read_too(name: str) -> None:
    """Another thread changes an inner list meanwhile."""

    def scenario(threading: Any) -> None:
        inner = [1]
        outer = [inner]
        after_a_lock(threading, lambda: INSIDE[name](outer), lambda: inner.append(2))

    assert explore(scenario).verdict == "unknown"


class Guarded:
    """An object whose copies are made under its lock."""

    def __init__(self, threading: Any) -> None:
        self.lock = threading.Lock()
        self.n = 0

    def __getstate__(self) -> Any:
        with self.lock:
            return {"n": self.n}

    def add(self) -> None:
        """Change it under its lock."""
        with self.lock:
            self.n += 1


@pytest.mark.parametrize("name", ["copy", "deepcopy", "pickle"])
def test_an_object_that_guards_its_copies_is_right(name: str) -> None:
    """It says itself what is read."""

    def scenario(threading: Any) -> None:
        guarded = Guarded(threading)
        together(threading, lambda: COPIES[name](guarded), guarded.add)

    assert explore(scenario).verdict == "ok"


class Looks:
    """Named code that reads a list twice."""

    def __init__(self, items: list[int]) -> None:
        self.items = items

    def run(self) -> None:
        """Ask for its length twice."""
        assert len(self.items) == len(self.items)


def test_code_that_is_not_named_changes_what_named_code_reads() -> None:
    """No step of the other thread comes between the two reads."""

    def scenario(threading: Any) -> None:
        items: list[int] = []
        after_a_lock(threading, Looks(items).run, lambda: items.append(1))

    result = explore(scenario, lines=[Looks])
    assert result.verdict == "unknown"
    assert "`self.items` is plain data" in str(result.doubts)


# Semaphores that are released more often than acquired.


@pytest.mark.parametrize("times", [1, 2])
def test_a_semaphore_lets_more_in_after_too_many_releases(times: int) -> None:
    """A thread that is inside sees the other one."""

    def scenario(threading: Any) -> None:
        semaphore = threading.Semaphore(1)
        s = threading.shared(inside=0)

        def work() -> None:
            with semaphore:
                s.inside += 1
                assert s.inside == 1
                s.inside -= 1
            semaphore.release(times)

        together(threading, work, work, work)

    result = explore(scenario, preemptions=1)
    assert result.bug is not None
    assert result.bug.kind == "failed assertion"


def test_a_bounded_semaphore_refuses_too_many_releases() -> None:
    """As the real one does."""

    def scenario(threading: Any) -> None:
        semaphore = threading.BoundedSemaphore(1)

        def work() -> None:
            with semaphore:
                pass
            semaphore.release()

        together(threading, work)

    result = explore(scenario)
    assert result.bug is not None
    assert "Semaphore released too many times" in str(result.bug)


def test_a_change_of_the_class_of_a_tracked_object_is_not_seen() -> None:
    """`type(counter)` is a class that only this object has; its value is that of the real class."""

    class Counter:
        n = 0

        def add(self) -> None:
            type(self).n = type(self).n + 1

    def scenario(threading: Any) -> None:
        counter = threading.track(Counter())
        after_a_lock(threading, counter.add, counter.add)

    result = explore(scenario)
    assert result.verdict == "unknown"
    assert "Counter.n was changed on the class" in str(result.doubts)
