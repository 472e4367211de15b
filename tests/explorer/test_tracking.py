"""What `shared` and `track` hand out is tracked, too, or the explorer refuses it by name."""

import array
import collections
import copy
import functools
import heapq
import itertools
import json
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bankkit import lab
from tests.explorer.specimens import together
from tests.support.shares import in_turn

Scenario = Callable[[Any], Any]
TRAPS: dict[str, tuple[Scenario, str]] = {}

SEARCHES: list[dict[str, Any]] = [{}, {"preemptions": 2}, {"reduction": False}]


def trap(verdict: str) -> Callable[[Scenario], Scenario]:
    """A scenario that every search must give this verdict; `error` stands for ScenarioError."""

    def add(scenario: Scenario) -> Scenario:
        TRAPS[scenario.__name__] = scenario, verdict
        return scenario

    return add


@trap("bug")
def dict_item(threading: Any) -> None:
    s = threading.shared(d={"n": 0})

    def w() -> None:
        s.d["n"] += 1

    together(threading, w, w)
    assert s.d["n"] == 2


@trap("bug")
def kept_ref(threading: Any) -> None:
    s = threading.shared(d={"n": 0})
    d = s.d

    def w() -> None:
        d["n"] += 1

    together(threading, w, w)
    assert d["n"] == 2


@trap("bug")
def cache(threading: Any) -> None:
    s = threading.shared(cache={}, made=0)

    def get() -> None:
        if "k" not in s.cache:
            s.made += 1
            s.cache["k"] = object()

    together(threading, get, get)
    assert s.made == 1


@trap("bug")
def list_pop(threading: Any) -> None:
    s = threading.shared(items=[1])

    def w() -> None:
        if s.items:
            s.items.pop()

    together(threading, w, w)


@trap("bug")
def list_len_append(threading: Any) -> None:
    s = threading.shared(items=[])

    def w() -> None:
        if len(s.items) < 1:
            s.items.append(1)

    together(threading, w, w)
    assert len(s.items) == 1


@trap("bug")
def set_check(threading: Any) -> None:
    s = threading.shared(seen=set(), n=0)

    def w() -> None:
        if 1 not in s.seen:
            s.seen.add(1)
            s.n += 1

    together(threading, w, w)
    assert s.n == 1


@trap("bug")
def deque_(threading: Any) -> None:
    s = threading.shared(q=collections.deque([1]))

    def w() -> None:
        if s.q:
            s.q.popleft()

    together(threading, w, w)


@trap("bug")
def bytearr(threading: Any) -> None:
    s = threading.shared(b=bytearray(1))

    def w() -> None:
        s.b[0] += 1

    together(threading, w, w)
    assert s.b[0] == 2


@trap("bug")
def iterate(threading: Any) -> None:
    s = threading.shared(d={1: 1, 2: 2})

    def w() -> None:
        for _ in s.d:
            pass

    def x() -> None:
        s.d[3] = 3

    together(threading, w, x)


@trap("bug")
def iterate_items(threading: Any) -> None:
    s = threading.shared(d={1: 1, 2: 2})

    def w() -> None:
        for _ in s.d.items():
            pass

    def x() -> None:
        s.d[3] = 3

    together(threading, w, x)


@trap("ok")
def list_of_dict_is_atomic(threading: Any) -> None:
    s = threading.shared(d={1: 1, 2: 2})

    def w() -> None:
        assert list(s.d)[:2] == [1, 2]
        assert sorted(s.d)[:2] == [1, 2]
        assert [*s.d][:2] == [1, 2]
        assert {**s.d}[1] == dict(s.d)[1] == 1
        assert list(s.d.items())[:1] == [(1, 1)]

    def x() -> None:
        s.d[3] = 3

    together(threading, w, x)


@trap("ok")
def appends(threading: Any) -> None:
    s = threading.shared(items=[])

    def w() -> None:
        s.items.append(1)

    together(threading, w, w)
    assert len(s.items) == 2
    assert s.items == [1, 1]
    assert sorted(s.items) == [1, 1]
    assert isinstance(s.items, list)


class Acc:
    def __init__(self) -> None:
        self.balance = 0
        self.owner = None


class Bank:
    def __init__(self) -> None:
        self.acc = Acc()
        self.accs = {"a": Acc()}
        self.items = [[0]]


@trap("bug")
def nested(threading: Any) -> None:
    b = threading.track(Bank())

    def w() -> None:
        b.acc.balance += 1

    together(threading, w, w)
    assert b.acc.balance == 2


