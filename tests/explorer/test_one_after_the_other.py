"""Threads that wait for each other's ends do not run at the same time."""

from collections.abc import Callable
from typing import Any

import pytest

from bankkit.explorer import explore
from tests.explorer.specimens import together


def each_joins_the_one_before(threading: Any) -> None:
    """All are started at once."""
    done: list[int] = []

    def work(before: Any) -> None:
        if before is not None:
            before.join()
        done.append(len(done))

    first = threading.Thread(target=work, args=(None,))
    second = threading.Thread(target=work, args=(first,))
    third = threading.Thread(target=work, args=(second,))
    for each in (first, second, third):
        each.start()
    for each in (first, second, third):
        each.join()
    assert done == [0, 1, 2]


def each_starts_the_next_and_joins_it(threading: Any) -> None:
    """Each works before and after that."""
    done = []

    def last() -> None:
        done.append(2)

    def middle() -> None:
        done.append(1)
        thread = threading.Thread(target=last)
        thread.start()
        thread.join()
        done.append(3)

    def first() -> None:
        done.append(0)
        thread = threading.Thread(target=middle)
        thread.start()
        thread.join()
        done.append(4)

    thread = threading.Thread(target=first)
    thread.start()
    thread.join()
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("scenario", [each_joins_the_one_before, each_starts_the_next_and_joins_it])
def test_a_chain_of_threads_is_ok(scenario: Callable[[Any], None]) -> None:
    """Nothing in it happens at the same time."""
    result = explore(scenario)
    assert result.verdict == "ok", result


def test_work_before_a_join_is_at_the_same_time() -> None:
    """Nobody knows what a call does."""

    def scenario(threading: Any) -> None:
        first = threading.Thread(target=lambda: None)

        def second() -> None:
            len("")
            first.join()

        thread = threading.Thread(target=second)
        for each in (first, thread):
            each.start()
        thread.join()

    result = explore(scenario)
    assert result.verdict == "unknown"
    assert "ran at the same time" in str(result.doubts)


def test_the_action_of_a_barrier_comes_before_what_follows() -> None:
    """The other threads see what it has done."""

    def scenario(threading: Any) -> None:
        parts = [0, 0]
        total = [0]

        def add_up() -> None:
            total[0] = sum(parts)

        barrier = threading.Barrier(2, action=add_up)

        def part(number: int) -> None:
            parts[number] = number + 1
            barrier.wait()
            assert total[0] == 3

        together(threading, lambda: part(0), lambda: part(1))

    assert explore(scenario).verdict == "ok"


def a_timed_join(threading: Any) -> None:
    """A thread without steps may still be at work when the timeout fires."""
    done = []
    thread = threading.Thread(target=lambda: done.append(1))
    thread.start()
    thread.join(1)
    assert not thread.is_alive()


def test_a_join_with_a_timeout_may_end_before_the_thread() -> None:
    """Unless timeouts are excluded that fire early."""
    result = explore(a_timed_join)
    assert result.bug is not None
    assert result.bug.kind == "failed assertion"
    assert explore(a_timed_join, timeouts=0).verdict == "ok"
