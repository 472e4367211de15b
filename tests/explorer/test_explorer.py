"""`explore` is right: its verdicts, bounds, reductions, shortest schedules and replays."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fasteners
import pytest
from readerwriterlock import rwlock

from bankkit import lab, store
from bankkit.explorer.search import shortening
from bankkit.explorer.strategies.strategy import Bound
from bankkit.locks import (
    POLICIES,
    FirstDraftLock,
    LockTable,
    LockTimeout,
    Mutex,
    NoLock,
    ReadWriteLock,
)
from bankkit.redis_backend import PrivateRedis, connection
from bankkit.teller import CallDeadline, Teller
from tests.explorer.specimens import together
from tests.explorer.test_corpus import CORPUS
from tests.support import random_scenarios
from tests.support.shares import ELSEWHERE
from tests.support.traces import bounded_search, depth_first, source_dpor, traces

Scenario = Callable[[Any], None]


def readers_and_writers(
    make: Callable[[Any], Any], readers: int, writers: int, timeout: float | None = None
) -> Scenario:
    """Each thread takes the lock once to read or to write, and makes no step inside."""

    def scenario(threading: Any) -> None:
        lock = make(threading)

        def read() -> None:
            try:
                with lock.read(timeout):
                    pass
            except LockTimeout:
                assert timeout is not None

        def write() -> None:
            try:
                with lock.write(timeout):
                    pass
            except LockTimeout:
                assert timeout is not None

        together(threading, *[read] * readers, *[write] * writers)
        statistics = lock.statistics()
        assert (statistics.readers, statistics.writer) == (0, None)

    return scenario


def read_write_lock(policy: str = "fair") -> Callable[[Any], ReadWriteLock]:
    """A function that makes the bank's default lock from a scenario's `threading`."""
    return lambda threading: ReadWriteLock(policy, threading=threading)


def mutex(threading: Any) -> Mutex:
    """Make the mutex, which reads who holds it without a lock."""
    made = Mutex(threading=threading)
    threading.track(made, "_holder")
    return made


def first_draft(threading: Any) -> FirstDraftLock:
    """Make the lock that loses a wakeup."""
    return FirstDraftLock(threading=threading)


# The bank's locks.


def test_first_draft_loses_a_wakeup() -> None:
    """One preemption is enough, with one reader and one writer."""
    found = lab.explore(readers_and_writers(first_draft, 1, 1))
    assert found.verdict == "bug"
    assert found.bug is not None
    assert found.bug.kind == "lost wakeup"
    assert "read waits at first_draft.py" in found.bug.text
    assert "notification of changed" in found.bug.text
    assert found.bug.schedule.preemptions == 1


@pytest.mark.one_in(3)
@pytest.mark.parametrize("policy", POLICIES)
def test_two_readers_and_two_writers_get_along(policy: str) -> None:
    """No policy fails within two preemptions."""
    scenario = readers_and_writers(read_write_lock(policy), 2, 2)
    assert lab.explore(scenario, preemptions=2).verdict == "ok"


@pytest.mark.one_in(3)
@pytest.mark.parametrize("policy", POLICIES[::-1])
def test_two_readers_and_two_writers_get_along_with_timeouts(policy: str) -> None:
    """No policy fails with one preemption and one early timeout."""
    scenario = readers_and_writers(read_write_lock(policy), 2, 2, timeout=1.0)
    result = lab.explore(scenario, preemptions=1, timeouts=1)
    assert result.verdict == "ok", result
    assert str(result.bound) == "at most 1 preemption and 1 early timeout"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_reader_and_a_writer_without_a_bound(policy: str) -> None:
    """No policy fails under any schedule, with or without a timeout."""
    for timeout in (None, 1.0):
        result = lab.explore(readers_and_writers(read_write_lock(policy), 1, 1, timeout))
        assert result.verdict == "ok", result
        assert result.bound == Bound()


def exclusion(make: Callable[[Any], Any]) -> Scenario:
    """Two threads write and one reads; each asserts that no writer is inside with it."""

    def scenario(threading: Any) -> None:
        lock = make(threading)
        inside = threading.shared(writer=False)

        def read() -> None:
            with lock.read():
                assert not inside.writer

        def write() -> None:
            with lock.write():
                assert not inside.writer
                inside.writer = True
                inside.writer = False

        together(threading, read, write, write)

    return scenario


@pytest.mark.one_in(3)
@pytest.mark.parametrize("make", [mutex, *map(read_write_lock, POLICIES[::-1])])
def test_a_lock_excludes(make: Callable[[Any], Any]) -> None:
    """No schedule lets a writer in beside another thread."""
    result = lab.explore(exclusion(make), preemptions=1)
    assert result.verdict == "ok", result


def test_without_a_lock_a_writer_gets_in_beside_another_thread() -> None:
    assert lab.explore(exclusion(lambda threading: NoLock(threading=threading))).bug is not None


def test_the_mutex_excludes() -> None:
    """One reader and two writers with timeouts never fail, under any schedule."""
    scenario = readers_and_writers(mutex, 1, 2, timeout=1.0)
    assert lab.explore(scenario).verdict == "ok"


def test_no_lock_excludes_nobody() -> None:
    """The choice `none` loses one of two deposits."""

    def make(threading: Any) -> NoLock:
        return NoLock(threading=threading)

    def scenario(threading: Any) -> None:
        lock = make(threading)
        account = threading.shared(balance=0)

        def deposit() -> None:
            with lock.write():
                account.balance += 100

        together(threading, deposit, deposit)
        assert account.balance == 200

    found = lab.explore(scenario)
    assert found.bug is not None
    assert found.bug.kind == "failed assertion"


# Unchanged locks of other packages.


def test_a_lock_of_readerwriterlock() -> None:
    """Its module imports `threading`, so it needs `patch=`."""

    def scenario(threading: Any) -> None:
        lock = rwlock.RWLockFair(lock_factory=threading.Lock)
        account = threading.shared(balance=0)

        def write() -> None:
            with lock.gen_wlock():
                account.balance += 100

        def read() -> None:
            with lock.gen_rlock():
                assert account.balance == account.balance

        together(threading, write, write, read)
        assert account.balance == 200

    result = lab.explore(scenario, preemptions=2, patch=[rwlock])
    assert result.verdict == "ok", result


def test_a_lock_of_fasteners() -> None:
    """Its constructor takes the class of its condition, so it needs no `patch=`."""

    def scenario(threading: Any) -> None:
        lock = fasteners.ReaderWriterLock(threading.Condition, threading.current_thread)
        account = threading.shared(balance=0)

        def write() -> None:
            with lock.write_lock():
                account.balance += 100

        def read() -> None:
            with lock.read_lock():
                assert account.balance == account.balance

        together(threading, write, write, read)
        assert account.balance == 200

    assert lab.explore(scenario, preemptions=2).verdict == "ok"


# Real tellers on a real Redis.


@pytest.fixture(scope="module")
def accounts() -> Iterator[store.Store]:
    """The bank's store on a private Redis."""
    with closing(PrivateRedis()) as server, connection.connect(server.url) as client:
        yield store.Store(client)