@trap("bug")
def nested_in_dict(threading: Any) -> None:
    b = threading.track(Bank())

    def w() -> None:
        b.accs["a"].balance += 1

    together(threading, w, w)
    assert b.accs["a"].balance == 2


@trap("bug")
def nested_list(threading: Any) -> None:
    b = threading.track(Bank())

    def w() -> None:
        b.items[0][0] += 1

    together(threading, w, w)
    assert b.items[0][0] == 2


@trap("bug")
def nested_tuple(threading: Any) -> None:
    s = threading.shared(p=([0], 1))

    def w() -> None:
        s.p[0][0] += 1

    together(threading, w, w)
    assert s.p[0][0] == 2


@trap("bug")
def nested_in_slice(threading: Any) -> None:
    s = threading.shared(p=[{"n": 0}])

    def w() -> None:
        for d in s.p[:]:
            d["n"] += 1

    together(threading, w, w)
    assert s.p[0]["n"] == 2


@trap("bug")
def later(threading: Any) -> None:
    a = threading.track(Acc())
    a.extra = 0

    def w() -> None:
        a.extra += 1

    together(threading, w, w)
    assert a.extra == 2


@trap("bug")
def later_check(threading: Any) -> None:
    s = threading.shared(n=0)
    a = threading.track(Acc())

    def w() -> None:
        if not hasattr(a, "value"):
            s.n += 1
            a.value = 1

    together(threading, w, w)
    assert s.n == 1


@trap("bug")
def later_nothing_else(threading: Any) -> None:
    a = threading.track(Acc())

    def w() -> None:
        if not hasattr(a, "value"):
            a.value = []
            v = a.value
            v.append(1)

    together(threading, w, w)
    assert len(a.value) == 1


class Cls:
    n = 0


@trap("bug")
def class_default(threading: Any) -> None:
    a = threading.track(Cls())

    def w() -> None:
        a.n += 1

    together(threading, w, w)
    assert a.n == 2


@trap("unknown")
def class_written(threading: Any) -> None:
    Cls2: Any = type("Cls2", (), {"n": 0})
    a = threading.track(Cls2())

    def w() -> None:
        Cls2.n = a.n + 1

    together(threading, w, w)
    assert Cls2.n == 2


class Sl:
    __slots__ = ("d", "n")

    def __init__(self) -> None:
        self.n = 0


@trap("bug")
def slots(threading: Any) -> None:
    a = threading.track(Sl())
    a.d = {"x": 0}

    def w() -> None:
        a.d["x"] += 1

    together(threading, w, w)
    assert a.d["x"] == 2


@trap("bug")
def slots_unset(threading: Any) -> None:
    a = threading.track(Sl())

    def w() -> None:
        if not hasattr(a, "d"):
            a.d = []
            a.d.append(1)

    together(threading, w, w)
    assert len(a.d) == 1


@trap("error")
def misspelt(threading: Any) -> None:
    threading.track(Acc(), "balanec")


@trap("error")
def module_(threading: Any) -> None:
    threading.track(sys.modules[__name__], "T")


@trap("error")
def cls_(threading: Any) -> None:
    threading.track(Acc, "n")


@trap("error")
def prop(threading: Any) -> None:
    class P:
        @property
        def x(self) -> int:
            return 1

    threading.track(P(), "x")


@trap("error")
def method(threading: Any) -> None:
    threading.track(Bank(), "__init__")


@trap("error")
def heap(threading: Any) -> None:
    s = threading.shared(h=[1])
    heapq.heappush(s.h, 0)


@trap("unknown")
def arr(threading: Any) -> None:
    s = threading.shared(a=array.array("i", [0]))

    def w() -> None:
        s.a[0] += 1

    together(threading, w, w)
    assert s.a[0] == 2


@trap("unknown")
def usublist(threading: Any) -> None:
    class L(list[int]):
        pass

    s = threading.shared(a=L([0]))

    def w() -> None:
        s.a[0] += 1

    together(threading, w, w)
    assert s.a[0] == 2


@trap("unknown")
def ns(threading: Any) -> None:
    s = threading.shared(a=types.SimpleNamespace(n=0))

    def w() -> None:
        s.a.n += 1

    together(threading, w, w)
    assert s.a.n == 2


