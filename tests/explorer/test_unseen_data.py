"""Data that threads share unseen is never called `ok`, however the code reaches it.

Each scenario takes the same lock in each thread and gives it back before it uses the data, so that
the threads have something in common and the data is guarded by nothing.
"""

import array
import collections
import copy
import functools
import io
import itertools
import json
import operator
import random
import tempfile
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bankkit import lab
from tests.explorer import unseen_helper
from tests.explorer.specimens import together

Work = Callable[[], Any]
Make = Callable[[Any], Work | tuple[Work, Work]]
TRAPS: dict[str, tuple[Make, str]] = {}
FILES = ExitStack()


def trap(verdict: str) -> Callable[[Make], Make]:
    """A function that makes what one or two threads do, and the verdict on it."""

    def add(make: Make) -> Make:
        TRAPS[make.__name__] = make, verdict
        return make

    return add


class Account:
    total: Any = 0

    def __init__(self) -> None:
        self.n: Any = 0


class Slotted:
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


# The same attribute in other words.


@trap("unknown")
def setattr_and_getattr(_: Any) -> Work:
    a = Account()
    return lambda: setattr(a, "n", getattr(a, "n") + 1)  # noqa: B009


@trap("unknown")
def setattr_with_a_name(_: Any) -> Work:
    a, name = Account(), "n"

    def work() -> None:
        setattr(a, name, getattr(a, name) + 1)

    return work


@trap("unknown")
def setattr_of_a_constant(_: Any) -> Work:
    a = Account()

    def work() -> None:
        if not hasattr(a, "made"):
            setattr(a, "made", object())  # noqa: B010

    return work


@trap("unknown")
def object_setattr(_: Any) -> Work:
    a = Account()
    return lambda: object.__setattr__(a, "n", a.n + 1)


@trap("unknown")
def dict_of_an_object(_: Any) -> Work:
    a = Account()

    def work() -> None:
        a.__dict__["n"] += 1

    return work


@trap("unknown")
def vars_of_an_object(_: Any) -> Work:
    a = Account()

    def work() -> None:
        vars(a)["n"] += 1

    return work


@trap("unknown")
def update_of_vars(_: Any) -> Work:
    a = Account()
    return lambda: vars(a).update(n=vars(a)["n"] + 1)


@trap("unknown")
def attrgetter(_: Any) -> Work:
    a, get = Account(), operator.attrgetter("n")
    return lambda: setattr(a, "n", get(a) + 1)


@trap("unknown")
def delattr_of_an_attribute(_: Any) -> Work:
    a = Account()

    def work() -> None:
        if hasattr(a, "n"):
            delattr(a, "n")

    return work


@trap("unknown")
def slot(_: Any) -> Work:
    a = Slotted()
    return lambda: setattr(a, "n", a.n + 1)


@trap("unknown")
def class_attribute_through_an_instance(_: Any) -> Work:
    class C:
        n = 0

        def add(self) -> None:
            type(self).n += 1

    return C().add


@trap("unknown")
def class_attribute_by_a_class_method(_: Any) -> Work:
    class C:
        n = 0

        @classmethod
        def add(cls) -> None:
            cls.n += 1

    return C.add


@trap("unknown")
def class_attribute_written_and_read_through_an_instance(_: Any) -> tuple[Work, Work]:
    class C:
        n = 0

    c, d = C(), C()

    def write() -> None:
        C.n = C.n + 1

    def read() -> None:
        if c.n == 0:
            d.seen = 1  # type: ignore[attr-defined]

    return write, read


@trap("unknown")
def namespace(_: Any) -> Work:
    a = types.SimpleNamespace(n=0)

    def work() -> None:
        a.n += 1

    return work


@trap("unknown")
def property_(_: Any) -> Work:
    class C:
        _n = 0

        @property
        def n(self) -> int:
            return self._n

        @n.setter
        def n(self, value: int) -> None:
            self._n = value

    c = C()

    def work() -> None:
        c.n += 1

    return work


@trap("unknown")
def partial(_: Any) -> Work:
    a = Account()
    return functools.partial(setattr, a, "n", 1)


@trap("unknown")
def partial_of_a_method(_: Any) -> tuple[Work, Work]:
    d: dict[str, int] = {}
    return functools.partial(d.update, n=1), functools.partial(d.update, n=2)


