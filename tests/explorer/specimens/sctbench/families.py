"""Programs that come with several numbers of threads."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from tests.explorer.specimens import together

Code = Callable[[Any, bool], object]


def philosophers(number: int) -> Code:
    """The last philosopher who has eaten fails. So the program fails unless an addition is lost."""

    def din_phil(threading: Any, right: bool) -> None:
        forks = [threading.Lock() for _ in range(number)]
        atomic = threading.Lock()
        table = threading.shared(fed=0)

        def dine(seat: int) -> None:
            with atomic, forks[(seat + 1) % number], forks[seat]:
                pass
            if not right:
                table.fed += 1
                assert table.fed != number

        def dine_seventh(seat: int) -> None:
            atomic.acquire()
            with forks[(seat + 1) % number], forks[seat]:
                pass
            atomic.acquire()  # where the others release it

        target = dine_seventh if number == 7 and not right else dine
        together(threading, *(partial(target, seat) for seat in range(number)))

    return din_phil


def reorder(setters: int, checkers: int) -> Code:
    """A checker sees the first assignment of a setter and not the second."""

    def reorder_bad(threading: Any, right: bool) -> None:
        pair = threading.shared(a=0, b=0)
        mutex = threading.Lock() if right else nullcontext()

        def set_both() -> None:
            with mutex:
                pair.a = 1
                pair.b = -1

        def check() -> None:
            with mutex:
                assert (pair.a == 0 and pair.b == 0) or (pair.a == 1 and pair.b == -1)

        together(threading, *[set_both] * setters, *[check] * checkers)

    return reorder_bad


def twostage(writers: int) -> Code:
    """The reader comes between the two stages of a writer."""

    def twostage_bad(threading: Any, right: bool) -> None:
        data = threading.shared(one=0, two=0)
        first = threading.Lock()
        second = threading.Lock()
        both = threading.Lock() if right else nullcontext()

        def write() -> None:
            with both:
                with first:
                    data.one = 1
                with second:
                    data.two = data.one + 1

        def read() -> None:
            with both:
                with first:
                    one = data.one
                if one != 0:
                    with second:
                        two = data.two
                    assert two == one + 1

        together(threading, *[write] * writers, read)

    return twostage_bad


def wronglock(others: int) -> Code:
    """One thread takes another lock than the others do."""

    def wronglock_bad(threading: Any, right: bool) -> None:
        data = threading.shared(value=0)
        mine = threading.Lock()
        theirs = mine if right else threading.Lock()

        def check() -> None:
            with mine:
                before = data.value
                data.value += 1
                assert data.value == before + 1

        def add() -> None:
            with theirs:
                data.value += 1

        together(threading, check, *[add] * others)

    return wronglock_bad