@trap("bug")
def defaultd(threading: Any) -> None:
    s = threading.shared(a=collections.defaultdict(int))

    def w() -> None:
        s.a["x"] += 1

    together(threading, w, w)
    assert s.a["x"] == 2


@trap("bug")
def counter(threading: Any) -> None:
    s = threading.shared(a=collections.Counter())

    def w() -> None:
        s.a["x"] += 1

    together(threading, w, w)
    assert s.a["x"] == 2


@trap("ok")
def count_(threading: Any) -> None:
    s = threading.shared(a=itertools.count())
    got = threading.shared(items=[])

    def w() -> None:
        got.items.append(next(s.a))

    together(threading, w, w)
    assert sorted(got.items) == [0, 1]


@trap("bug")
def bound_append(threading: Any) -> None:
    class Q:
        def __init__(self) -> None:
            self.items = [1]
            self.pop = self.items.pop

    q = threading.track(Q())

    def w() -> None:
        if q.items:
            q.pop()

    together(threading, w, w)


@trap("bug")
def stored_then(threading: Any) -> None:
    s = threading.shared(d=None)

    def w() -> None:
        if s.d is None:
            s.d = {"n": 0}
        s.d["n"] += 1

    together(threading, w, w)
    assert s.d["n"] == 2


@trap("bug")
def tracked_dict(threading: Any) -> None:
    d = threading.track({"n": 0})

    def w() -> None:
        d["n"] += 1

    together(threading, w, w)
    assert d["n"] == 2


@trap("bug")
def dataclass_(threading: Any) -> None:
    @dataclass
    class S:
        n: int = 0
        items: list[int] = field(default_factory=list)

    s = threading.track(S())

    def w() -> None:
        if not s.items:
            s.items.append(1)

    together(threading, w, w)
    assert len(s.items) == 1


@trap("bug")
def frozen(threading: Any) -> None:
    @dataclass(frozen=True)
    class S:
        items: list[int]

    s = threading.shared(x=S([0]))

    def w() -> None:
        s.x.items[0] += 1

    together(threading, w, w)
    assert s.x.items[0] == 2


G = Acc()


@trap("bug")
def global_object(threading: Any) -> None:
    G.balance = 0
    threading.track(G)

    def w() -> None:
        G.balance += 1

    together(threading, w, w)
    assert G.balance == 2


@trap("bug")
def alias(threading: Any) -> None:
    items: list[int] = []
    s = threading.shared(items=items)

    def w() -> None:
        if not s.items:
            s.items.append(1)

    together(threading, w, w)
    assert items == [1]


@trap("bug")
def nxt(threading: Any) -> None:
    s = threading.shared(items=[1, 2])

    def w() -> None:
        it = iter(s.items)
        next(it)
        next(it)

    def x() -> None:
        s.items.pop()

    together(threading, w, x)


@trap("bug")
def enum_(threading: Any) -> None:
    s = threading.shared(items=[1, 2])

    def w() -> None:
        n = 0
        for _ in enumerate(s.items):
            n += 1
        assert n != 1

    def x() -> None:
        s.items.pop()

    together(threading, w, x)


@trap("bug")
def gen(threading: Any) -> None:
    s = threading.shared(items=[1, 2])

    def w() -> None:
        assert sum(x for x in s.items) != 1

    def x() -> None:
        s.items.pop()

    together(threading, w, x)


@trap("ok" if sys.version_info < (3, 12) else "bug")
def cached_property(threading: Any) -> None:
    class P:
        made = 0

        @functools.cached_property
        def v(self) -> object:
            p.n += 1
            return object()

    p = threading.shared(n=0)
    o = threading.track(P())

    def w() -> None:
        assert o.v

    together(threading, w, w)
    assert p.n == 1


@trap("bug")
def swap_lists(threading: Any) -> None:
    s = threading.shared(a=[1], b=[])

    def w() -> None:
        s.b.extend(s.a)
        s.a.clear()

    together(threading, w, w)
    assert s.b == [1]


@trap("bug")
def spin_len(threading: Any) -> None:
    s = threading.shared(a=[])
    d = s.a

    def w() -> None:
        if len(d) == 0 and len(d) == 1:
            raise ValueError

    def x() -> None:
        d.append(1)

    together(threading, w, x)


