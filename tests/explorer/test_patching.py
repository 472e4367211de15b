"""`patch=` replaces what a module keeps of `threading`, wherever it keeps it, and puts it back.

A real lock never blocks a virtual thread of the same OS thread. So each program here gave a wrong
verdict while one of its locks was real: a correct one a bug, or a deadlock "ok".
"""

import contextvars
import functools
import subprocess
import sys
import threading
from typing import Any

import pytest

from bankkit import explorer
from bankkit.explorer import Unsupported
from tests.explorer import patched_at_once
from tests.explorer.modules import PLACES, module
from tests.explorer.specimens import together
from tests.support.paths import ROOT

SYNCHRONIZED = """
import threading
def add(hold, data):
    with hold():
        before = data.value
        data.value = before + 1
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("place", PLACES)
def test_a_lock_is_replaced_wherever_the_module_keeps_it(place: str) -> None:
    """It excludes, it is the real one again afterwards, and it can be used again."""
    with module(PLACES[place]) as kept, module(SYNCHRONIZED, "adding") as adding:
        real = real_lock(kept)

        def scenario(threading: Any) -> None:
            data = threading.shared(value=0)
            getattr(kept, "reset", lambda: None)()
            add = functools.partial(adding.add, kept.hold, data)
            together(threading, add, add)
            assert data.value == 2

        for _ in range(2):
            result = explorer.explore(scenario, patch=[kept, adding])
            assert result.verdict == "ok", result
            assert result.schedules > 1
            assert real_lock(kept) is real or "makes" in place or place == "a bound method"


def real_lock(kept: Any) -> Any:
    """The module's lock, outside of an exploration."""
    getattr(kept, "reset", lambda: None)()
    with kept.hold():
        pass
    lock = kept.hold()
    getattr(kept, "reset", lambda: None)()
    assert "bankkit" not in type(lock).__module__, lock
    return lock


def test_two_module_locks_in_opposite_order_are_a_deadlock() -> None:
    """A real RLock never blocks here, so this was "ok"."""
    source = """
import threading
first, second = threading.RLock(), threading.RLock()
def up():
    with first, second: pass
def down():
    with second, first: pass
"""
    with module(source) as sample:

        def scenario(threading: Any) -> None:
            together(threading, sample.up, sample.down)

        bug = explorer.explore(scenario, patch=[sample]).bug
        assert bug is not None
        assert bug.kind == "deadlock"
        assert "first" in bug.text
        assert "second" in bug.text
        assert explorer.replay(scenario, bug.schedule, patch=[sample]).text == bug.text


def test_the_class_of_another_module_brings_its_lock_along() -> None:
    """Only the subclass's module is patched; its base class makes the lock."""
    base = """
import threading
class Base:
    count_lock = threading.RLock()
    def __init__(self): self.mutex = threading.RLock()
"""
    source = """
from base_of_sample import Base
class Account(Base):
    balance = 0
    def deposit(self, lock):
        with lock:
            before = self.balance
            lock.acquire(); lock.release()
            self.balance = before + 100
"""
    with module(base, "base_of_sample"), module(source) as sample:
        for which in ("mutex", "count_lock"):

            def scenario(threading: Any, which: str = which) -> None:
                account = sample.Account()
                other = threading.Event()

                def deposit() -> None:
                    lock = getattr(account, which)
                    with lock:
                        before = account.balance
                        other.is_set()
                        account.balance = before + 100

                together(threading, deposit, deposit)
                assert account.balance == 200

            result = explorer.explore(scenario, patch=[sample])
            assert result.verdict == "ok", result


def test_a_package_stands_for_its_modules() -> None:
    """The lock is in a module of the package that is patched."""
    with module("", "pack"), module(PLACES["a global"], "pack.inner") as inner:

        def scenario(threading: Any) -> None:
            event = threading.Event()
            inside: list[int] = []

            def work() -> None:
                with inner.hold():
                    inside.append(1)
                    event.is_set()
                    assert len(inside) == 1
                    inside.pop()

            together(threading, work, work)

        result = explorer.explore(scenario, patch=[sys.modules["pack"]])
        assert result.verdict == "ok", result


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="it has no lock since Python 3.12")
def test_a_cached_property_is_computed_once() -> None:
    """In Python 3.11 a lock of its own makes sure of that."""
    source = """
import functools, threading
event = threading.Event()
class Report:
    computed = 0
    @functools.cached_property
    def text(self):
        self.computed += 1
        event.is_set()
        return "text"
"""
    with module(source) as sample:

        def scenario(threading: Any) -> None:
            report = sample.Report()
            together(threading, lambda: report.text, lambda: report.text)
            assert report.computed == 1

        result = explorer.explore(scenario, patch=[sample])
        assert result.verdict == "ok", result
        assert result.schedules > 1


