"""`lines=` makes every access of the named code a step, wherever that code stands."""

import asyncio
import bisect
import collections
import contextlib
import dataclasses
import functools
import sys
import threading as real
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.lines.instrument import Instrumentation
from bankkit.explorer.lines.named_code import functions_of
from tests.explorer.specimens import together
from tests.support.shares import in_turn

Scenario = Callable[[Any], None]
THIS = sys.modules[__name__]


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that keeps the function in its closure, and only there."""

    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the usual form."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class Calls:
    """A decorator that is a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self.function(*args)

    def __get__(self, thing: Any, cls: type) -> Any:
        """Bind the function, as a function does."""
        return functools.partial(self, thing)


class Base:
    """Has what another class inherits."""

    n = 0

    def inherited(self) -> None:
        """Add one."""
        self.n += 1


class Box(Base):
    """Counts in every way that Python has; no way takes a lock."""

    total = 0
    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.n = 0
        self.slot = 0
        self.items: list[int] = [0]
        self.table: dict[str, int] = {"n": 0}
        self.__private = 0
        self.made = 0

    def attribute(self) -> None:
        """Add one."""
        self.n += 1

    def one_line(self) -> None:
        """Add one, and read and write in one line."""
        self.n = self.n + 1

    def twice_in_a_line(self) -> None:
        """Add one, with both statements in one line."""
        value = self.n; self.n = value + 1  # fmt: skip

    def over_lines(self) -> None:
        """Add one, in a statement of several lines."""
        self.n = (
            self.n
            + 1
        )  # fmt: skip

    def walrus(self) -> None:
        """Add one, with an assignment in an expression."""
        self.n = ((value := self.n) and value + 1) or 1

    def item(self) -> None:
        """Add one."""
        self.items[0] += 1
        self.n = self.items[0]

    def key(self) -> None:
        """Add one."""
        self.table["n"] = self.table.get("n", 0) + 1
        self.n = self.table["n"]

    def slotted(self) -> None:
        """Add one."""
        self.slot += 1
        self.n = self.slot

    def private(self) -> None:
        """Add one."""
        self.__private += 1
        self.n = self.__private

    def unpacked(self) -> None:
        """Add one, by an assignment to two targets."""
        self.n, self.made = self.n + 1, 1

    def chained(self) -> None:
        """Add one, by an assignment with two targets."""
        self.made = self.n = self.n + 1

    def set_by_name(self) -> None:
        """Add one, with builtins."""
        setattr(self, "n", getattr(self, "n") + 1)

    def through_dict(self) -> None:
        """Add one, with the instance's dictionary."""
        vars(self)["n"] += 1

    def in_a_comprehension(self) -> None:
        """Add one, in a list comprehension."""
        self.n = [each + self.n for each in (1,)][0]

    def in_a_generator(self) -> None:
        """Add one, in a generator expression."""
        self.n = sum(each + self.n for each in (1,))

    def in_a_lambda(self) -> None:
        """Add one, in a lambda."""
        add: Callable[[int], int] = lambda value: value + self.n
        self.n = add(1)

    def in_a_function(self) -> None:
        """Add one, in a nested function."""

        def add() -> None:
            self.n += 1

        add()

    def in_a_class(self) -> None:
        """Add one, in a method of a nested class."""
        box = self

        class Inner:
            def add(self) -> None:
                box.n += 1

        Inner().add()

    def in_an_fstring(self) -> None:
        """Add one, in a formatted string."""
        self.n = int(f"{self.n + 1}")

    def in_a_condition(self) -> None:
        """Add one, in a conditional expression."""
        self.n = self.n + 1 if self.n >= 0 else 0

    def in_finally(self) -> None:
        """Add one, while an exception leaves."""
        with contextlib.suppress(ZeroDivisionError):
            try:
                raise ZeroDivisionError
            finally:
                self.n += 1

    def in_a_default(self) -> None:
        """Add one, in a default value."""

        def add(value: int = self.n) -> int:
            return value + 1

        self.n = add()

    def in_an_argument(self) -> None:
        """Add one: the object of the call is found before its argument is computed."""
        self.store(self.n + 1)

    def store(self, value: int) -> None:
        """Set the count."""
        self.n = value

    def in_a_loop(self) -> None:
        """Add one, in a loop."""
        for _ in range(1):
            self.n += 1

    @counted
    def naive(self) -> None:
        """Add one."""
        self.n += 1

    @noted
    def wrapped(self) -> None:
        """Add one."""
        self.n += 1

    @Calls
    def by_class(self) -> None:
        """Add one."""
        self.n += 1

    @functools.lru_cache
    def cached(self) -> None:
        """Add one."""
        self.n += 1

    @contextlib.contextmanager
    def context(self) -> Any:
        """Add one on entry."""
        self.n += 1
        yield

    def uses_context(self) -> None:
        """Add one, in a context manager."""
        with self.context():
            pass

    @property
    def next(self) -> int:
        """One more."""
        value = self.n
        return value + 1

    @next.setter
    def next(self, value: int) -> None:
        self.n = value

    def uses_property(self) -> None:
        """Add one, through a property."""
        self.next = self.next

    @staticmethod
    def static(box: Any) -> None:
        """Add one."""
        box.n += 1

    def uses_static(self) -> None:
        """Add one."""
        Box.static(self)

    @functools.partialmethod
    def partial(self) -> None:
        """Add one."""
        self.n += 1

    async def coroutine(self) -> None:
        """Add one."""
        value = self.n
        self.n = value + 1

    def uses_coroutine(self) -> None:
        """Add one, in a coroutine."""
        with contextlib.suppress(StopIteration):
            self.coroutine().send(None)

    def generator(self) -> Any:
        """Add one, around a yield."""
        value = self.n
        yield
        self.n = value + 1

    def uses_generator(self) -> None:
        """Add one, in a generator."""
        list(self.generator())

    @functools.singledispatchmethod
    def dispatched(self, value: object) -> None:
        """Refuse other types."""
        raise TypeError(value)

    @dispatched.register
    def _(self, value: int) -> None:
        self.n += value

    def uses_dispatch(self) -> None:
        """Add one, in a function for int."""
        self.dispatched(1)


