"""Threads that wait to be woken: by conditions, events, semaphores and barriers."""

from contextlib import nullcontext
from typing import Any

from tests.explorer.specimens import Specimen, together


def checks_without_the_lock(threading: Any, right: bool) -> None:
    """The classic lost wakeup: the notification comes between the check and the wait."""
    changed = threading.Condition()
    door = threading.shared(open=False)

    def wait() -> None:
        if right or not door.open:
            with changed:
                while not (right and door.open):
                    changed.wait()
                    if not right:
                        break

    def open_it() -> None:
        with changed:
            door.open = True
            changed.notify()

    together(threading, wait, open_it)


def notification_before_the_change(threading: Any, right: bool) -> None:
    """The mistake of `first-draft`: the waiter wakes up too early and finds nothing changed."""
    changed = threading.Condition()
    busy = threading.Lock()
    busy.acquire()

    def wait() -> None:
        with changed:
            while busy.locked():
                changed.wait()

    def finish() -> None:
        if right:
            busy.release()
        with changed:
            changed.notify_all()
        if not right:
            busy.release()

    together(threading, wait, finish)


def if_for_while(threading: Any, right: bool) -> None:
    """Another thread takes the item before the thread that was woken gets the lock."""
    available = threading.Condition()
    items: list[str] = []

    def consume() -> None:
        with available:
            if not items:
                available.wait()
            while right and not items:
                available.wait()
            items.pop()

    def produce() -> None:
        for item in ("first", "second"):
            with available:
                items.append(item)
                available.notify()

    together(threading, consume, consume, produce)


def notify_for_notify_all(threading: Any, right: bool) -> None:
    """Two threads wait for different things, and `notify` may wake the wrong one."""
    changed = threading.Condition()
    state = threading.shared(value=0)

    def wait_for(value: int) -> None:
        with changed:
            while state.value < value:
                changed.wait()

    def count() -> None:
        for _ in range(2):
            with changed:
                state.value += 1
                if right:
                    changed.notify_all()
                else:
                    changed.notify()

    together(threading, lambda: wait_for(1), lambda: wait_for(2), count)


def notify_without_holding(threading: Any, right: bool) -> None:
    """A thread notifies after it has released the condition's lock, which raises."""
    changed = threading.Condition()
    done = threading.shared(flag=False)

    def wait() -> None:
        with changed:
            while not done.flag:
                changed.wait()

    def finish() -> None:
        with changed:
            done.flag = True
            if right:
                changed.notify()
        if not right:
            changed.notify()

    together(threading, wait, finish)


def one_condition_for_two_sides(threading: Any, right: bool) -> None:
    """A buffer of one place: a producer's notification may go to another producer."""
    mutex = threading.Lock()
    not_empty = threading.Condition(mutex)
    not_full = threading.Condition(mutex) if right else not_empty
    buffer: list[int] = []

    def put() -> None:
        with mutex:
            while buffer:
                not_full.wait()
            buffer.append(1)
            not_empty.notify()

    def get() -> None:
        with mutex:
            while not buffer:
                not_empty.wait()
            buffer.pop()
            not_full.notify()

    together(threading, put, put, get, get)


def event_cleared_after_the_work(threading: Any, right: bool) -> None:
    """A request that comes during the work is lost when the worker clears the event."""
    event = threading.Event()
    jobs = threading.shared(asked=0)

    def work() -> None:
        done = 0
        while done < 2:
            event.wait()
            if right:
                event.clear()
            done = jobs.asked
            if not right:
                event.clear()

    def ask() -> None:
        for number in (1, 2):
            jobs.asked = number
            event.set()

    together(threading, work, ask)


def permit_lost_on_failure(threading: Any, right: bool) -> None:
    """A thread that fails keeps the semaphore's permit."""
    permits = threading.Semaphore(1)

    def fail() -> None:
        permits.acquire()
        try:
            raise ValueError
        except ValueError:
            if right:
                permits.release()

    def work() -> None:
        with permits:
            pass

    together(threading, fail, work)


def barrier_for_one_too_many(threading: Any, right: bool) -> None:
    """Two threads wait at a barrier for three."""
    barrier = threading.Barrier(2 if right else 3)
    together(threading, barrier.wait, barrier.wait)


def notification_after_the_timeout(threading: Any, right: bool) -> None:
    """`notify` may wake a waiter whose timeout fired, which must pass the notification on."""
    changed = threading.Condition()
    items: list[int] = []

    def try_to_get() -> None:
        with changed:
            changed.wait(timeout=1.0)
            if right and items:
                changed.notify()

    def get() -> None:
        with changed:
            while not items:
                changed.wait()

    def put() -> None:
        with changed:
            items.append(1)
            changed.notify()

    together(threading, try_to_get, get, put)


def queue_not_left_on_timeout(threading: Any, right: bool) -> None:
    """A waiter that times out stays in the queue, and the lock is handed over to it."""
    mutex = threading.Lock()
    queue: list[Any] = []
    held = threading.shared(flag=True)

    def acquire(timeout: float) -> bool:
        with mutex:
            if not held.flag:
                held.flag = True
                return True
            gate = threading.Event()
            queue.append(gate)
        if gate.wait(None if timeout < 0 else timeout):
            return True
        with mutex if right else nullcontext():
            if right and gate in queue:
                queue.remove(gate)
                return False
        return right  # handed over at the last moment

    def release() -> None:
        with mutex:
            if queue:
                queue.pop(0).set()
            else:
                held.flag = False

    def impatient() -> None:
        if acquire(1.0):
            release()

    def patient() -> None:
        acquire(-1)
        release()

    together(threading, impatient, patient, release)


SPECIMENS = (
    Specimen("checks without the lock", checks_without_the_lock, "lost wakeup", 1),
    Specimen("notification before the change", notification_before_the_change, "lost wakeup", 1),
    Specimen("if for while", if_for_while, "exception", 1),
    Specimen("notify for notify_all", notify_for_notify_all, "lost wakeup", 1),
    Specimen("notify without holding", notify_without_holding, "exception", 0),
    Specimen("one condition for two sides", one_condition_for_two_sides, "lost wakeup", 0),
    Specimen("event cleared after the work", event_cleared_after_the_work, "lost wakeup", 2),
    Specimen("permit lost on failure", permit_lost_on_failure, "lost wakeup", 0),
    Specimen("barrier for one too many", barrier_for_one_too_many, "lost wakeup", 0),
    Specimen("notification after the timeout", notification_after_the_timeout, "lost wakeup", 0),
    Specimen("queue not left on timeout", queue_not_left_on_timeout, "lost wakeup", 0),
)