@trap("unknown")
def attribute_of_a_function(_: Any) -> Work:
    def work() -> None:
        work.n = getattr(work, "n", 0) + 1  # type: ignore[attr-defined]

    return work


# Code without source.


@trap("unknown")
def exec_(_: Any) -> Work:
    names = {"n": 0}
    return lambda: exec("n += 1", names)


@trap("unknown")
def compiled(_: Any) -> Work:
    names: dict[str, Any] = {"n": 0}
    exec("def work():\n    global n\n    n += 1\n", names)
    work: Work = names["work"]
    return work


@trap("unknown")
def eval_(_: Any) -> Work:
    a = Account()
    return lambda: eval("setattr(a, 'n', a.n + 1)", {"a": a})


# Containers that code in C changes.


@trap("unknown")
def pop_after_a_check(_: Any) -> Work:
    items = [1]

    def work() -> None:
        if items:
            items.pop()

    return work


@trap("unknown")
def append_after_a_check(_: Any) -> Work:
    items: list[int] = []

    def work() -> None:
        if not items:
            items.append(1)

    return work


@trap("unknown")
def append_as_a_function(_: Any) -> Work:
    items: list[int] = []
    append = items.append

    def work() -> None:
        if len(items) == 0:
            append(1)

    return work


@trap("unknown")
def append_handed_on(_: Any) -> Work:
    items: list[int] = []

    def put(function: Callable[[int], None]) -> None:
        function(len(items))

    return lambda: put(items.append)


@trap("unknown")
def append_in_the_order_of_a_lock(threading: Any) -> Work:
    items: list[int] = []
    tickets = threading.shared(next=0)
    lock = threading.Lock()

    def work() -> None:
        with lock:
            ticket = tickets.next
            tickets.next += 1
        items.append(ticket)
        assert sorted(items) == items

    return work


@trap("unknown")
def update_of_a_dict(_: Any) -> Work:
    d = {"n": 0}
    return lambda: d.update(n=d["n"] + 1)


@trap("unknown")
def setdefault(_: Any) -> Work:
    d: dict[str, object] = {}
    return lambda: d.setdefault("x", object())


@trap("unknown")
def counter(_: Any) -> Work:
    d: collections.Counter[str] = collections.Counter()
    return lambda: d.update("x")


@trap("unknown")
def default_dict(_: Any) -> Work:
    d: dict[str, list[int]] = collections.defaultdict(list)
    return lambda: d["x"].append(1)


@trap("unknown")
def deque(_: Any) -> Work:
    items = collections.deque([1])

    def work() -> None:
        if items:
            items.popleft()

    return work


@trap("unknown")
def set_(_: Any) -> Work:
    seen: set[int] = set()

    def work() -> None:
        if 1 not in seen:
            seen.add(1)

    return work


@trap("unknown")
def slice_(_: Any) -> Work:
    items = [0, 0]

    def work() -> None:
        items[:] = [each + 1 for each in items]

    return work


@trap("unknown")
def nested_list(_: Any) -> Work:
    a = Account()
    a.n = {"x": [0]}

    def work() -> None:
        a.n["x"][0] += 1

    return work


@trap("unknown")
def iteration(_: Any) -> tuple[Work, Work]:
    d = {1: 1}

    def read() -> None:
        for _ in d:
            pass

    def write() -> None:
        d[2] = 2

    return read, write


@trap("unknown")
def items_operator(_: Any) -> Work:
    items = [0]
    return lambda: operator.setitem(items, 0, operator.getitem(items, 0) + 1)


@trap("unknown")
def array_(_: Any) -> Work:
    items = array.array("i", [0])

    def work() -> None:
        items[0] += 1

    return work


@trap("unknown")
def bytes_(_: Any) -> Work:
    items = bytearray(1)

    def work() -> None:
        items[0] += 1

    return work


@trap("unknown")
def memory(_: Any) -> Work:
    items = memoryview(bytearray(1))

    def work() -> None:
        items[0] += 1

    return work


# Iterators, generators, references and files.


@trap("unknown")
def count(_: Any) -> Work:
    numbers = itertools.count()
    return lambda: next(numbers)


@trap("unknown")
def second_of_two(_: Any) -> tuple[Work, Work]:
    """From Python 3.13 on, one instruction loads both variables."""
    seen = [1]

    def look(x: int, seen: list[int]) -> bool:
        return x in seen

    return (lambda: look(1, seen) and None), (lambda: seen.append(2))


