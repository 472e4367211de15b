"""Locks and what they protect, or should."""

from functools import partial
from typing import Any

from tests.explorer.specimens import together


def account(threading: Any, right: bool) -> None:
    """The check expects that the deposit was subtracted."""
    mutex = threading.Lock()
    start, deposited, withdrawn = 1, 2, 4
    balance = start
    done: set[str] = set()

    def deposit() -> None:
        nonlocal balance
        with mutex:
            balance += deposited
            done.add("deposit")

    def withdraw() -> None:
        nonlocal balance
        with mutex:
            balance -= withdrawn
            done.add("withdrawal")

    def check() -> None:
        with mutex:
            if len(done) == 2:
                assert balance == start + (deposited if right else -deposited) - withdrawn

    together(threading, check, deposit, withdraw)


def bluetooth_driver(threading: Any, right: bool) -> None:
    """The driver is stopped between the check of the flag and the count of pending requests."""
    device = threading.shared(pending=1, stopping=False, event=False, stopped=False)
    atomic = threading.Lock()

    def increment() -> bool:
        if right:
            with atomic:
                if device.stopping:
                    return False
                device.pending += 1
                return True
        if device.stopping:
            return False
        with atomic:
            device.pending += 1
        return True

    def decrement() -> None:
        with atomic:
            device.pending -= 1
            pending = device.pending
        if pending == 0:
            device.event = True

    def add() -> None:
        if increment():
            assert not device.stopped
            decrement()
        elif not right:
            decrement()

    def stop() -> None:
        if right:
            with atomic:
                device.stopping = True
        else:
            device.stopping = True
        decrement()
        if device.event:
            device.stopped = True

    stopper = threading.Thread(target=stop)
    stopper.start()
    add()
    stopper.join()


def carter01(threading: Any, right: bool) -> None:
    """The first of each class waits for the other class and keeps the mutex."""
    mutex, resource = threading.Lock(), threading.Lock()
    mutexes = [threading.Lock(), threading.Lock()] if right else [mutex, mutex]
    inside = [0, 0]

    def visit(which: int) -> None:
        with mutexes[which]:
            inside[which] += 1
            if inside[which] == 1:
                resource.acquire()
        with mutexes[which]:
            inside[which] -= 1
            if inside[which] == 0:
                resource.release()

    together(threading, partial(visit, 0), partial(visit, 1), nothing, nothing)


def nothing() -> None:
    """What two threads of `carter01` do."""


def deadlock01(threading: Any, right: bool) -> None:
    """Two threads take two locks in opposite orders."""
    a, b = threading.Lock(), threading.Lock()

    def one() -> None:
        with a, b:
            pass

    def other() -> None:
        with a if right else b, b if right else a:
            pass

    together(threading, one, other)


def fsbench(threading: Any, right: bool) -> None:
    """Threads allocate blocks for inodes. There is one thread more than there are locks."""
    blocks, inodes = 26, 32
    inode_locks = [threading.Lock() for _ in range(blocks)]
    block_locks = [threading.Lock() for _ in range(blocks)]
    busy, inode = [False] * blocks, [0] * inodes

    def allocate(thread: int) -> None:
        which = thread % inodes
        assert which < blocks
        with inode_locks[which]:
            if inode[which] == 0:
                block = which * 2 % blocks
                for _ in range(blocks // 2):
                    with block_locks[block]:
                        if not busy[block]:
                            busy[block] = True
                            inode[which] = block + 1
                            break
                    block = (block + 1) % blocks

    together(threading, *(partial(allocate, each) for each in range(26 if right else 27)))


def lazy01(threading: Any, right: bool) -> None:
    """The third thread must not run last."""
    mutex = threading.Lock()
    data = 0

    def add(amount: int) -> None:
        nonlocal data
        with mutex:
            data += amount

    def check() -> None:
        with mutex:
            assert right or data < 3

    together(threading, partial(add, 1), partial(add, 2), check)


def phase01(threading: Any, right: bool) -> None:
    """Each thread keeps the first lock when it ends."""
    x, y = threading.Lock(), threading.Lock()

    def work() -> None:
        for lock, keep in ((x, False), (x, not right), (y, False), (y, False)):
            lock.acquire()
            if not keep:
                lock.release()

    together(threading, work, work)


def token_ring(threading: Any, right: bool) -> None:
    """The values are equal only if the threads run in order, which nothing ensures."""
    atomic = threading.Lock()
    values = {1: 1, 2: 2, 3: 1}
    done = {number: threading.Event() for number in (0, 1, 2, 3)}
    done[0].set()

    def copy(number: int) -> None:
        if right:
            done[number - 1].wait()
        with atomic:
            values[number] = (values[3] + 1) % 4 if number == 1 else values[number - 1]
        done[number].set()

    def check() -> None:
        with atomic:
            if all(each.is_set() for each in done.values()):
                assert values[1] == values[2] == values[3]

    together(threading, *(partial(copy, number) for number in (1, 2, 3)), check)
