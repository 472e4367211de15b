"""An `ok` rests on something: a scenario that shows nothing is never called `ok`."""

import _thread
import asyncio
import functools
import logging
import queue
import subprocess
import sys
import threading as real
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bankkit import lab
from tests.explorer.specimens import together

Scenario = Callable[[Any], Any]
TRAPS: dict[str, tuple[Scenario, str, dict[str, Any]]] = {}


def trap(verdict: str, **settings: Any) -> Callable[[Scenario], Scenario]:
    """A scenario that a search must give this verdict."""

    def add(scenario: Scenario) -> Scenario:
        TRAPS[scenario.__name__] = scenario, verdict, settings
        return scenario

    return add


class RealLocked:
    def __init__(self) -> None:
        self._lock = real.Lock()
        self.n = 0

    def add(self) -> None:
        with self._lock:
            self.n += 1


@trap("unknown")
def not_passed_on(threading: Any) -> None:
    c = RealLocked()
    together(threading, c.add, c.add)
    assert c.n == 2


@trap("unknown")
def not_passed_on_beside_a_lock(threading: Any) -> None:
    c = RealLocked()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        c.add()

    together(threading, w, w)
    assert c.n == 2


A, B = real.Lock(), real.Lock()


@trap("unknown")
def module_locks_opposite(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        with A, B:
            pass

    def x() -> None:
        with lock:
            pass
        with B, A:
            pass

    together(threading, w, x)


@trap("unknown")
def real_threads(threading: Any) -> None:
    seen: list[int] = []
    ts = [real.Thread(target=seen.append, args=(1,)) for _ in range(2)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()


@trap("unknown")
def real_thread_in_worker(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        with lock:
            t = real.Thread(target=lambda: None)
            t.start()
            t.join()

    together(threading, w, w)


@trap("unknown")
def pool(threading: Any) -> None:
    with ThreadPoolExecutor(2) as p:
        list(p.map(lambda x: x, [1, 2]))


P = ThreadPoolExecutor(1)
P.submit(int).result()


@trap("unknown")
def pool_outside(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        P.submit(int).result()

    together(threading, w, w)


@trap("unknown")
def pool_outside_main_only(threading: Any) -> None:
    P.submit(int).result()


@trap("unknown")
def timer(threading: Any) -> None:
    t = real.Timer(0.001, lambda: None)
    t.start()
    t.join()


@trap("unknown")
def raw_thread(threading: Any) -> None:
    _thread.start_new_thread(lambda: None, ())


@trap("unknown")
async def async_scenario(threading: Any) -> None:
    raise AssertionError


@trap("unknown")
def generator_scenario(threading: Any) -> Iterator[None]:
    raise AssertionError
    yield


@trap("unknown")
async def agen_scenario(threading: Any) -> AsyncIterator[None]:
    raise AssertionError
    yield


@trap("unknown")
def async_target(threading: Any) -> None:
    lock = threading.Lock()

    async def w() -> None:
        raise AssertionError

    def x() -> None:
        with lock:
            pass

    together(threading, w, x, x)


@trap("unknown")
def generator_target(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> Iterator[None]:
        raise AssertionError
        yield

    def x() -> None:
        with lock:
            pass

    together(threading, w, x, x)


@trap("unknown")
def async_run_override(threading: Any) -> None:
    lock = threading.Lock()

    class W(threading.Thread):  # type: ignore[misc]
        async def run(self) -> None:
            raise AssertionError

    def x() -> None:
        with lock:
            pass

    w = W()
    w.start()
    together(threading, x, x)
    w.join()


@trap("unknown")
def never_started(threading: Any) -> None:
    def w() -> None:
        raise AssertionError

    assert [threading.Thread(target=w) for _ in range(2)]


@trap("unknown")
def one_never_started(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass

    def v() -> None:
        raise AssertionError

    ts = [threading.Thread(target=w), threading.Thread(target=w), threading.Thread(target=v)]
    ts[0].start()
    ts[1].start()


@trap("unknown")
def exit_in_scenario(threading: Any) -> None:
    sys.exit()
    raise AssertionError


@trap("unknown")
def exit_in_thread(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        sys.exit(1)
        raise AssertionError

    together(threading, w, w)


@trap("unknown")
def plain_nonlocal(threading: Any) -> None:
    n = 0

    def w() -> None:
        nonlocal n
        n += 1

    together(threading, w, w)
    assert n == 2


G = 0


@trap("unknown")
def plain_global(threading: Any) -> None:
    global G
    G = 0

    def w() -> None:
        global G
        G += 1

    together(threading, w, w)
    assert G == 2


@trap("unknown")
def plain_beside_lock(threading: Any) -> None:
    lock = threading.Lock()
    n = 0

    def w() -> None:
        nonlocal n
        with lock:
            pass
        n += 1

    together(threading, w, w)
    assert n == 2


@trap("unknown")
def plain_attr_beside_lock(threading: Any) -> None:
    lock = threading.Lock()

    class C:
        n = 0

    c = C()

    def w() -> None:
        with lock:
            pass
        c.n = c.n + 1

    together(threading, w, w)
    assert c.n == 2


@trap("unknown")
def plain_global_beside_lock(threading: Any) -> None:
    global G
    G = 0
    lock = threading.Lock()

    def w() -> None:
        global G
        with lock:
            pass
        G = G + 1

    together(threading, w, w)
    assert G == 2


@trap("unknown")
def plain_item_beside_lock(threading: Any) -> None:
    lock = threading.Lock()
    d = {"n": 0}

    def w() -> None:
        with lock:
            pass
        d["n"] += 1

    together(threading, w, w)
    assert d["n"] == 2


@trap("unknown")
def plain_module_attr_beside_lock(threading: Any) -> None:
    module = sys.modules[__name__]
    module.G = 0  # type: ignore[attr-defined]
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        module.G += 1  # type: ignore[attr-defined]

    together(threading, w, w)


@trap("unknown")
def check_then_act_plain(threading: Any) -> None:
    lock = threading.Lock()
    made = None

    def w() -> None:
        nonlocal made
        with lock:
            pass
        if made is None:
            made = object()

    together(threading, w, w)


@trap("unknown")
def main_and_one_worker(threading: Any) -> None:
    n = 0

    def w() -> None:
        nonlocal n
        n += 1

    t = threading.Thread(target=w)
    t.start()
    n += 1
    t.join()
    assert n == 2


@trap("unknown")
def half_locked(threading: Any) -> None:
    lock = threading.Lock()
    n = 0

    def w() -> None:
        nonlocal n
        with lock:
            n += 1

    def x() -> None:
        nonlocal n
        n += 1

    together(threading, w, w, x)


@trap("unknown")
def real_queue(threading: Any) -> None:
    q: queue.Queue[int] = queue.Queue()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            q.put(1)

    together(threading, w, w)


@trap("unknown")
def real_simplequeue(threading: Any) -> None:
    q: queue.SimpleQueue[int] = queue.SimpleQueue()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        q.put(1)

    together(threading, w, w)


@trap("unknown")
def real_event(threading: Any) -> None:
    e = real.Event()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        e.set()

    together(threading, w, w)


@trap("unknown")
def real_lock_acquire(threading: Any) -> None:
    k = real.Lock()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        k.acquire()
        k.release()

    together(threading, w, w)


@trap("unknown")
def lambda_with_real(threading: Any) -> None:
    k = real.RLock()
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        (lambda: k.acquire())()
        k.release()

    together(threading, w, w)


@trap("unknown")
def loop(threading: Any) -> None:
    async def m() -> None:
        await asyncio.sleep(0)

    asyncio.run(m())


@trap("unknown")
def os_thread_touches(threading: Any) -> None:
    lock = threading.Lock()

    def f() -> None:
        try:
            lock.acquire()
            lock.release()
        except RuntimeError:
            pass

    P.submit(f).result()


@trap("unknown")
def separate_locks(threading: Any) -> None:
    def w() -> None:
        lock = threading.Lock()
        with lock:
            pass

    together(threading, w, w)


class WithClassLock:
    lock = real.Lock()

    def add(self) -> None:
        with self.lock:
            self.n = 1


@trap("unknown")
def class_lock(threading: Any) -> None:
    lock = threading.Lock()
    c = WithClassLock()

    def w() -> None:
        with lock:
            pass
        c.add()

    together(threading, w, w)


@trap("unknown")
def vacuous_partial(threading: Any) -> None:
    n = [0]

    def w(k: int) -> None:
        n[0] += k

    together(threading, functools.partial(w, 1), functools.partial(w, 1))


@trap("ok")
def locked_plain(threading: Any) -> None:
    lock = threading.Lock()
    n = 0
    d: dict[str, int] = {}
    lst = []

    class C:
        n = 0

    c = C()

    def w() -> None:
        nonlocal n
        with lock:
            n += 1
            c.n += 1
            d["n"] = d.get("n", 0) + 1
            lst.append(1)

    together(threading, w, w)
    assert n == 2 == c.n == d["n"]


@trap("ok")
def handed_over_by_event(threading: Any) -> None:
    e = threading.Event()
    n = 0

    def w() -> None:
        nonlocal n
        n += 1
        e.set()

    def x() -> None:
        nonlocal n
        e.wait()
        n += 1

    together(threading, w, x)
    assert n == 2


@trap("ok")
def handed_over_by_join(threading: Any) -> None:
    n = 0

    def w() -> None:
        nonlocal n
        n += 1

    for _ in range(2):
        t = threading.Thread(target=w)
        t.start()
        t.join()
    assert n == 2


@trap("ok")
def barrier_(threading: Any) -> None:
    b = threading.Barrier(2)
    n = 0

    def w() -> None:
        nonlocal n
        if b.wait():
            n += 1
        b.wait()
        assert n == 1

    together(threading, w, w)


@trap("ok")
def condition_(threading: Any) -> None:
    c = threading.Condition()
    ready = False

    def w() -> None:
        nonlocal ready
        with c:
            ready = True
            c.notify()

    def x() -> None:
        with c:
            while not ready:
                c.wait()

    together(threading, w, x)


@trap("ok")
def single(threading: Any) -> None:
    lock = threading.Lock()
    with lock:
        pass


@trap("ok", patch=[queue])
def queue_patched_ok(threading: Any) -> None:
    q: queue.Queue[int] = queue.Queue()

    def w() -> None:
        q.put(1)

    together(threading, w, w)
    assert q.qsize() == 2


@trap("ok")
def semaphore_(threading: Any) -> None:
    s = threading.Semaphore(1)
    n = 0

    def w() -> None:
        nonlocal n
        with s:
            n += 1

    together(threading, w, w)


@trap("ok")
def own_objects(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        class C:
            n = 0

        c = C()
        k = 0
        with lock:
            pass
        c.n += 1
        k += 1

        def inner() -> None:
            nonlocal k
            k += 1

        inner()

    together(threading, w, w)


@trap("ok")
def local_(threading: Any) -> None:
    lock = threading.Lock()
    loc = threading.local()

    def w() -> None:
        with lock:
            pass
        loc.n = 0
        loc.n += 1

    together(threading, w, w)


@trap("ok")
def in_common_in_a_rare_branch(threading: Any) -> None:
    lock = threading.Lock()

    def w() -> None:
        if threading.choose(3) == 1:
            with lock:
                pass

    together(threading, w, w)


@trap("unknown")
def nothing_in_common_in_several_schedules(threading: Any) -> None:
    locks = threading.Lock(), threading.Lock()

    def w(number: int) -> None:
        threading.choose(2)
        with locks[number]:
            pass

    together(threading, partial(w, 0), partial(w, 1))


@trap("ok")
def logging_inside(threading: Any) -> None:
    log = logging.getLogger("x")
    lock = threading.Lock()

    def w() -> None:
        with lock:
            pass
        log.warning("hi")

    together(threading, w, w)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("bound", [{}, {"preemptions": 2}], ids=str)
@pytest.mark.parametrize("name", TRAPS)
def test_every_trap_gets_its_verdict(name: str, bound: dict[str, Any]) -> None:
    """An `unknown` names what was not looked at; threads that share correctly are `ok`."""
    scenario, verdict, settings = TRAPS[name]
    result = lab.explore(scenario, **bound, **settings)
    assert result.verdict == verdict, result
    assert bool(result.doubts) == (verdict == "unknown")
    assert all(doubt in str(result) for doubt in result.doubts)


def test_a_doubt_says_how_to_look() -> None:
    assert "`threading.shared`" in lab.explore(plain_nonlocal).doubts[0]
    assert "pass `threading` on" in lab.explore(not_passed_on).doubts[0]
    tried = lab.explore(nothing_in_common_in_several_schedules)
    assert "not known what the orders decide" in tried.doubts[0]
    assert "test_certificate.py:" in lab.explore(real_threads).doubts[0]


def test_the_certificate_counts_threads_steps_and_what_they_have_in_common() -> None:
    certificate = lab.explore(locked_plain).certificate
    assert certificate is not None
    assert certificate.threads == {"main": 2, "w": 2, "w-2": 2}
    assert certificate.common == ("lock",)
    assert str(certificate) == (
        "3 threads (main: 2 steps, w: 2 steps, w-2: 2 steps); in common: lock"
    )


def test_what_the_real_module_starts_is_restored() -> None:
    before = _thread.start_new_thread
    lab.explore(real_threads)
    assert _thread.start_new_thread is before


def test_without_assertions_nothing_is_ok() -> None:
    code = """
from bankkit.explorer import explore
def scenario(threading):
    lock = threading.Lock()
    def work():
        with lock:
            assert False
    threading.together(work, work)
print(explore(scenario))
"""
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("unknown: not everything was looked at: Python runs with -O")


def test_without_columns_nothing_is_ok(tmp_path: Path) -> None:
    """They tell which data an instruction reads."""
    file = tmp_path / "no_columns.py"
    file.write_text("""
from bankkit.explorer import explore
def scenario(threading):
    data, lock = [0], threading.Lock()
    def write():
        with lock:
            pass
        data[0] += 1
    def read():
        with lock:
            pass
        assert data[0] in (0, 1)
    threading.together(write, read)
print(explore(scenario))
""")
    done = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", file], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("unknown: not everything was looked at: no_columns.py was comp")


def test_trusted_code_may_use_a_real_lock() -> None:
    def scenario(threading: Any) -> None:
        counter = threading.trust(RealLocked())
        mutex = threading.Lock()

        def work() -> None:
            with mutex:
                pass
            counter.add()

        together(threading, work, work)
        assert counter.n == 2

    assert lab.explore(scenario).verdict == "ok"


class Itself:
    """Its methods do not call it `self`."""

    def __init__(this) -> None:
        this._lock = real.Lock()
        this.n = 0

    def add(this) -> None:
        with this._lock:
            this.n += 1


@pytest.mark.parametrize("own", [True, False])
def test_only_methods_of_a_trusted_object_are_trusted(own: bool) -> None:
    """Whatever they call it; a function that is called with the object is not a method of it."""

    def add(counter: Itself) -> None:
        with counter._lock:
            counter.n += 1

    def scenario(threading: Any) -> None:
        counter = threading.trust(Itself())
        mutex = threading.Lock()

        def work() -> None:
            with mutex:
                pass
            if own:
                counter.add()
            else:
                add(counter)

        together(threading, work, work)

    assert lab.explore(scenario).verdict == ("ok" if own else "unknown")