@pytest.mark.parametrize("kind", ["none", "read-write", pytest.param("mutex", marks=ELSEWHERE)])
def test_two_deposits_add_up_except_without_a_lock(accounts: store.Store, kind: str) -> None:
    """Without a lock, both deposits read before either commits."""
    locks: dict[str, Callable[[Any], Any]] = {
        "none": lambda threading: NoLock(threading=threading),
        "mutex": mutex,
        "read-write": read_write_lock(),
    }
    numbers = iter(range(1_000_000))

    def scenario(threading: Any) -> None:
        account_id = f"{kind}-{next(numbers)}"
        table = LockTable(lambda _: locks[kind](threading), threading=threading)
        teller = Teller(threading.points(accounts, "read", "commit"), table)
        teller.create(account_id, "savings")
        deadline = CallDeadline(time.monotonic() + 60)

        def deposit() -> None:
            teller.deposit(account_id, 100.0, "", deadline)

        together(threading, deposit, deposit)
        assert teller.balance(account_id, deadline) == 200_00

    result = lab.explore(scenario, preemptions=1, timeouts=0)  # no waiter gives up
    if kind == "none":
        assert result.bug is not None
        assert result.bug.kind == "failed assertion"
        calls = [move.does for move in result.bug.schedule.moves if "call" in move.does]
        assert [call.rpartition(".")[2] for call in calls][:4] == [
            "read",
            "read",
            "commit",
            "commit",
        ]
    else:
        assert result.verdict == "ok", result


# A reduction loses no trace.


@pytest.mark.one_in(2)
@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: str(specimen.name))
def test_a_reduction_keeps_every_trace_of_the_corpus(specimen: Any) -> None:
    """The bounded search finds the same traces as all schedules do, with 0, 1 and 2 preemptions."""
    for bound in (0, 1, 2):
        every, _ = traces(specimen.corrected, depth_first(Bound(bound)))
        reduced, _ = traces(specimen.corrected, bounded_search(Bound(bound)))
        assert reduced == every
    unbounded, _ = traces(specimen.corrected, source_dpor)
    assert every <= unbounded


