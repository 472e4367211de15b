"""The explorer knows all of Python's threads: pools, futures, timers, queues, old names.

The standard library's own code runs on the stand-ins, and so do real libraries.
"""

import _thread
import concurrent.futures
import contextlib
import functools
import logging
import logging.handlers
import multiprocessing.dummy
import queue
import sched
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bankkit import explorer
from tests.explorer import unseen_helper
from tests.explorer.specimens import together

THIS = [sys.modules[__name__]]


def outcomes(scenario: Callable[[Any], object], **settings: Any) -> set[object]:
    """All values that the scenario returns, over all schedules."""
    seen = set()
    result = explorer.explore(lambda threading: seen.add(scenario(threading)), **settings)
    assert result.verdict == "ok", result
    return seen


def found(scenario: Callable[[Any], object], **settings: Any) -> explorer.Outcome:
    """The bug of a scenario, which is the same when its schedule is replayed."""
    result = explorer.explore(scenario, **settings)
    assert result.bug is not None, result
    again = explorer.replay(
        scenario, explorer.Schedule.from_json(result.bug.schedule.to_json()),
        **{name: value for name, value in settings.items() if name in ("patch", "timing")},
    )  # fmt: skip
    assert (again.kind, again.text) == (result.bug.kind, result.bug.text)
    return result.bug


# Queues.


def test_items_of_a_simple_queue_arrive_in_any_order() -> None:
    """Each item is got once, in the order in which it was put."""

    def scenario(_: Any) -> object:
        items: queue.SimpleQueue[str] = queue.SimpleQueue()
        got: list[str] = []

        def put(item: str) -> None:
            items.put(item)

        def get() -> None:
            got.append(items.get())

        together(threading, lambda: put("a"), lambda: put("b"), get)
        got.append(items.get_nowait())
        assert items.empty()
        return "".join(got)

    for reduction in (True, False):
        assert outcomes(scenario, patch=THIS, reduction=reduction) == {"ab", "ba"}


def test_a_simple_queue_can_time_out() -> None:
    """The explorer tries both. A get that may not wait finds an item or none."""

    def scenario(_: Any) -> object:
        items: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=items.put, args=("a",)).start()
        try:
            return items.get(timeout=1)
        except queue.Empty:
            try:
                return f"late: {items.get_nowait()}"
            except queue.Empty:
                return "nothing"

    assert outcomes(scenario, patch=THIS) == {"a", "late: a", "nothing"}


def test_a_get_that_nobody_answers_is_found() -> None:
    """Two consumers wait for one item."""

    def scenario(_: Any) -> None:
        items: queue.SimpleQueue[str] = queue.SimpleQueue()
        together(threading, items.get, items.get, lambda: items.put("a"))

    bug = found(scenario, patch=THIS)
    assert bug.kind == "lost wakeup"
    assert "get an item from items" in bug.text


@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_the_queues_of_the_standard_library_run_as_they_are(kind: type[Any]) -> None:
    """A full queue makes a producer wait, and `join` waits for the last item."""

    def scenario(_: Any) -> object:
        items = kind(maxsize=1)
        got: list[int] = []

        def produce() -> None:
            for item in (1, 2):
                items.put(item)

        def consume() -> None:
            for _ in range(2):
                got.append(items.get())
                items.task_done()

        together(threading, produce, consume)
        items.join()
        return tuple(got)

    assert outcomes(scenario, patch=THIS, preemptions=1) == {(1, 2)}


def test_a_check_before_a_get_is_a_race() -> None:
    """`if not q.empty(): q.get()` waits forever if another thread comes between."""

    def scenario(_: Any) -> None:
        items: queue.Queue[int] = queue.Queue()
        items.put(1)

        def take() -> None:
            if not items.empty():
                items.get()

        together(threading, take, take)

    assert found(scenario, patch=THIS).kind == "lost wakeup"


# Pools and futures.


