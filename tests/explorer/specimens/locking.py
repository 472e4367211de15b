"""Locks taken in the wrong order or released wrongly, and locks that do not exclude."""

from contextlib import nullcontext
from typing import Any

from tests.explorer.specimens import Specimen, together


def opposite_orders(threading: Any, right: bool) -> None:
    """An AB–BA deadlock: two transfers lock the same two accounts in opposite orders."""
    alice, bob = threading.Lock(), threading.Lock()

    def transfer(source: Any, target: Any) -> None:
        first, second = (alice, bob) if right else (source, target)
        with first, second:
            pass

    together(threading, lambda: transfer(alice, bob), lambda: transfer(bob, alice))


def three_philosophers(threading: Any, right: bool) -> None:
    """Each philosopher takes the left fork first; a fixed order of the forks corrects this."""
    forks = [threading.Lock() for _ in range(3)]

    def dine(seat: int) -> None:
        left, other = seat, (seat + 1) % 3
        if right:
            left, other = sorted((left, other))
        with forks[left], forks[other]:
            pass

    together(threading, *(lambda seat=seat: dine(seat) for seat in range(3)))


def locks_again(threading: Any, right: bool) -> None:
    """A thread acquires a lock that it holds already, as when one locking method calls another."""
    mutex = threading.RLock() if right else threading.Lock()

    def outer() -> None:
        with mutex, mutex:
            pass

    together(threading, outer, outer)


def waits_inside_a_lock(threading: Any, right: bool) -> None:
    """A thread that holds a lock joins a thread that needs this lock."""
    mutex = threading.Lock()

    def work() -> None:
        with mutex:
            pass

    worker = threading.Thread(target=work)
    with mutex:
        worker.start()
        if not right:
            worker.join()
    worker.join()


def not_released_on_error(threading: Any, right: bool) -> None:
    """A thread that fails keeps the lock, and the next one waits forever."""
    mutex = threading.Lock()

    def fail() -> None:
        mutex.acquire()
        try:
            raise ValueError
        except ValueError:
            if right:
                mutex.release()

    def work() -> None:
        with mutex:
            pass

    together(threading, fail, work)


def released_by_the_wrong_thread(threading: Any, right: bool) -> None:
    """A thread whose timeout fired releases the lock of another thread that still needs it."""
    mutex = threading.Lock()

    def enter() -> None:
        got = mutex.acquire(timeout=1.0)
        if got or not right:
            mutex.release()

    together(threading, enter, enter)


def released_twice(threading: Any, right: bool) -> None:
    """A `finally` releases the lock again, which frees another thread's lock or raises."""
    mutex = threading.Lock()

    def work() -> None:
        mutex.acquire()
        try:
            if not right:
                mutex.release()
        finally:
            mutex.release()

    together(threading, work, work)


def permit_released_twice(threading: Any, right: bool) -> None:
    """A semaphore of one permit gets a second one, so that two threads are inside."""
    permits = threading.Semaphore(1)
    inside = threading.shared(count=0)

    def work() -> None:
        with permits:
            inside.count += 1
            assert inside.count == 1
            inside.count -= 1
        if not right:
            permits.release()

    together(threading, work, work, work)


class ReadersAndWriter:
    """A read–write lock on one condition, with two mistakes to choose from.

    With `barges`, a writer does not check again after it wakes up. With `writer_first`, a waiting
    writer keeps readers out, even one that reads already.
    """

    def __init__(self, threading: Any, *, barges: bool = False, writer_first: bool = False) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting_writers = 0
        self._barges = barges
        self._writer_first = writer_first

    def acquire_read(self, again: bool = False) -> None:
        """Wait for writers; a thread that reads already passes `again` to overtake them."""
        with self._changed:
            while self._writing or (self._writer_first and self._waiting_writers and not again):
                self._changed.wait()
            self._readers += 1

    def release_read(self) -> None:
        """Wake all waiters."""
        with self._changed:
            self._readers -= 1
            self._changed.notify_all()

    def acquire_write(self, mine: int = 0) -> None:
        """Wait until the only readers are the `mine` reads of this thread."""
        with self._changed:
            self._waiting_writers += 1
            if self._barges:  # it checks only once, and a reader can enter while it wakes up
                if self._writing or self._readers > mine:
                    self._changed.wait()
            else:
                while self._writing or self._readers > mine:
                    self._changed.wait()
            self._waiting_writers -= 1
            self._writing = True

    def release_write(self) -> None:
        """Wake all waiters."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()


def barging(threading: Any, right: bool) -> None:
    """A reader enters after a writer has woken up and before the writer enters."""
    lock = ReadersAndWriter(threading, barges=not right)
    inside = threading.shared(writing=False)

    def read() -> None:
        lock.acquire_read()
        assert not inside.writing
        lock.release_read()

    def write() -> None:
        lock.acquire_write()
        inside.writing = True
        inside.writing = False
        lock.release_write()

    together(threading, read, read, write)


def two_upgrades(threading: Any, right: bool) -> None:
    """Two readers want to write, and each waits until the other stops reading."""
    lock = ReadersAndWriter(threading)

    def read_then_write() -> None:
        lock.acquire_read()
        if right:
            lock.release_read()
            lock.acquire_write()
        else:
            lock.acquire_write(mine=1)
            lock.release_read()
        lock.release_write()

    together(threading, read_then_write, read_then_write)


def reads_again_behind_a_writer(threading: Any, right: bool) -> None:
    """A reader that reads again queues behind a writer that waits for this reader."""
    lock = ReadersAndWriter(threading, writer_first=True)

    def read_twice() -> None:
        lock.acquire_read()
        lock.acquire_read(again=right)
        lock.release_read()
        lock.release_read()

    def write() -> None:
        lock.acquire_write()
        lock.release_write()

    together(threading, read_twice, write)


def reader_count_without_a_lock(threading: Any, right: bool) -> None:
    """Courtois' readers without the counter's mutex: the last reader does not free the room."""
    room = threading.Lock()
    counting = threading.Lock() if right else nullcontext()
    readers = threading.shared(count=0)

    def read() -> None:
        with counting:
            readers.count += 1
            if readers.count == 1:
                room.acquire()
        with counting:
            readers.count -= 1
            if readers.count == 0:
                room.release()

    together(threading, read, read)
    room.acquire()


SPECIMENS = (
    Specimen("opposite orders", opposite_orders, "deadlock", 1),
    Specimen("three philosophers", three_philosophers, "deadlock", 1),
    Specimen("locks again", locks_again, "deadlock", 0),
    Specimen("waits inside a lock", waits_inside_a_lock, "deadlock", 0),
    Specimen("not released on error", not_released_on_error, "deadlock", 0),
    Specimen("released by the wrong thread", released_by_the_wrong_thread, "exception", 1),
    Specimen("released twice", released_twice, "exception", 0),
    Specimen("permit released twice", permit_released_twice, "failed assertion", 1),
    Specimen("barging", barging, "failed assertion", 2),
    Specimen("two upgrades", two_upgrades, "lost wakeup", 1),
    Specimen("reads again behind a writer", reads_again_behind_a_writer, "lost wakeup", 1),
    Specimen("reader count without a lock", reader_count_without_a_lock, "deadlock", 1),
)