@trap("ok")
def a_tracked_list_is_still_a_list(threading: Any) -> None:
    s = threading.shared(a=[{"x": 1}])
    assert copy.deepcopy(s.a) == [{"x": 1}]
    assert pickle.loads(pickle.dumps(s.a)) == [{"x": 1}]
    assert copy.copy(s.a) == [{"x": 1}]
    (a,) = s.a
    assert a == {"x": 1}
    assert isinstance(s.a, list)
    assert f"{s.a}" == str(s.a) == "[{'x': 1}]"
    assert s.a is s.a
    one = [1]
    assert one + s.a == [1, {"x": 1}]
    assert s.a + one == [{"x": 1}, 1]
    s.a += [2]
    assert s.a[1] == 2
    s.a[:] = [3]
    assert s.a == [3]
    del s.a[0]
    assert not s.a


@trap("ok")
def a_chain_of_many_objects(threading: Any) -> None:
    class Node:
        def __init__(self, after: Any) -> None:
            self.after = after

    head = None
    for _ in range(500):
        head = Node(head)
    shared = threading.shared(head=head)

    def w() -> None:
        shared.head = None

    together(threading, w, w)


@trap("bug")
def a_dict_that_contains_itself(threading: Any) -> None:
    d: dict[str, Any] = {"n": 0}
    d["me"] = d
    s = threading.shared(d=d)

    def w() -> None:
        s.d["me"]["n"] += 1

    together(threading, w, w)
    assert s.d["n"] == 2


@trap("bug")
def tracked_twice(threading: Any) -> None:
    a = Acc()
    threading.track(a, "balance")
    threading.track(a)

    def w() -> None:
        a.balance += 1

    together(threading, w, w)
    assert a.balance == 2


@dataclass(frozen=True)
class Sum:
    cents: int


@trap("ok")
def tracked_dataclass_is_equal_to_another(threading: Any) -> None:
    s = threading.shared(sum=Sum(1), other=Sum(1))
    lock = threading.Lock()

    def w() -> None:
        with lock:
            assert s.sum == Sum(1)
            assert s.sum == s.other
            assert s.sum.__class__ is Sum

    together(threading, w, w)


@trap("ok")
def copies_of_a_tracked_object_are_not_tracked(threading: Any) -> None:
    acc = threading.track(Acc())
    sums = threading.track(Sum(1))
    copies = copy.copy(acc), copy.deepcopy(acc), pickle.loads(pickle.dumps(acc))
    for each in copies:
        assert type(each) is Acc
        assert vars(each) == vars(acc)
    assert type(replace(sums, cents=2)) is Sum


@trap("ok")
def tracked_containers_match_patterns(threading: Any) -> None:
    s = threading.shared(d={"a": 1}, items=[1, 2], queue=collections.deque([3]))
    match s.d:
        case {"a": one}:
            assert one == 1
        case _:
            raise AssertionError
    match s.items:
        case [first, *_]:
            assert first == 1
        case _:
            raise AssertionError
    match s.queue:
        case [three]:
            assert three == 3
        case _:
            raise AssertionError


@trap("error")
def json_of_a_tracked_dict(threading: Any) -> None:
    s = threading.shared(d={"n": 0})
    json.dumps(s.d)


@trap("bug")
def json_of_what_is_no_json(threading: Any) -> None:
    threading.shared(d={"n": 0})
    json.dumps(object())


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("name", "settings"),
    [*in_turn(TRAPS, SEARCHES[:1]), *in_turn(TRAPS, SEARCHES[1:])],
    ids=str,
)
def test_every_trap_gets_its_verdict(name: str, settings: dict[str, Any]) -> None:
    """The accesses of all this data are steps; what is not followed is never `ok`."""
    scenario, verdict = TRAPS[name]
    if verdict == "error":
        with pytest.raises(lab.ScenarioError):
            lab.explore(scenario, **settings)
        return
    result = lab.explore(scenario, **settings)
    assert result.verdict == verdict, result
    assert bool(result.doubts) == (verdict == "unknown")


def test_a_schedule_names_the_container_and_the_item() -> None:
    bug = lab.explore(dict_item).bug
    assert bug is not None
    does = [move.does for move in bug.schedule.moves]
    assert "read s.d['n']" in does
    assert "write s.d['n']" in does


def test_a_wrong_name_says_which_names_are_right() -> None:
    with pytest.raises(lab.ScenarioError, match=r"no attribute 'balanec'.*balance, owner"):
        lab.explore(misspelt)


def test_an_object_that_outlives_its_schedule_gets_its_class_back() -> None:
    lab.explore(global_object)
    assert type(G) is Acc