def test_a_pool_runs_its_tasks_in_any_order() -> None:
    """With two workers, both orders happen; the results are in the order of the calls."""

    def scenario(_: Any) -> object:
        done: list[str] = []
        mutex = threading.Lock()

        def work(name: str) -> str:
            with mutex:
                done.append(name)
            return name.upper()

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            assert list(pool.map(work, ["a", "b"])) == ["A", "B"]
        return "".join(done)

    assert outcomes(scenario, patch=THIS, preemptions=1) == {"ab", "ba"}


def test_a_race_between_two_tasks_of_a_pool_is_found() -> None:
    """The schedule names the pool's workers, and can be replayed."""

    def scenario(threading: Any) -> None:
        account = threading.shared(balance=0)

        def deposit() -> None:
            account.balance += 100

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(deposit) for _ in range(2)]
            for future in futures:
                future.result()
        assert account.balance == 200

    bug = found(scenario, patch=THIS)
    assert bug.kind == "failed assertion"
    assert [name.rpartition("_")[2] for name in bug.schedule.threads[1:]] == ["0", "1"]
    assert all(name.startswith("ThreadPoolExecutor-") for name in bug.schedule.threads[1:])


def test_a_task_that_waits_for_a_task_of_its_own_pool_hangs() -> None:
    """The only worker waits for a future that nobody computes."""

    def scenario(_: Any) -> None:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def outer() -> int:
                return pool.submit(lambda: 1).result()

            pool.submit(outer).result()

    assert found(scenario, patch=THIS, preemptions=0).kind == "lost wakeup"


def test_futures_are_waited_for_and_cancelled() -> None:
    """`as_completed`, `wait`, callbacks and `cancel` work in every schedule, in the same order."""

    def scenario(_: Any) -> object:
        called: list[object] = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(int, "1")
            second = pool.submit(int, "2")
            second.add_done_callback(lambda future: called.append(future.cancelled()))
            cancelled = second.cancel()
            done, not_done = concurrent.futures.wait([first, second])
            assert (len(done), len(not_done)) == (2, 0)
            each = list(concurrent.futures.as_completed([first, second]))
            assert set(each) == {first, second}
        assert called == [cancelled]
        assert first.result() == 1
        return cancelled

    assert outcomes(scenario, patch=THIS, preemptions=1) == {True, False}


def test_an_exception_in_a_pool_arrives_at_its_future() -> None:
    """It is no bug of the schedule."""

    def scenario(_: Any) -> object:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return type(pool.submit(int, "x").exception()).__name__

    assert outcomes(scenario, patch=THIS, preemptions=1) == {"ValueError"}


def test_a_pool_that_is_not_shut_down_does_not_hang_the_exploration() -> None:
    """Its workers end when the pool is freed, and do not disturb later schedules."""

    def scenario(_: Any) -> object:
        return concurrent.futures.ThreadPoolExecutor(1).submit(int, "3").result()

    for _ in range(3):
        assert outcomes(scenario, patch=THIS, preemptions=1) == {3}


def test_two_workers_race_in_the_callbacks_of_futures() -> None:
    """Both rarely have a task at the same time, and so few schedules of a survey show it."""

    def scenario(_: Any) -> None:
        done = [0]

        def add(_: Any) -> None:
            done[0] += 1

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in range(2):
                pool.submit(lambda: None).add_done_callback(add)
        assert done[0] == 2

    result = explorer.explore(scenario, patch=THIS)
    assert result.verdict == "unknown"
    assert "`done[0]` is plain data" in str(result.doubts)


