"""The instructions of the program that matter are looked at, and no other code is disturbed."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Generator, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

from bankkit.explorer.certificate.frame_tracing import FrameTracing, Table


def stores(code: CodeType) -> dict[int, str]:
    """The names of local variables that the code assigns, by instruction."""
    return {
        each.offset: str(each.argval)
        for each in dis.get_instructions(code)
        if each.opname == "STORE_FAST"
    }


class Stores:
    """Records which functions of this file begin, and what they assign."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.leaves_out: set[str] = set()
        self.tables: dict[CodeType, dict[int, str]] = {}

    def may_matter(self, code: CodeType) -> bool:
        return code.co_filename == __file__

    def enter(self, frame: FrameType) -> Table[str] | None:
        code = frame.f_code
        if code.co_filename != __file__ or code.co_name in self.leaves_out:
            return None
        self.seen.append(f"{code.co_name}:")
        return self.tables.setdefault(code, stores(code)) or None

    def before(self, frame: FrameType, entry: str) -> None:
        self.seen.append(entry)


def tools() -> list[Any]:
    """The names of the tools that use `sys.monitoring`."""
    monitoring: Any = getattr(sys, "monitoring", None)
    return [] if monitoring is None else [monitoring.get_tool(number) for number in range(6)]


@pytest.fixture
def handler() -> Stores:
    return Stores()


@pytest.fixture
def tracing(handler: Stores) -> Iterator[FrameTracing]:
    before = tools(), sys.gettrace()
    made = FrameTracing(handler)
    try:
        yield made
    finally:
        made.close()
        assert (tools(), sys.gettrace()) == before


def add() -> int:
    one = 1
    two = one + 1
    return two


def count() -> Generator[int, int | None, None]:
    first = yield 1
    second = yield first or 2
    del second


def fail() -> None:
    before = 1
    raise ValueError(before)


def test_each_run_of_an_instruction_is_seen(handler: Stores, tracing: FrameTracing) -> None:
    for _ in range(2):
        with tracing.tracing():
            add()
            add()
        add()
    assert handler.seen == ["add:", "one", "two"] * 4


def test_a_generator_is_seen_each_time_it_continues(handler: Stores, tracing: FrameTracing) -> None:
    with tracing.tracing():
        generator = count()
        next(generator)
        next(generator)
        with pytest.raises(ValueError, match="thrown"):
            generator.throw(ValueError("thrown"))
    # From Python 3.13 on, a generator does not begin before it is asked for something.
    seen = [each for each in handler.seen if each.startswith(("count", "first"))]
    assert seen[-3:] == ["count:", "first", "count:"]


def test_a_function_may_be_left_out_in_some_calls(handler: Stores, tracing: FrameTracing) -> None:
    with tracing.tracing():
        handler.leaves_out.add("add")
        add()
        handler.leaves_out.clear()
        add()
    assert handler.seen == ["add:", "one", "two"]


def test_an_exception_does_not_end_it(handler: Stores, tracing: FrameTracing) -> None:
    with tracing.tracing():
        with pytest.raises(ValueError, match="1"):
            fail()
        add()
    assert handler.seen == ["fail:", "before", "add:", "one", "two"]


def test_other_threads_are_not_traced(handler: Stores, tracing: FrameTracing) -> None:
    with tracing.tracing():
        add()
        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
    assert handler.seen == ["add:", "one", "two"]


def test_a_pause_leaves_out_what_runs_in_it(handler: Stores, tracing: FrameTracing) -> None:
    with tracing.tracing():
        before = tracing.pause()
        add()
        tracing.resume(before)
        add()
    assert handler.seen == ["add:", "one", "two"]


def test_a_debugger_goes_on(handler: Stores, tracing: FrameTracing) -> None:
    def debugger(*_: object) -> None:
        pass

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with tracing.tracing():
            add()
            found = sys.gettrace()
    finally:
        sys.settrace(before)
    assert found is debugger
    assert handler.seen == []