@trap("unknown")
def nested_items(_: Any) -> tuple[Work, Work]:
    """From Python 3.13 on, one instruction stores a row and loads it."""
    row = [1]
    rows = [row]

    def look(rows: list[list[int]]) -> list[int]:
        return [x for row in rows for x in row]

    return (lambda: look(rows) and None), (lambda: row.append(2))


@trap("unknown")
def copied_in_c(_: Any) -> tuple[Work, Work]:
    """From Python 3.12 on, more classes of the library are heap types."""
    items = [1]
    return (lambda: itertools.chain(items) and None), (lambda: items.append(2))


@trap("unknown")
def iterator(_: Any) -> Work:
    items = iter([1, 2])
    return lambda: next(items)


@trap("unknown")
def generator(_: Any) -> Work:
    def numbers() -> Iterator[int]:
        n = 0
        while True:
            yield n
            n += 1

    items = numbers()
    return lambda: next(items)


@trap("unknown")
def generator_in_a_loop(_: Any) -> Work:
    items = (n for n in range(5))

    def work() -> None:
        for _ in items:
            break

    return work


@trap("unknown")
def weak_values(_: Any) -> Work:
    cache: Any = weakref.WeakValueDictionary()
    kept = Account()

    def work() -> None:
        if "x" not in cache:
            cache["x"] = kept

    return work


@trap("unknown")
def text_file(_: Any) -> Work:
    file = io.StringIO()
    return lambda: file.write("x")


@trap("unknown")
def real_file(_: Any) -> Work:
    file = FILES.enter_context(tempfile.TemporaryFile())  # noqa: SIM115

    def work() -> None:
        file.write(b"x")

    return work


# Names.


@trap("unknown")
def global_of_a_helper(_: Any) -> Work:
    return unseen_helper.add


@trap("unknown")
def global_of_a_helper_from_outside(_: Any) -> Work:
    def work() -> None:
        unseen_helper.total += 1

    return work


@trap("unknown")
def list_of_a_helper(_: Any) -> Work:
    unseen_helper.items.clear()

    def work() -> None:
        if not unseen_helper.items:
            unseen_helper.items.append(1)

    return work


@trap("unknown")
def default_argument(_: Any) -> Work:
    def work(items: list[int] = []) -> None:  # noqa: B006
        items.append(len(items))

    return work


@trap("unknown")
def nonlocal_of_a_factory(_: Any) -> Work:
    def make() -> Work:
        n = 0

        def add() -> None:
            nonlocal n
            n += 1

        return add

    return make()


@trap("unknown")
def globals_(_: Any) -> Work:
    def work() -> None:
        globals()["written"] = globals().get("written", 0) + 1

    return work


@trap("unknown")
def written_by_one_and_read_by_the_other(_: Any) -> tuple[Work, Work]:
    a = Account()
    seen: list[Any] = [None]

    def write() -> None:
        a.n = 1

    def read() -> None:
        seen[0] = a.n

    return write, read


# What is right.


@trap("ok")
def two_counters_of_a_factory(_: Any) -> tuple[Work, Work]:
    def make() -> Work:
        n = 0

        def add() -> None:
            nonlocal n
            n += 1

        return add

    return make(), make()


@trap("ok")
def other_items(_: Any) -> tuple[Work, Work]:
    d: dict[int, int] = {}
    items = [0, 0]

    def one() -> None:
        d[0] = items[0] = 1

    def other() -> None:
        d[1] = items[1] = 1

    return one, other


@trap("ok")
def other_attributes(_: Any) -> tuple[Work, Work]:
    a = Account()

    def one() -> None:
        a.x = 1  # type: ignore[attr-defined]

    def other() -> None:
        a.y = 1  # type: ignore[attr-defined]

    return one, other


@trap("ok")
def data_that_nobody_changes(_: Any) -> Work:
    d, items, a = {"n": 0}, [1, 2], Account()
    names = types.MappingProxyType({"x": 1})

    def work() -> None:
        assert d["n"] == 0
        assert len(items) == 2
        assert sorted(items) == items
        assert [*items] == list(items)
        assert getattr(a, "n") == a.n == vars(a)["n"]  # noqa: B009
        assert names["x"] == 1

    return work


@trap("ok")
def own_data(_: Any) -> Work:
    def work() -> None:
        items: list[int] = []
        items.append(1)
        d = {"x": items}
        d["x"].pop()
        a = Account()
        setattr(a, "n", 1)  # noqa: B010
        numbers = iter([1])
        assert next(numbers) == 1
        file = io.StringIO()
        file.write("x")
        assert [-n for n in range(2)] == [0, -1]

    return work