def test_the_processes_of_multiprocessing_dummy_are_threads() -> None:
    """Their queue is the one of the module `queue`."""

    def scenario(_: Any) -> object:
        items: Any = multiprocessing.dummy.Queue()
        workers = [multiprocessing.dummy.Process(target=items.put, args=(each,)) for each in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return items.get() + items.get()

    assert outcomes(scenario, patch=THIS, preemptions=1) == {"ab", "ba"}


def test_a_thread_pool_of_multiprocessing_runs_its_tasks() -> None:
    """It has three threads of its own beside its workers."""

    def scenario(_: Any) -> object:
        with multiprocessing.dummy.Pool(1) as pool:
            waiting = pool.apply_async(int, ("x",))
            assert pool.map(str, [1, 2]) == ["1", "2"]
            with pytest.raises(ValueError, match="invalid literal"):
                waiting.get()
        return "done"

    assert outcomes(scenario, patch=THIS, preemptions=0, timeouts=0) == {"done"}


# Timers and time.


def test_a_timer_fires_or_is_cancelled() -> None:
    """The explorer tries both."""

    def scenario(threading: Any) -> object:
        fired: list[str] = []
        timer = threading.Timer(5.0, fired.append, args=["fired"])
        timer.start()
        assert isinstance(timer, threading.Thread)
        timer.cancel()
        timer.join()
        return tuple(fired)

    assert outcomes(scenario) == {(), ("fired",)}


def sleepers(threading: Any) -> tuple[str, ...]:
    """Two threads sleep for different times, and then take their turn."""
    order: list[str] = []
    mutex = threading.Lock()

    def work(name: str, seconds: float) -> None:
        time.sleep(seconds)
        with mutex:
            order.append(name)

    together(threading, lambda: work("slow", 2.0), lambda: work("fast", 1.0))
    return tuple(order)


def test_sleeps_end_in_any_order_by_default() -> None:
    """A machine may be so slow that the shorter sleep ends later."""
    assert outcomes(sleepers, patch=THIS) == {("slow", "fast"), ("fast", "slow")}


def test_sleeps_end_in_the_order_of_the_clock_if_asked_for() -> None:
    """With `timeouts=0` a thread also has done its work before the next sleep ends."""
    assert outcomes(sleepers, patch=THIS, timing="ordered", timeouts=0) == {("fast", "slow")}


def test_an_earlier_deadline_fires_first() -> None:
    """This holds for all kinds of waits, and for a wait that begins later but is shorter."""

    def scenario(threading: Any) -> object:
        order: list[str] = threading.trust([])  # the order of the steps is what is asked
        never = threading.Event()
        items: queue.SimpleQueue[int] = queue.SimpleQueue()
        taken = threading.Semaphore(0)

        def wait(name: str, *waits: Callable[[], object]) -> Callable[[], None]:
            def work() -> None:
                for each in waits:
                    each()
                order.append(f"{name} at {time.monotonic():g}")

            return work

        def get() -> None:
            with pytest.raises(queue.Empty):
                items.get(timeout=2.0)

        together(
            threading,
            wait("event", lambda: never.wait(3.0)),
            wait("queue", never.is_set, get),
            wait("sleeps", lambda: time.sleep(0.5), lambda: time.sleep(0.75)),
            wait("semaphore", lambda: taken.acquire(timeout=2.5)),
        )
        return tuple(order)

    expected = ("sleeps at 1.25", "queue at 2", "semaphore at 2.5", "event at 3")
    assert outcomes(scenario, patch=THIS, timing="ordered", timeouts=0) == {expected}
    assert len(outcomes(scenario, patch=THIS, preemptions=0)) > 1


def test_an_ordered_schedule_is_found_replayed_and_stepped() -> None:
    """The watchdog of 1 s fires before the work of 2 s is done."""

    def scenario(threading: Any) -> None:
        done = threading.Event()

        def work() -> None:
            time.sleep(2.0)
            done.set()

        threading.Thread(target=work).start()
        assert done.wait(1.0)

    assert found(scenario, patch=THIS, timing="ordered").kind == "failed assertion"
    result = explorer.explore(scenario, patch=THIS, timing="ordered")
    assert result.timing == "ordered"
    with explorer.Run(scenario, patch=THIS, timing="ordered") as run:
        run.step("main")
        assert [move.does for move in run.enabled] == ["wait for done: timed out"]
        run.step("main")
        assert run.outcome is not None
        assert run.outcome.kind == "failed assertion"

    def patient(threading: Any) -> None:
        done = threading.Event()

        def work() -> None:
            time.sleep(2.0)
            done.set()

        threading.Thread(target=work).start()
        assert done.wait(3.0)

    assert explorer.explore(patient, patch=THIS, timing="ordered", timeouts=0).verdict == "ok"
    assert explorer.explore(patient, patch=THIS).verdict == "bug"
    with pytest.raises(ValueError, match="timing must be"):
        explorer.explore(patient, timing="soon")  # type: ignore[arg-type]


def test_a_scheduler_of_events_runs_on_virtual_time() -> None:
    """The module `sched` runs as it is."""

    def scenario(_: Any) -> object:
        ran: list[str] = []
        events = sched.scheduler(time.monotonic, time.sleep)
        events.enter(2, 1, ran.append, ("second",))
        events.enter(1, 1, ran.append, ("first",))
        together(threading, events.run)
        return tuple(ran)

    assert outcomes(scenario, patch=THIS) == {("first", "second")}


# The rest of the module `threading`.


def test_threads_are_listed_while_they_are_alive() -> None:
    """No reduction hides an order of starts, ends and `enumerate`."""

    def scenario(threading: Any) -> object:
        event = threading.Event()
        threads = [threading.Thread(target=event.set, name=name) for name in ("a", "b")]
        assert threading.enumerate() == [threading.main_thread()]
        for thread in threads:
            thread.start()
        alive = tuple(thread.name for thread in threading.enumerate())
        count = threading.active_count()
        assert count <= len(alive)
        return alive, count

    seen = outcomes(scenario)
    assert seen == {
        (("main", *names), count)
        for names in ((), ("a",), ("b",), ("a", "b"))
        for count in range(1, len(names) + 2)
    }
    assert seen == outcomes(scenario, reduction=False)


def test_the_old_names_still_work() -> None:
    """They are deprecated, but no Python has dropped them yet."""

    def scenario(threading: Any) -> None:
        thread = threading.Thread(target=len, args=("",))
        thread.setName("old")
        thread.setDaemon(True)
        assert (thread.getName(), thread.isDaemon()) == ("old", True)
        assert threading.currentThread() is threading.current_thread()
        assert threading.activeCount() == 1
        event, condition = threading.Event(), threading.Condition()
        assert not event.isSet()
        with condition:
            condition.notifyAll()
        assert threading.stack_size() == 0
        assert threading.gettrace() is None
        thread.start()
        with pytest.raises(RuntimeError, match="active thread"):
            thread.daemon = False
        thread.join()

    assert explorer.explore(scenario).verdict == "ok"


def test_an_excepthook_of_the_program_gets_its_exceptions() -> None:
    """Without one, an exception in a thread is a bug. The next schedule begins without the hook."""

    def fails(threading: Any) -> None:
        thread = threading.Thread(target=int, args=("x",), name="fails")
        thread.start()
        thread.join()

    assert found(fails).kind == "exception"

    def scenario(threading: Any) -> object:
        caught: list[object] = []
        assert threading.excepthook == threading.__excepthook__

        def hook(args: Any) -> None:
            caught.append((args.thread.name, args.exc_type))

        threading.excepthook = hook
        fails(threading)
        return tuple(caught)

    assert outcomes(scenario, reduction=False) == {(("fails", ValueError),)}

    def chained(threading: Any) -> None:
        old = threading.excepthook
        threading.excepthook = lambda args: old(args)
        fails(threading)

    assert found(chained).kind == "exception"


def test_a_daemon_thread_that_never_ends_does_not_keep_a_schedule_alive() -> None:
    """Python ends daemon threads when the last other thread has ended."""

    def scenario(threading: Any) -> object:
        mutex = threading.Lock()
        beats: list[int] = []

        def beat() -> None:
            while True:
                time.sleep(1.0)
                with mutex:
                    beats.append(1)

        threading.Thread(target=beat, daemon=True).start()
        with mutex:
            return len(beats)

    assert outcomes(scenario, patch=THIS, preemptions=2, timeouts=2) == {0, 1, 2}

    def apart(threading: Any) -> None:
        def beat() -> None:
            while True:
                time.sleep(1.0)

        threading.Thread(target=beat, daemon=True).start()
        event = threading.Event()
        together(threading, event.set, event.set)

    assert explorer.explore(apart, patch=THIS).verdict == "ok"


def test_a_daemon_thread_that_fails_after_the_end_is_still_found() -> None:
    """It may still run for a moment when the others have ended."""

    def scenario(threading: Any) -> None:
        event = threading.Event()

        def work() -> None:
            event.wait()
            raise ZeroDivisionError

        threading.Thread(target=work, daemon=True).start()
        event.set()

    assert found(scenario, preemptions=0).kind == "exception"


def test_low_level_threads_are_virtual() -> None:
    """`_thread.start_new_thread` and its locks, as old programs use them."""

    def scenario(_: Any) -> object:
        mutex, done, order = _thread.allocate_lock(), _thread.allocate_lock(), []
        done.acquire()

        def work() -> None:
            with mutex:
                order.append(_thread.get_ident() != 1)
            done.release()

        _thread.start_new_thread(work, ())
        with mutex:
            order.append(False)
        done.acquire()
        return tuple(order)

    assert outcomes(scenario, patch=THIS) == {(True, False), (False, True)}


@functools.lru_cache
def squared(number: int) -> int:
    """A cached function, which other threads may compute at the same time."""
    threading.Event().is_set()
    return number * number


def test_a_cached_function_runs_in_threads() -> None:
    """The cache has no lock of its own to hold, in C."""

    def scenario(threading: Any) -> None:
        mutex = threading.Lock()
        squared.cache_clear()

        def work() -> None:
            with mutex:
                squared(3)

        together(threading, work, work)
        assert squared(3) == 9

    assert explorer.explore(scenario, patch=THIS).verdict == "ok"


# Logging.

LOGGER = logging.getLogger("tests.explorer.all_of_threading")


class Collector(logging.Handler):
    """Keeps what is logged, with a step in between."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.inside = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One record at a time: the handler's lock is held."""
        self.inside += 1
        threading.Event().is_set()
        assert self.inside == 1
        self.inside -= 1
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("where", ["in the scenario", "in the module"])
def test_a_log_handler_gets_one_record_at_a_time(where: str) -> None:
    """Its lock was made with `threading.RLock`, in the scenario or before it."""
    LOGGER.propagate = False
    collector = Collector()
    LOGGER.addHandler(collector)

    def scenario(_: Any) -> object:
        logger, handler = LOGGER, collector
        if where == "in the scenario":
            logger, handler = logging.Logger("own"), Collector()
            logger.addHandler(handler)
        handler.lines, handler.inside = [], 0
        together(threading, lambda: logger.error("a"), lambda: logger.error("b"))
        return tuple(handler.lines)

    try:
        assert outcomes(scenario, patch=THIS, preemptions=1) == {("a", "b"), ("b", "a")}
    finally:
        LOGGER.removeHandler(collector)


def test_a_queue_handler_and_its_listener_pass_records_on() -> None:
    """`QueueListener` starts a thread of its own, and `stop` waits for it."""

    def scenario(_: Any) -> object:
        records: queue.Queue[logging.LogRecord] = queue.Queue()
        collector = Collector()
        listener = logging.handlers.QueueListener(records, collector)
        handler = logging.handlers.QueueHandler(records)
        listener.start()
        logger = logging.Logger("own")
        logger.addHandler(handler)
        together(threading, lambda: logger.error("a"))
        listener.stop()
        return tuple(collector.lines)

    assert outcomes(scenario, patch=THIS, preemptions=1) == {("a",)}


@pytest.mark.skipif(
    not hasattr(threading.RLock(), "locked"), reason="real ones have it from Python 3.14 on"
)
def test_reentrant_locks_and_conditions_say_whether_they_are_locked() -> None:
    def scenario(threading: Any) -> tuple[bool, ...]:
        lock = threading.RLock()
        condition = threading.Condition(lock)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(condition.locked()))
        thread.start()
        with lock:
            mine = lock.locked()
        thread.join()
        return mine, *seen, lock.locked()

    assert outcomes(scenario) == {(True, True, False), (True, False, False)}


