"""Waiting for a sign: conditions, events, semaphores, barriers."""

from contextlib import nullcontext
from typing import Any

from tests.explorer.specimens import Specimen, together


def looks_without_the_lock(threading: Any, right: bool) -> None:
    """The classic lost wakeup: the sign comes between looking and waiting."""
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


def sign_before_the_change(threading: Any, right: bool) -> None:
    """What `first-draft` does: the waiter wakes up in between and finds nothing changed."""
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
    """Somebody else takes the item while the one who was woken is on the way."""
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
    """Two wait for different things, and the one who is woken may be the wrong one."""
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
    """A buffer of one place: a producer's sign may go to another producer."""
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
    """What was asked for during the work is forgotten with it."""
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
    """An error on the way out keeps the semaphore's permit."""
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
    barrier = threading.Barrier(2 if right else 3)
    together(threading, barrier.wait, barrier.wait)


def sign_to_one_who_gave_up(threading: Any, right: bool) -> None:
    """`notify` may wake a waiter whose time was up; it must pass on what it will not use."""
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


def queue_not_left_by_timeout(threading: Any, right: bool) -> None:
    """A lock that is handed over: to one who has given up, if he stays in the queue."""
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
    Specimen("looks without the lock", looks_without_the_lock, "lost wakeup", 1),
    Specimen("sign before the change", sign_before_the_change, "lost wakeup", 1),
    Specimen("if for while", if_for_while, "exception", 1),
    Specimen("notify for notify_all", notify_for_notify_all, "lost wakeup", 1),
    Specimen("notify without holding", notify_without_holding, "exception", 0),
    Specimen("one condition for two sides", one_condition_for_two_sides, "lost wakeup", 0),
    Specimen("event cleared after the work", event_cleared_after_the_work, "lost wakeup", 2),
    Specimen("permit lost on failure", permit_lost_on_failure, "lost wakeup", 0),
    Specimen("barrier for one too many", barrier_for_one_too_many, "lost wakeup", 0),
    Specimen("sign to one who gave up", sign_to_one_who_gave_up, "lost wakeup", 0),
    Specimen("queue not left by timeout", queue_not_left_by_timeout, "lost wakeup", 0),
)