WAYS = [
    "attribute", "one_line", "twice_in_a_line", "over_lines", "walrus", "item", "key", "slotted",
    "private", "unpacked", "chained", "set_by_name", "through_dict", "in_a_comprehension",
    "in_a_generator", "in_a_lambda", "in_a_function", "in_a_class", "in_an_fstring",
    "in_a_condition", "in_finally", "in_a_default", "in_an_argument", "in_a_loop", "naive",
    "wrapped", "by_class", "cached", "uses_context", "uses_property", "uses_static", "partial",
    "uses_coroutine", "uses_generator", "uses_dispatch", "inherited",
]  # fmt: skip


def add_in_two_threads(way: str) -> Scenario:
    """Two threads add one in this way. Without a lock, one addition can be lost."""

    def scenario(threading: Any) -> None:
        box = Box()
        add = getattr(box, way)
        if way == "cached":
            together(threading, lambda: Box.cached.__wrapped__(box), add)
        else:
            together(threading, add, add)
        assert box.n == 2

    return scenario


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("way", "bound"), in_turn(WAYS, [None, 1]))
def test_an_addition_is_lost(way: str, bound: int | None) -> None:
    """It is lost however the class writes it, with and without a bound."""
    found = lab.explore(add_in_two_threads(way), lines=[Box], preemptions=bound)
    assert found.bug is not None, found
    assert found.bug.kind == "failed assertion"
    again = lab.replay(add_in_two_threads(way), found.bug.schedule, lines=[Box])
    assert again.kind == "failed assertion"


@pytest.mark.one_in(5)
@pytest.mark.parametrize("way", WAYS)
def test_no_addition_is_lost_under_a_lock(way: str) -> None:
    """The corrected twin is ok: the steps change nothing that the code does."""

    def scenario(threading: Any) -> None:
        box = Box()
        lock = threading.Lock()

        def add() -> None:
            with lock:
                if way == "cached":
                    Box.cached.__wrapped__(box)
                else:
                    getattr(box, way)()

        together(threading, add, add)
        assert box.n == 2

    result = lab.explore(scenario, lines=[Box], preemptions=1)
    assert result.verdict == "ok", result


# Names outside of classes.

COUNT = 0
TABLE: dict[str, int] = {}


def add_to_global() -> None:
    """Add one."""
    global COUNT
    COUNT += 1


def read_then_write_global() -> None:
    """Add one, in two statements and with two targets."""
    global COUNT
    value = COUNT
    COUNT = last = value + 1
    assert last