# After its last step a thread may live on for a while.


def ask(ways: dict[str, Callable[[Any, Any], bool]], way: str) -> Callable[[Any], object]:
    """A scenario that asks whether a thread is alive that may have made its last step."""

    def scenario(threading: Any) -> object:
        event = threading.Event()
        thread = threading.Thread(target=event.set)
        thread.start()
        event.wait()
        return ways[way](threading, thread), thread.join(), thread.is_alive()

    return scenario


ALIVE: dict[str, Callable[[Any, Any], bool]] = {
    "is_alive": lambda _, thread: thread.is_alive(),
    "join(0)": lambda _, thread: thread.join(0) or thread.is_alive(),
    "active_count": lambda threading, _: threading.active_count() == 2,
    "enumerate": lambda threading, thread: thread in threading.enumerate(),
}


@pytest.mark.parametrize("way", ALIVE)
def test_a_thread_may_still_be_alive_after_its_last_step(way: str) -> None:
    """It is not after a join."""
    expected = {(True, None, False), (False, None, False)}
    assert outcomes(ask(ALIVE, way)) == expected
    assert outcomes(ask(ALIVE, way), reduction=False) == expected


def test_the_end_of_a_thread_is_seen_once_for_all() -> None:
    """A thread that is told of the end by another thread does not find the thread alive."""

    def scenario(threading: Any) -> object:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        told, seen = threading.Event(), []

        def join_and_tell() -> None:
            thread.join()
            told.set()

        def ask_when_told() -> None:
            told.wait()
            seen.append(thread.is_alive())

        together(threading, join_and_tell, ask_when_told)
        return tuple(seen)

    assert outcomes(scenario) == {(False,)}


