"""Helpers for code that an interrupt must not cut in two.

CPython checks for signals, and so raises KeyboardInterrupt, in three places: at the start of a
Python function, before any ``try`` in it; after a call has done its work; and where a loop jumps
back. Nothing is interrupted between these places. The locks keep their state consistent with four
rules:

- Code that must not be skipped is a function with an ``unbroken_start``.
- Changes that belong together have no call and no loop between them; a call comes last.
- ``except BaseException`` releases what the same call acquired, and finishes what it began.
- A mutex is an RLock: it knows its owner, so a handler may release it without knowing whether this
  thread holds it.
"""

import dis
from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_RESUME = dis.opmap.get("RESUME")  # None where Python is not CPython
_NO_SIGNAL_CHECK = 2


def unbroken_start(function: F) -> F:
    """The same function, but CPython does not check for signals before its first instruction.

    A function begins with the instruction RESUME, whose argument says what is resumed. After a
    ``yield from`` or an ``await`` (argument 2) CPython skips the signal check, because the
    innermost generator has just made it. The returned function has that argument.
    """
    code = function.__code__
    instructions = bytearray(code.co_code)
    start = next((n for n in range(0, len(instructions), 2) if instructions[n] == _RESUME), None)
    if start is None:
        return function
    instructions[start + 1] = _NO_SIGNAL_CHECK
    # We make a new function: CPython 3.13 does not optimize calls of a function whose code was
    # replaced.
    same: Any = FunctionType(
        code.replace(co_code=bytes(instructions)),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    same.__kwdefaults__ = function.__kwdefaults__
    update_wrapper(same, function)
    del same.__wrapped__  # it does not wrap the original
    return cast(F, same)


@unbroken_start
def give_back(mutex: Any) -> None:
    """Release an RLock if this thread holds it."""
    try:
        mutex.release()
    except RuntimeError:
        return