LOCALS = {
    "an object": """
import threading
own = threading.local()
""",
    "an object of a subclass": """
import threading
class Own(threading.local):
    count = 0
    def __init__(self):
        super().__init__()
        self.made = True
own = Own()
""",
    "a subclass": """
from threading import local
class Own(local):
    def __init__(self, value):
        super().__init__()
        self.made = value
own = None
""",
}


@pytest.mark.parametrize("kind", LOCALS)
def test_each_thread_has_its_own_attributes_of_a_local(kind: str) -> None:
    """No thread sees what another one has set, not even one of an earlier schedule."""
    with module(LOCALS[kind]) as sample:
        before = vars(sample).copy()

        def scenario(threading: Any) -> None:
            if kind == "a subclass":
                sample.own = sample.Own(5)
            event = threading.Event()

            def work() -> None:
                assert not hasattr(sample.own, "value")
                sample.own.value = 1
                event.is_set()
                sample.own.value += 1
                assert sample.own.value == 2
                if kind != "an object":
                    assert sample.own.made

            together(threading, work, work)
            assert not hasattr(sample.own, "value")

        result = explorer.explore(scenario, patch=[sample])
        assert result.verdict == "ok", result
        before["own"] = sample.own if kind == "a subclass" else before["own"]
        assert vars(sample) == before


def test_a_local_begins_with_what_the_real_one_has() -> None:
    """The scenario's main thread is the OS thread that explores."""
    with module(LOCALS["an object"]) as sample:
        sample.own.user = "alice"

        def scenario(threading: Any) -> None:
            assert sample.own.user == "alice"
            sample.own.user = "bob"
            together(threading, lambda: None)

        assert explorer.explore(scenario, patch=[sample]).verdict == "ok"
        assert sample.own.user == "alice"


def test_a_local_that_was_made_with_arguments_is_refused() -> None:
    """The error names the place."""
    with module(f"{LOCALS['a subclass']}\nthing = Own(3)\n") as sample:
        with pytest.raises(Unsupported, match=r"sample\.thing is a `threading\.local`"):
            explorer.explore(lambda threading: None, patch=[sample])
        assert sample.Own.__bases__ == (threading.local,)


USER = contextvars.ContextVar("USER", default="nobody")


def test_each_thread_has_its_own_context() -> None:
    """A thread starts with an empty context, and leaves nothing to a later thread or schedule."""
    USER.set("alice")
    seen = []

    def scenario(threading: Any) -> None:
        event = threading.Event()
        assert USER.get() == "alice"
        USER.set("bob")

        def work(name: str) -> None:
            seen.append(USER.get())
            assert USER.get() == "nobody"
            USER.set(name)
            event.is_set()
            assert USER.get() == name

        together(threading, lambda: work("carol"), lambda: work("dave"))
        together(threading, lambda: work("eve"))
        assert USER.get() == "bob"

    result = explorer.explore(scenario, preemptions=1, reduction=False)
    assert result.verdict == "ok", result
    assert len(seen) > 3
    assert USER.get() == "alice"


SUBCLASSES = """
import threading, time
from threading import Thread, Event, Condition, Semaphore, Barrier, Timer
class Mixin:
    pass
class Worker(Mixin, Thread):
    def __init__(self, task, key):
        super().__init__(name="worker", daemon=False)
        self.task, self.key, self.value, self.now = task, key, 0, time.monotonic()
        self.options = self.done = self.owner = self.op = self.label = self.past = None
        self._scheduler = self._task = self._key = "mine"
    def run(self):
        self.value = self.task(self.key)
class Later(Worker):
    pass
class Flag(Event):
    def __init__(self):
        super().__init__()
        self.key = self.value = self.now = self.task = "mine"
    def is_available(self):
        raise AssertionError("the explorer calls a method of the program")
class Changed(Condition):
    def __init__(self, lock=None):
        super().__init__(lock)
        self.key = self.value = self.now = self.task = "mine"
class Permits(Semaphore):
    value = property(lambda self: self._value)
    key = now = task = "mine"
class Meeting(Barrier):
    acting = key = value = now = task = "mine"
class Alarm(Timer):
    pass
flag = Flag()
changed = Changed()
permits = Permits(2)
"""