def test_a_thread_that_others_wait_for_may_still_be_alive() -> None:
    """The main thread waits for the end of the thread while another one asks."""

    def scenario(threading: Any) -> object:
        event = threading.Event()
        thread = threading.Thread(target=event.set)
        seen = []

        def ask_at_last() -> None:
            event.wait()
            seen.append(thread.is_alive())

        other = threading.Thread(target=ask_at_last)
        for each in (thread, other):
            each.start()
        for each in (thread, other):
            each.join()
        return tuple(seen)

    assert outcomes(scenario) == {(True,), (False,)}


def test_a_join_with_a_timeout_puts_nothing_in_an_order() -> None:
    """The only step of the thread is its end, and the timeout may fire before its assignment."""

    def scenario(threading: Any) -> None:
        values: list[int] = []
        thread = threading.Thread(target=lambda: values.append(1))
        thread.start()
        thread.join(5)
        assert values == [1]

    def careful(threading: Any) -> None:
        values: list[int] = []
        thread = threading.Thread(target=lambda: values.append(1))
        thread.start()
        thread.join(5)
        if not thread.is_alive():
            assert values == [1]

    assert explorer.explore(scenario).verdict == "unknown"
    assert explorer.explore(scenario, timing="ordered").verdict == "ok"
    assert explorer.explore(careful).verdict == "ok"


def test_a_timeout_that_fires_early_shows_what_was_not_waited_for() -> None:
    """The thread makes its assignment before its first step, so that no schedule fails."""

    def scenario(threading: Any) -> None:
        values: list[int] = []
        ready = threading.Event()

        def work() -> None:
            values.append(1)
            ready.set()

        thread = threading.Thread(target=work)
        thread.start()
        ready.wait(5)
        assert values == [1]
        thread.join()

    assert explorer.explore(scenario).verdict == "unknown"
    assert explorer.explore(scenario, timeouts=0).verdict == "ok"


def test_threads_that_another_module_starts_are_named_when_runs_differ() -> None:
    """The search lets a real thread pass if it need not wait; the survey never does."""

    def scenario(_: Any) -> None:
        lock = threading.Lock()
        count = [0]

        def work() -> None:
            with contextlib.suppress(RuntimeError), lock:
                count[0] += 1

        unseen_helper.start_and_join(work)
        unseen_helper.start_and_join(work)
        assert count == [2]

    result = explorer.explore(scenario, patch=THIS)
    assert result.verdict == "unknown"
    assert "a real thread used an object" in str(result)