def loop_over_global() -> None:
    """Add one: a loop variable is a global."""
    global COUNT
    for COUNT in (COUNT + 1,):
        pass


def import_to_global() -> None:
    """Bind a global by an import, and use it as the count."""
    global COUNT
    value = COUNT
    from math import tau as COUNT

    COUNT = value + 1


def fill_table() -> None:
    """Add one, in a table that never exists twice."""
    TABLE["n"] = TABLE.setdefault("n", 0) + 1


async def add_in_coroutine() -> None:
    """Add one, between two awaits."""
    global COUNT
    value = COUNT
    await asyncio.sleep(0)
    COUNT = value + 1


def drive(coroutine: Any) -> object:
    """Run a coroutine to its end, and return its value."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def of_globals(add: Callable[[], object]) -> Scenario:
    """Two threads add one to a global."""

    def scenario(threading: Any) -> None:
        global COUNT
        COUNT = 0
        TABLE.clear()
        together(threading, add, add)
        assert COUNT + TABLE.get("n", 0) == 2

    return scenario


OF_GLOBALS: dict[str, Callable[[], object]] = {
    "a global": add_to_global,
    "two statements": read_then_write_global,
    "a loop's variable": loop_over_global,
    "an import": import_to_global,
    "a table": fill_table,
    "a coroutine": lambda: drive(add_in_coroutine()),
    "a partial": functools.partial(add_to_global),
}


@pytest.mark.parametrize(("name", "lines"), in_turn(OF_GLOBALS, ["the module", "the function"]))
def test_a_global_is_shared(name: str, lines: str) -> None:
    """The module or the function alone is named; the module's other functions are found, too."""
    add = OF_GLOBALS[name]
    named = THIS if lines == "the module" else add
    if name == "a coroutine" and lines == "the function":
        named = add_in_coroutine
    found = lab.explore(of_globals(add), lines=[named])
    assert found.bug is not None, found


def of_closure(way: str) -> Scenario:
    """Two threads add one to a variable of their closure."""

    def scenario(threading: Any) -> None:
        n = 0

        def statement() -> None:
            nonlocal n
            n += 1

        def targets() -> None:
            nonlocal n
            m, n = 0, n + 1
            assert m == 0

        def walrus() -> None:
            nonlocal n
            assert (n := n + 1)

        def loop() -> None:
            nonlocal n
            for n in (n + 1,):
                pass

        def context() -> None:
            nonlocal n
            with contextlib.nullcontext(n + 1) as n:
                pass

        def deeper() -> None:
            def deepest() -> None:
                nonlocal n
                n = n + 1

            deepest()

        def in_lambda() -> None:
            nonlocal n
            n = (lambda: n + 1)()

        adds: dict[str, Callable[[], None]] = {
            each.__name__: each
            for each in (statement, targets, walrus, loop, context, deeper, in_lambda)
        }
        together(threading, adds[way], adds[way])
        assert n == 2

    return scenario


@pytest.mark.parametrize(
    "way", ["statement", "targets", "walrus", "loop", "context", "deeper", "in_lambda"]
)
def test_a_variable_of_a_closure_is_shared(way: str) -> None:
    """The scenario itself is named."""
    scenario = of_closure(way)
    assert lab.explore(scenario, preemptions=1).verdict == "unknown"
    found = lab.explore(scenario, preemptions=1, lines=[scenario])
    assert found.bug is not None, found


def test_an_exception_variable_of_a_closure_is_bound_and_unbound() -> None:
    """A thread that reads it between sees the exception, and later a NameError."""
    seen: set[str] = set()

    def scenario(threading: Any) -> None:
        def read() -> None:
            try:
                seen.add(str(error))  # type: ignore[misc]
            except NameError:
                seen.add("unbound")

        thread = threading.Thread(target=read)
        thread.start()
        try:
            raise ValueError("bound")
        except ValueError as error:
            pass
        thread.join()

    assert lab.explore(scenario, lines=[scenario]).verdict == "ok"
    assert {"bound", "unbound"} <= seen


# Operations that look into an object without naming an attribute.


def grow(items: list[int]) -> None:
    """Append the length."""
    items.append(len(items))


def grow_in_place(items: list[int]) -> None:
    """Append the length, with an operator."""
    items += [len(items)]