@trap("ok")
def guarded(threading: Any) -> Work:
    lock = threading.Lock()
    items: list[int] = []
    a, numbers, file = Account(), itertools.count(), io.StringIO()

    def work() -> None:
        with lock:
            items.append(next(numbers))
            setattr(a, "n", getattr(a, "n") + 1)  # noqa: B009, B010
            vars(a)["x"] = len(items)
            file.write("x")

    return work


@trap("ok")
def tracked(threading: Any) -> Work:
    s = threading.shared(items=[], d={}, a=Account())

    def work() -> None:
        s.items.append(1)
        s.d.update(n=1)
        setattr(s.a, "n", 1)  # noqa: B010

    return work


@trap("ok")
def handed_over(threading: Any) -> tuple[Work, Work]:
    done = threading.Event()
    items: list[int] = []

    def put() -> None:
        items.append(1)
        done.set()

    def get() -> None:
        done.wait()
        items.pop()

    return put, get


# What the library does to data in one step.


@trap("unknown")
def copied_by_the_library(_: Any) -> tuple[Work, Work]:
    d: dict[int, Any] = {1: [1]}
    return lambda: copy.deepcopy(d), lambda: d.update({9: []})


@trap("unknown")
def written_as_json(_: Any) -> tuple[Work, Work]:
    d = {"a": 1}
    return lambda: json.dumps(d, indent=1), lambda: d.update(b=2)


@trap("unknown")
def chosen_at_random(_: Any) -> tuple[Work, Work]:
    items, random_ = [1, 2, 3, 4], random.Random(0)

    def remove() -> None:
        del items[2:]

    return lambda: random_.choice(items), remove


@trap("unknown")
def value_of_weak_dictionary(_: Any) -> Work:
    d = weakref.WeakValueDictionary[str, Account]()
    return lambda: d.setdefault("key", Account())


@trap("unknown")
def popped_from_user_dict(_: Any) -> Work:
    d = collections.UserDict(a=1)
    return lambda: d.pop("a", None)


@trap("unknown")
def default_of_user_dict(_: Any) -> Work:
    d = collections.UserDict[str, list[int]]()
    return lambda: d.setdefault("key", []).append(1)


@trap("ok")
def copied_under_a_lock(threading: Any) -> tuple[Work, Work]:
    d: dict[int, Any] = {1: [1]}
    lock = threading.Lock()

    def read() -> None:
        with lock:
            copy.deepcopy(d)

    def change() -> None:
        with lock:
            d[9] = []

    return read, change


def scenario_of(make: Make) -> Callable[[Any], None]:
    """Two threads take a lock, give it back, and do their work."""

    def scenario(threading: Any) -> None:
        made = make(threading)
        works = made if isinstance(made, tuple) else (made, made)
        lock = threading.Lock()

        def with_the_lock(work: Work) -> Work:
            def run() -> None:
                with lock:
                    pass
                work()

            return run

        together(threading, *map(with_the_lock, works))

    return scenario


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", TRAPS)
def test_every_trap_gets_its_verdict(name: str) -> None:
    """The survey sees the data, in the default search."""
    make, verdict = TRAPS[name]
    with FILES:
        result = lab.explore(scenario_of(make))
    assert result.verdict == verdict, result
    assert bool(result.doubts) == (verdict == "unknown")


class Steps:
    """Code that `lines=` names, and that calls code which it does not name."""

    def __init__(self) -> None:
        self.account = Account()
        self.seen = 0

    def early(self) -> None:
        """Use the account in the first step."""
        add_one(self.account)
        for _ in range(2):
            self.seen = 1

    def late(self) -> None:
        """Use the account in the last step."""
        for _ in range(6):
            self.seen = 2
        add_one(self.account)


def add_one(account: Account) -> None:
    account.n += 1


def test_named_code_does_not_put_other_code_in_an_order() -> None:
    """Its steps conflict with one another, and yet nothing guards what else runs in them."""

    def scenario(threading: Any) -> None:
        steps = Steps()
        together(threading, steps.early, steps.late)

    result = lab.explore(scenario, lines=[Steps], preemptions=1)
    assert result.verdict == "unknown"
    assert "`account.n` is plain data that the threads early and late use" in str(result.doubts)
