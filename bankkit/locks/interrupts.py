"""Code that an interrupt cannot cut in two.

CPython looks at signals, and so raises KeyboardInterrupt, at three kinds of places: where a Python
function begins, before any ``try`` in it could notice; after a call, when the call has done its
work; and where a loop jumps back. Between these places nothing comes in between. So the locks keep
their state right with four habits:

- What must not be left out is a function with an ``unbroken_start``.
- Changes that belong together have no call and no loop between them; a call is the last of them.
- ``except BaseException`` undoes what this very call has got, and finishes what it has begun.
- A mutex is an RLock, which knows its owner, so that a handler can give back what it may have.
"""

import dis
from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_RESUME = dis.opmap.get("RESUME")  # None where Python is not CPython
_NO_LOOK = 2


def unbroken_start(function: F) -> F:
    """The same function, but CPython looks at no signal before its first instruction.

    A function begins with the instruction RESUME, whose argument says what is resumed. After a
    ``yield from`` or an ``await`` (argument 2) CPython looks at no signals, as the innermost
    generator has just done that. So the function says that it is one of those.
    """
    code = function.__code__
    instructions = bytearray(code.co_code)
    start = next((n for n in range(0, len(instructions), 2) if instructions[n] == _RESUME), None)
    if start is None:
        return function
    instructions[start + 1] = _NO_LOOK
    # A new function: CPython 3.13 does not optimize calls of one whose code was replaced.
    same: Any = FunctionType(
        code.replace(co_code=bytes(instructions)),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    same.__kwdefaults__ = function.__kwdefaults__
    update_wrapper(same, function)
    del same.__wrapped__  # it is no wrapper
    return cast(F, same)


@unbroken_start
def give_back(mutex: Any) -> None:
    """Release an RLock if this thread has it."""
    try:
        mutex.release()
    except RuntimeError:
        return