def test_subclasses_at_the_top_of_a_module_are_virtual() -> None:
    """Their own attributes, whatever they are called, do not confuse the explorer."""
    with module(SUBCLASSES) as sample:
        before = {name: vars(each).copy() for name, each in vars(sample).items() if name in "flag"}
        bases = sample.Worker.__bases__

        def scenario(threading: Any) -> None:
            sample.flag.clear()
            assert isinstance(sample.Later(len, ""), threading.Thread)
            meeting = sample.Meeting(2)
            mutex = sample.Changed()

            def work(key: str) -> str:
                assert threading.current_thread().key == key
                assert threading.current_thread()._key == "mine"
                with sample.permits, mutex:
                    assert sample.permits.value in (0, 1)
                    sample.changed.acquire()
                    sample.changed.notify_all()
                    sample.changed.release()
                meeting.wait()
                sample.flag.set()
                return key

            workers = [sample.Worker(work, "a"), sample.Later(work, "b")]
            for worker in workers:
                worker.start()
            assert sample.flag.wait()
            for worker in workers:
                worker.join()
            assert [worker.value for worker in workers] == ["a", "b"]
            assert (sample.flag.key, sample.flag.value, meeting.acting) == ("mine",) * 3

        result = explorer.explore(scenario, preemptions=1, patch=[sample])
        assert result.verdict == "ok", result
        assert result.schedules > 10
        assert sample.Worker.__bases__ == bases
        assert vars(sample.flag) == before["flag"]
        assert not sample.flag.is_set()
        worker = sample.Worker(str.upper, "real")
        worker.start()
        worker.join()
        assert worker.value == "REAL"


def test_stand_ins_have_no_name_that_a_subclass_might_use() -> None:
    """What the real class does not have is called `explorer…`."""

    def scenario(threading_: Any) -> None:
        things = {
            "Condition": threading_.Condition(),
            "Event": threading_.Event(),
            "Semaphore": threading_.Semaphore(),
            "BoundedSemaphore": threading_.BoundedSemaphore(),
            "Barrier": threading_.Barrier(1),
            "Thread": threading_.Thread(),
            "Timer": threading_.Timer(1, len),
            "local": threading_.local(),
        }
        real = {
            "Barrier": threading.Barrier(1), "Thread": threading.Thread(),
            "Timer": threading.Timer(1, len),
        }  # fmt: skip
        for name, thing in things.items():
            usual = set(dir(real.get(name) or getattr(threading, name)())) | set(dir(object()))
            own = set(dir(thing)) - usual - {"__annotations__", "__slots__", "__module__"}
            own -= {"__dict__", "__weakref__", "__static_attributes__", "__firstlineno__"}
            assert all("explorer" in each for each in own), (name, own)

    result = explorer.explore(scenario)
    assert result.bug is None, result