def grow_if_empty(items: list[int]) -> None:
    """Append to an empty list."""
    if not items:
        items.append(0)


def grow_if_absent(items: list[int]) -> None:
    """Append what is not in the list."""
    if 0 not in items:
        items.append(0)
    else:
        items.append(1)


def grow_if_equal(items: list[int]) -> None:
    """Append to a list that equals another."""
    items.append(0 if items == [] else 1)


def grow_by_sum(items: list[int]) -> None:
    """Append how long the list is with one more."""
    items.append(len(items + [0]) - 1)


def grow_by_unpacking(items: list[int]) -> None:
    """Append how many there were."""
    items.append(len([*items]))


def grow_by_text(items: list[int]) -> None:
    """Append the number of commas, more or less."""
    items.append(len(f"{items}") // 3 + len(items) - len(items))


def grow_by_slice(items: list[int]) -> None:
    """Append by an assignment to a slice."""
    items[len(items) :] = [len(items)]


GROW: list[Callable[[list[int]], None]] = [
    grow, grow_in_place, grow_if_absent, grow_if_equal, grow_by_sum, grow_by_unpacking,
    grow_by_slice,
]  # fmt: skip


@pytest.mark.parametrize("add", GROW)
def test_a_container_is_shared(add: Callable[[list[int]], None]) -> None:
    """Two threads have the list as their argument, so no name of it is shared."""

    def scenario(threading: Any) -> None:
        items: list[int] = []
        together(threading, lambda: add(items), lambda: add(items))
        assert items == [0, 1]

    assert lab.explore(scenario).verdict == "unknown"
    found = lab.explore(scenario, lines=[add])
    assert found.bug is not None, found


def test_an_iteration_can_be_interrupted_between_two_items() -> None:
    """A dict that grows meanwhile raises RuntimeError, in a loop and in a comprehension."""

    def by_loop(table: dict[int, int]) -> int:
        total = 0
        for value in table.values():
            total += value
        return total

    def by_comprehension(table: dict[int, int]) -> int:
        return len([key for key in table])

    for read in (by_loop, by_comprehension):

        def scenario(threading: Any, read: Callable[[dict[int, int]], int] = read) -> None:
            table = {1: 1}
            together(threading, lambda: read(table), lambda: table.setdefault(2, 2))

        found = lab.explore(scenario, lines=[read])
        assert found.bug is None  # the other thread makes no step, so it runs before or after

        def grow_table(table: dict[int, int]) -> None:
            table[2] = 2

        def both(threading: Any, read: Callable[[dict[int, int]], int] = read) -> None:
            table = {1: 1}
            together(threading, lambda: read(table), lambda: grow_table(table))

        found = lab.explore(both, lines=[read, grow_table])
        assert found.bug is not None, found
        assert "changed size during iteration" in found.bug.text


def test_a_callback_can_vanish_between_check_and_call() -> None:
    """An attribute that holds a function and is rebound is no constant."""

    class Button:
        def __init__(self) -> None:
            self.callback: Callable[[], object] | None = list

        def press(self) -> None:
            if self.callback is not None:
                self.callback()

        def clear(self) -> None:
            self.callback = None

    def scenario(threading: Any) -> None:
        button = Button()
        together(threading, button.press, button.clear)

    found = lab.explore(scenario, lines=[Button])
    assert found.bug is not None
    assert "'NoneType' object is not callable" in found.bug.text


def test_an_object_is_made_twice_without_a_lock() -> None:
    """The usual lazy singleton."""

    class Service:
        made: Any = None
        count = 0

        @classmethod
        def get(cls) -> Any:
            if cls.made is None:
                cls.made = cls()
                cls.count += 1
            return cls.made

    def scenario(threading: Any) -> None:
        Service.made, Service.count = None, 0
        together(threading, Service.get, Service.get)
        assert Service.count == 1

    assert lab.explore(scenario, lines=[Service]).verdict == "bug"


def test_a_context_is_entered_and_left_in_steps() -> None:
    """A context manager of uninstrumented code, whose exit another thread can see."""

    class Flag:
        is_up = False

        def __enter__(self) -> None:
            self.is_up = True

        def __exit__(self, *error: object) -> None:
            self.is_up = False

    seen: set[bool] = set()

    def use(flag: Flag) -> None:
        with flag:
            pass

    def look(flag: Flag) -> None:
        seen.add(flag.is_up)

    def scenario(threading: Any) -> None:
        flag = Flag()
        together(threading, lambda: use(flag), lambda: look(flag))

    assert lab.explore(scenario, lines=[use, look]).verdict == "ok"
    assert seen == {False, True}


# The code does what it did.


# On a busy machine the time of the certificate may be up between `wait()` and its first step.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_rewritten_code_does_what_the_original_does() -> None:
    """Every kind of statement and expression, once as it is and once as steps."""

    def everything() -> list[object]:
        log: list[object] = []

        class Noisy:
            def __init__(self, name: str) -> None:
                self.name = name

            def __getitem__(self, key: object) -> object:
                log.append(("get", key))
                return 1

            def __setitem__(self, key: object, value: object) -> None:
                log.append(("set", key, value))

            def __delitem__(self, key: object) -> None:
                log.append(("del", key))

        def noted(value: object) -> Any:
            log.append(value)
            return value

        thing: Any = Noisy("thing")
        first, *rest, last = noted([1, 2, 3, 4])
        (a, thing.b), [c] = (noted(1), noted(2)), [noted(3)]
        thing[noted(1) : noted(2), noted(3)] = noted(4)
        thing[noted(5) :: noted(6)] += noted(7)
        del thing[noted(8)], thing.b
        d = e = noted("both")
        log.append(1 < noted(2) < noted(3) != noted(4) > noted(9))
        log.append(noted(0) or (noted("") and noted(1)) or not noted(0))
        log.append({**noted({"x": 1}), noted("y"): noted(2)})
        log.append((lambda *args, k=noted("k"), **rest: (args, k, rest))(1, z=noted(2)))
        log.append([x * y for x in range(noted(3)) if x for y in (1, noted(2)) if y])
        log.append({x: y for x, y in zip("ab", [noted(1), noted(2)], strict=True) if x})
        log.append(sorted({x for x in noted((3, 1)) if x}))
        log.append(f"{noted(1):>{noted(4)}}{noted('r')!r}")
        for i in noted([]):
            log.append(i)
        else:
            log.append("else")
        while (n := len(rest)) > 1:
            rest.pop()
            if n == 99:
                break
        else:
            log.append(("while else", n))
        try:
            raise KeyError(noted("key"))
        except (ValueError, KeyError) as error:
            log.append(repr(error))
        finally:
            log.append("finally")
        log.append("error" in locals())
        with contextlib.nullcontext(noted(1)) as one, contextlib.nullcontext(one + 1) as two:
            log.append((one, two, lambda: (one, two)))
            log[-1] = log[-1][:2]  # type: ignore[index]

        def generate() -> Any:
            got = yield noted("first")
            log.append(got)
            got = yield from inner()
            return got

        def inner() -> Any:
            got = yield noted("inner")
            return got

        generator = generate()
        log.append(next(generator))
        log.append(generator.send("sent"))
        try:
            generator.send("end")
        except StopIteration as stop:
            log.append(stop.value)

        async def wait() -> object:
            async def ticks() -> Any:
                for number in range(2):
                    yield number
                    await asyncio.sleep(0)

            async with contextlib.AsyncExitStack() as stack:
                stack.callback(log.append, "left")
                return [tick async for tick in ticks()] + [noted(tick) async for tick in ticks()]

        log.append(drive(wait()))

        class Child(Noisy):
            size: int = noted(3)

            def __init__(self) -> None:
                super().__init__("child")
                self.__own = self.size

            def own(self) -> object:
                return self.__own, __class__.__name__, self.name  # type: ignore[name-defined]

        log.append(Child().own())
        match noted("word"):
            case "other":
                log.append("no")
            case str() if noted(True):
                pass
            case _:
                log.append("no")
        match (noted(1), noted(2)):
            case (1, x):
                log.append(x)
        log.append((first, last, a, c, d, e, thing.name, sorted(locals())[:3]))
        counts = [0]
        counts[noted(0)] += noted(5)
        key = "local"
        key += noted("!")
        log.append((counts, key, *noted([1]), print.__name__))
        return log

    expected = everything()
    instrumentation = Instrumentation([everything], Scheduler(limit=1000))
    with instrumentation:
        assert everything() == expected
    got: list[object] = []

    def scenario(_: Any) -> None:
        got[:] = everything()

    assert lab.explore(scenario, lines=[everything], steps=100_000).verdict == "ok"
    assert got == expected


def test_what_a_class_has_is_found_wherever_it_keeps_it() -> None:
    """Its own functions, behind every descriptor, and those that it inherits."""

    class Outer(Base):
        class Nested:
            def method(self) -> None: ...

        @functools.cached_property
        def cached(self) -> int:
            return 1

        @property
        def value(self) -> int:
            return 1

        @value.deleter
        def value(self) -> None: ...

        @staticmethod
        @noted
        def static() -> None: ...

        @classmethod
        @counted
        def of_class(cls) -> None: ...

        function = staticmethod(functools.partial(add_to_global))

    found = {each.__qualname__.rpartition("<locals>.")[2] for each in functions_of(Outer)}
    assert {
        "Outer.Nested.method", "Outer.cached", "Outer.value", "Outer.static", "Outer.of_class",
        "add_to_global", "Base.inherited", "wrapper",
    } == found  # fmt: skip


def test_a_subclass_of_thread_is_explored() -> None:
    """Its own attributes are shared, although its class comes from the explorer."""

    def scenario(threading: Any) -> None:
        class Worker(threading.Thread):  # type: ignore[misc]
            total = 0

            def run(self) -> None:
                Worker.total += 1

        workers = [Worker() for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert Worker.total == 2

    assert lab.explore(scenario, preemptions=1).verdict == "unknown"
    assert lab.explore(scenario, preemptions=1, lines=[scenario]).verdict == "bug"


# What cannot be instrumented is an error that names it.


def test_what_has_no_python_source_is_refused_by_name() -> None:
    """A builtin, a class and a module written in C, an object, and an expression of `exec`."""
    made: dict[str, Any] = {}
    exec("def made(): return 1", made)

    class Odd:
        def __get__(self, thing: object, cls: type) -> int:
            return 1

    Odd.__module__ = "somewhere"

    refused: list[tuple[object, type[Exception], str]] = [
        (len, TypeError, "len.*written in C"),
        (list, TypeError, "no Python function in <class 'list'>"),
        (sys.modules["itertools"], TypeError, "no Python function in <module 'itertools'"),
        (Box(), TypeError, "takes functions, classes and modules, not"),
        (made["made"], ValueError, "source of made in <string> is not available"),
    ]
    for thing, error, text in refused:
        with pytest.raises(error, match=text):
            lab.explore(lambda threading: None, lines=[thing])


def test_a_descriptor_without_a_function_is_refused_by_name() -> None:
    """Its code is somewhere else, so that a class that uses it would only seem to be explored."""

    class Holder:
        value = types.DynamicClassAttribute(lambda self: 1)
        other = Opaque()

    with pytest.raises(TypeError, match=r"behind .*Holder\.other"):
        lab.explore(lambda threading: None, lines=[Holder])


class Opaque:
    """A descriptor whose code is written in C."""

    __get__ = property().__get__
    __module__ = "elsewhere"


def test_a_pattern_that_looks_into_an_object_is_refused_by_line() -> None:
    """The error comes when the `match` is about to run, and code around it cannot catch it."""

    def matching(value: Any) -> None:
        match value:
            case {"key": found}:
                assert found == 1

    for value, verdict in ((3, "ok"), ({"key": 1}, None)):

        def scenario(_: Any, value: Any = value) -> None:
            with contextlib.suppress(BaseException):
                matching(value)

        if verdict is not None:
            assert lab.explore(scenario, lines=[THIS, matching]).verdict == verdict
            continue
        with pytest.raises(ValueError, match=r"patterns of the `match` in line \d+ \(match value:"):
            lab.explore(scenario, lines=[THIS, matching])


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    """The lines of the new file are not the ones that run."""
    file = tmp_path / "changing.py"
    file.write_text("def work():\n    return first\n")
    module = types.ModuleType("changing")
    exec(compile(file.read_text(), file, "exec"), vars(module))
    file.write_text("def work():\n    return second\n")
    with pytest.raises(ValueError, match=r"work at .*changing\.py:1 is not in its file"):
        lab.explore(lambda threading: None, lines=[module.work])


def test_two_lambdas_of_one_line_are_told_apart() -> None:
    """Each is found by its place in the line."""
    pair: list[Any] = [lambda box: box.n, lambda box: setattr(box, "n", 5)]
    one, two = pair
    box = Box()
    instrumentation = Instrumentation([two, one], Scheduler(limit=10))
    with instrumentation:
        two(box)
        assert one(box) == 5


# Other things that steps must not change.


def look(probe: Any) -> int:
    """Read an attribute, in one step."""
    value: int = probe.n
    return value


def test_time_does_not_leak_from_one_schedule_into_the_next() -> None:
    """The steps of lines have a clock, which starts again with every schedule."""
    module = types.ModuleType("module")
    module.time = time  # type: ignore[attr-defined]
    early: list[float] = []

    def scenario(threading: Any) -> None:
        looked: list[str] = threading.trust([])

        class Probe:
            @property
            def n(self) -> int:
                looked.append(threading.current_thread().name)
                return 1

        probe = Probe()

        def late() -> None:
            module.time.sleep(5)
            look(probe)

        def soon() -> None:
            look(probe)
            if looked == ["soon"]:
                early.append(module.time.monotonic())

        together(threading, late, soon)

    assert lab.explore(scenario, lines=[look], patch=[module], reduction=False).verdict == "ok"
    assert set(early) == {0.0}


def test_code_that_runs_outside_of_the_schedule_makes_no_step() -> None:
    """Another OS thread calls the named code meanwhile."""

    def scenario(threading: Any) -> None:
        box = Box()
        thread = real.Thread(target=box.attribute)
        thread.start()
        thread.join()
        assert box.n == 1

    assert lab.explore(scenario, lines=[Box]).schedules == 1


def test_a_dataclass_is_explored_except_for_what_is_generated() -> None:
    """Its generated methods are one step each, like code in C."""

    @dataclasses.dataclass
    class Account:
        balance: int = 0

        def deposit(self) -> None:
            self.balance += 100

    def scenario(threading: Any) -> None:
        account = Account()
        together(threading, account.deposit, account.deposit)
        assert account == Account(200)

    assert lab.explore(scenario, lines=[Account]).verdict == "bug"


def test_an_endless_loop_of_named_code_reaches_the_limit_of_steps() -> None:
    """It is `unknown` with its line, even if the loop has nothing to observe."""

    def forever() -> None:
        while True:
            pass

    result = lab.explore(lambda threading: forever(), lines=[forever], steps=100)
    assert result.verdict == "unknown"
    assert "while True:" in result.limit


def test_names_and_code_are_restored() -> None:
    """After the exploration, functions and globals are as before."""
    before = {name: vars(Box)[name].__code__ for name in ("attribute", "item")}
    names = set(globals())
    lab.explore(add_in_two_threads("attribute"), lines=[Box, THIS])
    assert {name: vars(Box)[name].__code__ for name in before} == before
    assert set(globals()) == names


def test_the_step_is_named_after_its_own_operation() -> None:
    """Two operations of one line have different names, with the text of the line."""
    bug = lab.explore(add_in_two_threads("attribute"), lines=[Box]).bug
    assert bug is not None
    does = [move.does for move in bug.schedule.moves]
    assert does.count("read self.n: self.n += 1") == 2
    assert does.count("write self.n: self.n += 1") == 2


# Functions and generators that code in C calls.


def count() -> Iterator[int]:
    """A generator that has nothing in common with others, except that threads share it."""
    i = 0
    while True:
        i += 1
        yield i


def take_twice(numbers: Iterator[int], out: list[int]) -> None:
    """Two threads that do this resume the generator at the same time."""
    out.append(next(numbers))


def loop_over(numbers: Iterator[int], out: list[int]) -> None:
    """The same in a loop."""
    for number in numbers:
        out.append(number)
        if number > 1:
            return


def shared_generator(threading: Any) -> None:
    """The generator is resumed while it runs: ValueError."""
    numbers, out = count(), list[int]()
    together(threading, lambda: take_twice(numbers, out), lambda: take_twice(numbers, out))


def generator_in_a_loop(threading: Any) -> None:
    """Two loops over it do the same."""
    numbers, out = count(), list[int]()
    together(threading, lambda: loop_over(numbers, out), lambda: loop_over(numbers, out))


def shared_expression(threading: Any) -> None:
    """A generator expression is a generator, too."""
    numbers, out = (i * i for i in range(9)), list[int]()
    together(threading, lambda: take_twice(numbers, out), lambda: take_twice(numbers, out))


def key_of_max(threading: Any) -> None:
    """The dictionary changes its size during the iteration."""
    prices = {1: 2, 2: 3}

    def cheapest() -> None:
        max(prices.items(), key=lambda item: item[1])

    def add() -> None:
        prices[3] = 4

    together(threading, cheapest, add)


def key_of_sort(threading: Any) -> None:
    """During a sort the list looks empty."""
    items = [3, 1, 2]

    def sort() -> None:
        items.sort(key=lambda item: -item)

    def look() -> None:
        assert len(items) == 3

    together(threading, sort, look)


def factory(threading: Any) -> None:
    """Two threads make the default value of the same key."""
    made = collections.defaultdict[str, list[int]](lambda: [])  # noqa: PIE807

    def add() -> None:
        made["key"].append(1)

    together(threading, add, add)
    assert len(made["key"]) == 2


def cached_body(threading: Any) -> None:
    """Two threads make the value that the cache should make once."""
    make = functools.lru_cache(lambda: object())
    got: list[object] = []

    def get() -> None:
        got.append(make())

    together(threading, get, get)
    assert got[0] is got[1]


def extension(threading: Any) -> None:
    """A list grows item by item while a generator yields them."""
    items = [1, 2]

    def extend() -> None:
        items.extend(i + 1 for i in (7, 8))

    def look() -> None:
        assert len(items) != 3

    together(threading, extend, look)


def mapped(threading: Any) -> None:
    """A set grows item by item, too."""
    items = set[int]()

    def update() -> None:
        items.update(map(lambda i: i + 1, (1, 2)))  # noqa: C417

    def look() -> None:
        assert len(items) != 1

    together(threading, update, look)


def key_of_insort(threading: Any) -> None:
    """The place for an item is old when it is inserted."""
    items = [5]

    def add(item: int) -> None:
        bisect.insort(items, item, key=lambda each: each)

    together(threading, lambda: add(1), lambda: add(2))
    assert items == [1, 2, 5]


def look_for_a_number(threading: Any) -> None:
    """The left side of `in` is a number in a variable, and the right side can change."""
    seen, items = types.SimpleNamespace(began=False), list[int]()

    def look(number: int, among: list[int]) -> None:
        seen.began = True
        assert number not in among

    def add() -> None:
        if seen.began:
            items.append(1)

    together(threading, lambda: look(1, items), add)


CALLED_BY_C = (
    shared_generator, generator_in_a_loop, shared_expression, key_of_max, key_of_sort, factory,
    cached_body, extension, mapped, key_of_insort, look_for_a_number,
)  # fmt: skip


@pytest.mark.parametrize("scenario", CALLED_BY_C)
def test_a_switch_is_possible_in_what_an_operation_calls(scenario: Scenario) -> None:
    """An operation that calls a function or a generator is not one step."""
    result = lab.explore(scenario, lines=[THIS], preemptions=2)
    assert result.verdict == "bug", result


def test_what_an_operation_calls_makes_no_step_if_it_is_locked_or_private() -> None:
    """Neither a callback under a lock nor a generator of one thread makes a correct program fail.

    A generator that only a loop has does not add schedules.
    """
    totals: list[int] = []

    def numbers() -> Iterator[int]:
        yield from range(3)

    def add() -> None:
        total = 0
        for number in numbers():
            total += number
        totals.append(total)

    def scenario(threading: Any) -> None:
        totals.clear()
        lock = threading.Lock()

        def work() -> None:
            with lock:
                order = sorted([3, 1, 2], key=lambda number: -number)
            assert order == [3, 2, 1]

        together(threading, work, work)
        together(threading, add, add)
        assert totals == [3, 3]

    assert lab.explore(scenario, lines=[scenario, numbers, add], preemptions=1).verdict == "ok"


def test_code_in_a_text_is_named() -> None:
    """`exec` is one step, although its code makes more."""

    def scenario(threading: Any) -> None:
        names = {"n": 0}

        def add() -> None:
            exec("n += 1", names)

        together(threading, add, add)

    result = lab.explore(scenario, lines=[scenario], preemptions=2)
    assert result.verdict == "unknown"
    assert 'the code that `exec("n += 1", names)` runs is one step' in str(result.doubts)