@pytest.mark.one_in(3)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_reduction_keeps_every_trace_of_the_lock(policy: str) -> None:
    """Both reductions find the same traces of the bank's lock as all schedules do."""
    scenario = readers_and_writers(read_write_lock(policy), 1, 1, timeout=1.0)
    every, _ = traces(scenario, depth_first(Bound()))
    assert traces(scenario, bounded_search(Bound()))[0] == every
    assert traces(scenario, source_dpor)[0] == every
    scenario = readers_and_writers(read_write_lock(policy), 2, 2)
    bounded = [traces(scenario, depth_first(Bound(bound)))[0] for bound in (0, 1)]
    assert [traces(scenario, bounded_search(Bound(bound)))[0] for bound in (0, 1)] == bounded


@pytest.mark.one_in(8)
@pytest.mark.parametrize("first", range(0, 64, 8))
def test_a_reduction_keeps_every_trace_of_random_programs(first: int) -> None:
    """Both reductions are compared with all schedules of small programs, under five bounds."""
    compared = 0
    for seed in range(first, first + 8):
        scenario = random_scenarios.scenario(seed)
        unbounded, ran = traces(scenario, source_dpor, most=200)
        if ran == 200:
            continue  # the program has too many schedules to run them all
        for bound in (Bound(0), Bound(1), Bound(2), Bound(), Bound(1, timeouts=1)):
            every, ran = traces(scenario, depth_first(bound), most=300)
            if ran < 300:
                assert traces(scenario, bounded_search(bound))[0] == every, (seed, bound)
                assert every <= unbounded, (seed, bound)
                if bound == Bound():
                    assert every == unbounded, seed
                compared += 1
    assert compared > 10


def test_a_reduction_pays() -> None:
    """It runs at most half of the schedules with two preemptions, and finds what all find."""
    scenario = readers_and_writers(read_write_lock("writers"), 2, 2)
    every, all_of_them = traces(scenario, depth_first(Bound(2)))
    reduced, few = traces(scenario, source_dpor)
    assert every <= reduced
    assert all_of_them >= 2 * few


def test_unseen_sharing_is_noticed_and_each_schedule_runs_once() -> None:
    """What a thread does next depends on an attribute that is not tracked."""

    def scenario(threading: Any) -> None:
        lock, door = threading.Lock(), SimpleNamespace(is_open=False)
        mine, yours = threading.shared(value=0), threading.shared(value=0)

        def opens() -> None:
            with lock:
                pass
            mine.value = 1
            door.is_open = True
            mine.value = 2
            with lock:
                pass

        def looks() -> None:
            with lock:
                pass
            yours.value = 1
            if door.is_open:
                yours.value = 2
            with lock:
                pass

        together(threading, opens, looks)

    result = lab.explore(scenario, preemptions=2)
    assert result.unreduced.startswith("thread looks")
    assert result.schedules == lab.explore(scenario, preemptions=2, reduction=False).schedules


# Verdicts, limits, and errors.


def spin(threading: Any) -> None:
    """Wait for an event in a loop, which need not end."""
    event = threading.Event()
    threading.Thread(target=event.set).start()
    rounds = 0
    while not event.is_set():
        rounds += 1  # so no round is like the one before


def test_a_spin_is_unknown_and_says_where() -> None:
    """The limit names the thread and the line of the loop."""
    result = lab.explore(spin, steps=100)
    assert result.verdict == "unknown"
    assert "100 steps" in result.limit
    assert "thread main at test_explorer.py" in result.limit
    assert "while not event.is_set()" in result.limit


def test_a_limit_is_unknown_never_ok() -> None:
    """This holds for a limit of schedules, a limit of seconds, and for random schedules."""
    scenario = readers_and_writers(read_write_lock(), 2, 2)
    limits: list[dict[str, Any]] = [{"schedules": 5}, {"seconds": 0.000_001}]
    for limit in limits:
        result = lab.explore(scenario, **limit)
        assert result.verdict == "unknown"
        assert result.limit
        assert str(result).startswith("unknown")
    assert lab.explore(scenario, strategy="pct", schedules=50).verdict == "unknown"


def test_a_limit_equal_to_the_number_of_schedules_is_ok() -> None:
    """The limit counts as reached only if one more schedule would have to run."""
    scenario = readers_and_writers(read_write_lock(), 1, 1)
    number = lab.explore(scenario).schedules
    assert lab.explore(scenario, schedules=number).verdict == "ok"


def test_random_schedules_repeat_with_their_seed() -> None:
    """The same seed needs the same number of schedules; another seed finds the bug, too."""
    runs = [
        lab.explore(readers_and_writers(first_draft, 1, 2), strategy="pct", seed=seed)
        for seed in (5, 5, 6)
    ]
    assert runs[0].schedules == runs[1].schedules
    assert all(run.verdict == "bug" for run in runs)


def test_a_scenario_that_differs_each_time_is_refused() -> None:
    """It uses random numbers; `Diverged` names the thread and the line."""
    rng = random.Random(1)

    def scenario(threading: Any) -> None:
        mutex = threading.Lock()

        def work() -> None:
            if rng.random() < 0.5:
                mutex.locked()
            with mutex:
                pass

        together(threading, work, work)

    with pytest.raises(lab.Diverged, match=r"thread work.* at test_explorer\.py:\d+"):
        lab.explore(scenario, reduction=False)