REFUSED = {
    "an unknown function": ("import threading\ndef work(): threading._shutdown()\n", "_shutdown"),
    "tracing": ("import threading\ndef work(): threading.settrace(print)\n", "settrace"),
    "a swallowed refusal": (
        "import threading\n"
        "def work():\n"
        "    try: threading.setprofile(print)\n"
        "    except BaseException: pass\n"
        "    threading.Lock().acquire()\n",
        "setprofile",
    ),
    "a lock of another kind": (
        "import threading\n"
        "class Lock:\n"
        "    def acquire(self): pass\n"
        "    def release(self): pass\n"
        "def work(): threading.Condition(Lock())\n",
        "Condition",
    ),
    "a module of threads": ("import _thread\ndef work(): _thread.interrupt_main()\n", "interrupt"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_stand_in_is_refused_by_name(what: str) -> None:
    """It is an error of the search, and no bug of the program."""
    source, name = REFUSED[what]
    with module(source) as sample, pytest.raises(Unsupported, match=name):
        explorer.explore(lambda _: sample.work(), patch=[sample])


def test_a_lock_that_is_held_is_refused_by_place() -> None:
    """The stand-in could not know which thread releases it."""
    with module(PLACES["a plain lock"]) as sample:
        sample.mutex.acquire()
        with pytest.raises(Unsupported, match=r"sample\.mutex is a lock that real code holds"):
            explorer.explore(lambda threading: None, patch=[sample])
        sample.mutex.release()


def test_a_running_thread_of_a_patched_class_is_refused_by_place() -> None:
    """Its methods would change under it."""
    source = """
import threading
go_on = threading.Event()
class Worker(threading.Thread):
    def run(self): go_on.wait()
"""
    with module(source) as sample:
        worker = sample.Worker(name="busy")
        worker.start()
        try:
            with pytest.raises(Unsupported, match=r"sample\.Worker .*'busy' is a real thread"):
                explorer.explore(lambda threading: None, patch=[sample])
        finally:
            sample.go_on.set()
            worker.join()


def test_other_os_threads_keep_the_real_primitives() -> None:
    """A lock of the module that another OS thread uses meanwhile works there as usual."""
    source = """
import threading, queue
mutex = threading.Lock()
counter = 0
def count():
    global counter
    while not over:
        with mutex, threading.Lock(): counter += 1
        queue.Queue().put(1)
over = False
"""
    with module(source) as sample:
        errors = []

        def count() -> None:
            try:
                sample.count()
            except BaseException as error:
                errors.append(error)

        other = threading.Thread(target=count)
        other.start()

        def scenario(threading: Any) -> None:
            def work() -> None:
                with sample.mutex:
                    pass

            together(threading, work, work)

        try:
            for _ in range(3):
                assert explorer.explore(scenario, patch=[sample]).verdict == "ok"
        finally:
            sample.over = True
            other.join()
        assert not errors
        assert sample.counter


def test_what_a_schedule_leaves_in_the_module_is_no_lock_of_the_next() -> None:
    """A lock that is made when it is first used is refused, and does not stay there."""
    source = """
import threading
mutex = None
def get():
    global mutex
    if mutex is None: mutex = threading.Lock()
    return mutex
"""
    with module(source) as sample:

        def scenario(threading: Any) -> None:
            def work() -> None:
                with sample.get():
                    pass

            together(threading, work, work)

        with pytest.raises(explorer.ScenarioError, match="primitive of an earlier schedule"):
            explorer.explore(scenario, patch=[sample])
        assert sample.mutex is None


def test_a_lock_that_a_scenario_keeps_is_refused() -> None:
    """It may still be locked by a thread of the earlier schedule."""
    locks: list[Any] = []

    def scenario(threading: Any) -> None:
        if not locks:
            locks.append(threading.RLock())

        def work() -> None:
            with locks[0]:
                pass

        together(threading, work, work)

    with pytest.raises(explorer.ScenarioError, match="primitive of an earlier schedule"):
        explorer.explore(scenario)


def test_a_module_that_is_imported_too_late_is_refused(tmp_path: Any, monkeypatch: Any) -> None:
    """It got the real `threading`; the second time it is patched."""
    package = tmp_path / "late_package"
    package.mkdir()
    (package / "__init__.py").write_text("def work():\n    from late_package import inner\n")
    (package / "inner.py").write_text("import threading\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import late_package  # type: ignore[import-not-found]

    def scenario(threading: Any) -> None:
        event = threading.Event()
        together(threading, late_package.work, event.set, event.set)

    with pytest.raises(explorer.ScenarioError, match=r"imports late_package\.inner, too late"):
        explorer.explore(scenario, patch=[late_package])
    assert explorer.explore(scenario, patch=[late_package]).verdict == "ok"


@pytest.mark.parametrize("patch", ["everything", threading])
def test_a_wrong_patch_is_refused(patch: Any) -> None:
    """The error says what `patch=` takes."""
    with pytest.raises((TypeError, ValueError), match="patch= takes"):
        explorer.explore(lambda threading: None, patch=patch)


def test_counters_of_the_module_start_anew() -> None:
    """Names that contain a number are the same in each schedule, so schedules can be replayed."""
    source = """
import itertools, threading
numbers = itertools.count(7).__next__
def start(target):
    thread = threading.Thread(target=target, name=f"worker-{numbers()}")
    thread.start()
    return thread
"""
    with module(source) as sample:

        def scenario(threading: Any) -> None:
            data = threading.shared(value=0)

            def add() -> None:
                data.value += 1

            for thread in [sample.start(add), sample.start(add)]:
                thread.join()
            assert data.value == 2

        bug = explorer.explore(scenario, patch=[sample]).bug
        assert bug is not None
        assert {move.thread for move in bug.schedule.moves} == {"worker-7", "worker-8", "main"}
        assert sample.numbers() == 7


def test_a_program_may_number_its_threads_forever() -> None:
    """A schedule is found again by the order in which the threads were started."""
    source = """
import threading
started = 0
def start(target):
    global started
    started += 1
    thread = threading.Thread(target=target, name=f"worker-{started}")
    thread.start()
    return thread
"""
    with module(source) as sample:

        def scenario(threading: Any) -> None:
            data = threading.shared(value=0)

            def add() -> None:
                data.value += 1

            for thread in [sample.start(add), sample.start(add)]:
                thread.join()
            assert data.value == 2

        bug = explorer.explore(scenario, patch=[sample]).bug
        assert bug is not None
        again = explorer.replay(scenario, bug.schedule, patch=[sample])
        assert again.kind == bug.kind
        assert set(again.schedule.threads).isdisjoint(set(bug.schedule.threads) - {"main"})


def test_patching_leaves_no_stand_in_behind() -> None:
    """After an exploration with `patch="all"`, no module of a small process has one."""
    command = [sys.executable, "-m", patched_at_once.__name__]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.elsewhere
def test_patching_leaves_no_stand_in_behind_among_all_tests() -> None:
    """Nor does a module of pytest, or of a library that other tests use."""
    patched_at_once.check()
