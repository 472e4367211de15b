"""What a history contains: how the calls of an object are recorded, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bankkit.explorer import ScenarioError, Unsupported, explore, linearizable
from bankkit.histories import Operation, Raised, RegisterModel
from tests.explorer.specimens import together
from tests.explorer.specimens.histories import Stale

Scenario = Callable[[Any], object]
REGISTER = linearizable(RegisterModel(0))


def history_of(scenario: Scenario, **settings: Any) -> Sequence[Operation]:
    """The history of the first schedule, which has no preemption."""
    found: list[Sequence[Operation]] = []
    explore(scenario, check=found.append, schedules=1, preemptions=0, **settings)
    return found[0]


def test_what_each_call_was_and_how_it_ended() -> None:
    class Till:
        def __init__(self) -> None:
            self.opened = 0

        def pay(self, amount: int, *, tip: int = 0) -> int:
            if amount == 0:
                raise ValueError("nothing")
            if amount < 0:
                raise TimeoutError
            return amount + tip

        def _hidden(self) -> None: ...

    def scenario(threading: Any) -> None:
        till = threading.recorded(Till(), unknown=(TimeoutError,))
        till.opened = 3
        assert till.opened == 3
        till._hidden()
        till.pay(5, tip=1)
        for amount, error in ((0, ValueError), (-1, TimeoutError)):
            with pytest.raises(error):
                till.pay(amount)
        other = threading.history()
        with other.call("wave"):
            pass

    paid, refused, in_doubt, wave = history_of(scenario)
    assert (str(paid), paid.result, paid.client) == ("Till.pay(5, tip=1)", 6, "main")
    assert (refused.result, refused.is_pending) == (Raised("ValueError"), False)
    assert in_doubt.is_pending
    assert (str(wave), wave.result) == ("wave()", None)
    assert paid.end < refused.start < in_doubt.start


def test_what_a_thread_changes_later_is_recorded_as_it_was() -> None:
    class Box:
        def __init__(self) -> None:
            self.items: list[int] = []

        def put(self, items: list[int]) -> dict[str, list[int]]:
            self.items += items
            return {"all": self.items}

    def scenario(threading: Any) -> None:
        box = threading.recorded(Box(), "put")
        items = [1]
        box.put(items)
        items.append(2)
        box.put(items)

    first, second = history_of(scenario)
    assert (first.arguments, first.result) == (([1],), {"all": [1]})
    assert (second.arguments, second.result) == (([1, 2],), {"all": [1, 1, 2]})


def test_a_thread_that_never_ends_has_a_call_without_a_response() -> None:
    """It is unwound at the end, and what it returns then is no response."""

    def scenario(threading: Any) -> None:
        never = threading.Event()
        history = threading.history()

        def wait() -> None:
            with history.call("write", 1) as call:
                try:
                    never.wait()
                except BaseException:
                    call.returned(None)

        threading.Thread(target=wait, daemon=True).start()
        with history.call("read") as call:
            call.returned(0)

    assert explore(scenario, check=REGISTER).verdict == "ok"
    assert [each.is_pending for each in history_of(scenario)] == [False, True]


def test_two_objects_have_two_histories() -> None:
    def scenario(threading: Any) -> None:
        for _ in range(2):
            register = threading.recorded(Stale(threading))
            register._cells.read = 1
            register.write(1)
            register.read()

    assert explore(scenario, check=REGISTER).verdict == "ok"
    assert [each.object for each in history_of(scenario)] == ["Stale"] * 2 + ["Stale 2"] * 2


def test_an_object_that_is_recorded_twice_has_one_history() -> None:
    """Otherwise each thread's own history would be in order, whatever the other has seen."""

    def scenario(threading: Any) -> None:
        register = Stale(threading)

        def work() -> None:
            own = threading.recorded(threading.recorded(register))
            own.write(1)
            own.read()

        together(threading, work, work)

    assert {each.object for each in history_of(scenario)} == {"Stale"}
    assert len(history_of(scenario)) == 4


@pytest.mark.parametrize("times", [0, 2])
def test_a_call_that_is_not_recorded_once_is_an_error(times: int) -> None:
    def scenario(threading: Any) -> None:
        call = threading.history().call("read")
        for _ in range(times):
            with call:
                call.returned(0)

    if times:
        bug = explore(scenario, check=REGISTER).bug
        assert bug is not None
        assert "The call read() was recorded before. Make another one." in bug.text
    else:
        with pytest.raises(ScenarioError, match=r"call read\(\) of a history is never entered"):
            explore(scenario, check=REGISTER)


def test_a_call_ends_once() -> None:
    def scenario(threading: Any) -> None:
        with threading.history().call("read") as call:
            call.returned(0)
            with pytest.raises(RuntimeError, match=r"The call read\(\) has ended already"):
                call.returned(1)

    assert explore(scenario, check=REGISTER).verdict == "ok"


@pytest.mark.parametrize("lazy", ["coroutine", "generator"])
def test_a_call_that_does_its_work_later_is_refused(lazy: str) -> None:
    class Lazy:
        async def coroutine(self) -> int:
            return 0

        def generator(self) -> Any:
            yield 0

    def scenario(threading: Any) -> None:
        result = getattr(threading.recorded(Lazy()), lazy)()
        result.close()

    with pytest.raises(Unsupported, match=rf"{lazy}\(\) returned .* does its work only later"):
        explore(scenario, check=REGISTER)


def test_what_cannot_be_recorded_is_refused() -> None:
    def scenario(threading: Any) -> None:
        with pytest.raises(TypeError, match="'x' is not a method"):
            threading.recorded(threading.shared(x=0), "x")
        with pytest.raises(TypeError, match="has no public method"):
            threading.recorded(object())
        with pytest.raises(AttributeError, match="stand"):
            threading.recorded(stand := Stale(threading), "stand")
        assert stand.read() == 0

    explore(scenario)