def test_a_scenario_that_remembers_is_refused() -> None:
    """It depends on how often it has run."""
    seen: list[int] = []

    def scenario(threading: Any) -> None:
        mutex = threading.Lock()
        seen.append(1)

        def work() -> None:
            for _ in range(max(0, 3 - len(seen))):
                with mutex:
                    pass

        together(threading, work, work)

    with pytest.raises(lab.Diverged, match=r"not deterministic.*a set of objects"):
        lab.explore(scenario)


class Odd(BaseException):
    """An exception that `except Exception` does not catch."""


def ends_by(error: BaseException) -> Scenario:
    """A scenario in which a thread ends with this exception."""

    def scenario(threading: Any) -> None:
        def work() -> None:
            with threading.Lock():
                raise error

        together(threading, work)

    return scenario


@pytest.mark.parametrize("error", [Odd("odd"), GeneratorExit(), pytest.fail.Exception("failed")])
def test_every_other_exception_is_the_failure_of_its_thread(error: BaseException) -> None:
    """One that does not derive from Exception is found with its schedule, too."""
    bug = lab.explore(ends_by(error)).bug
    assert bug is not None
    assert bug.error is error
    assert lab.replay(ends_by(error), bug.schedule).error is error


def test_an_exception_without_a_text_is_a_bug() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    result = lab.explore(ends_by(Unprintable()))
    assert "work: Unprintable" in str(result)


def test_a_recursion_that_reaches_the_explorer_is_refused() -> None:
    """It is not a bug that the explorer's own calls need some of the limit."""

    def scenario(threading: Any) -> None:
        lock = threading.Lock()

        def again() -> None:
            with lock:
                pass
            again()

        together(threading, again)

    with pytest.raises(lab.ScenarioError, match="Thread again is so deep in calls"):
        lab.explore(scenario)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), pytest.skip.Exception("skipped"), pytest.xfail.Exception("x")]
)
def test_what_is_for_the_caller_reaches_it(error: BaseException) -> None:
    with pytest.raises(type(error)):
        lab.explore(ends_by(error))


def test_a_schedule_of_another_program_is_refused() -> None:
    """`Diverged` names the line where the program does not follow the schedule."""
    bug = lab.explore(readers_and_writers(first_draft, 1, 1)).bug
    assert bug is not None
    with pytest.raises(lab.Diverged, match=r"thread write at read_write\.py:\d+"):
        lab.replay(readers_and_writers(read_write_lock(), 1, 1), bug.schedule)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bankkit schedule": 2}', '{"moves": []}'])
def test_text_that_is_not_a_schedule_is_refused(text: str) -> None:
    """Text that is not JSON, of another shape, or of an unknown version raises ValueError."""
    with pytest.raises(ValueError, match="not a schedule"):
        lab.Schedule.from_json(text)


def test_a_wrong_strategy_is_refused() -> None:
    """The error names the strategies."""
    with pytest.raises(ValueError, match="strategy must be"):
        lab.explore(spin, strategy="lucky")  # type: ignore[arg-type]


def test_the_table_has_a_column_for_each_thread() -> None:
    """It marks preemptions and endless waits, and it fits into 100 characters."""
    bug = lab.explore(readers_and_writers(first_draft, 1, 1)).bug
    assert bug is not None
    lines = str(bug).splitlines()
    assert lines[0].startswith("lost wakeup: read waits at first_draft.py")
    assert lines[2].split() == ["read", "write"]
    assert any("*" in line for line in lines)
    assert any(line.startswith("   ∞") for line in lines)
    assert max(map(len, lines[2:])) <= 100


def test_the_schedule_is_as_short_as_can_be() -> None:
    """One thread reads between the read and the write of the other; no step can be left out."""

    def scenario(threading: Any) -> None:
        account = threading.shared(balance=0)
        other = threading.shared(value=0)

        def deposit() -> None:
            other.value += 1
            account.balance += 100

        together(threading, deposit, deposit)
        final = account.balance
        assert final == 200

    bug = lab.explore(scenario, strategy="pct", seed=3).bug
    assert bug is not None
    assert bug.schedule.preemptions == 1
    assert len(bug.schedule) == 9
    assert Path(bug.schedule.moves[0].file).name == "test_explorer.py"


def test_a_scenario_that_fails_at_once_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule without steps is not shortened, however much time there is for it."""
    monkeypatch.setattr(shortening, "MINIMISING_SECONDS", 60.0)

    def scenario(threading: Any) -> None:
        raise ZeroDivisionError

    result = lab.explore(scenario)
    assert result.verdict == "bug"
    assert result.seconds < 30
