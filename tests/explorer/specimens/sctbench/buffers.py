"""Producers and consumers."""

from itertools import count
from typing import Any

from tests.explorer.specimens import together


def signal(condition: Any) -> None:
    """What `pthread_cond_signal` does without the mutex."""
    with condition:
        condition.notify()


def arithmetic_prog(threading: Any, right: bool) -> None:
    """A producer and a consumer with a buffer of one; the final assertion is the wrong one."""
    mutex = threading.Lock()
    empty, full = threading.Condition(mutex), threading.Condition(mutex)
    number = total = 0
    rounds = 4 if right else 3

    def produce() -> None:
        nonlocal number
        for _ in range(rounds):
            with mutex:
                while number > 0:
                    empty.wait()
                number += 1
            signal(full)

    def consume() -> None:
        nonlocal number, total
        for each in range(rounds):
            with mutex:
                while number == 0:
                    full.wait()
                total += each
                number -= 1
            signal(empty)
        total += rounds

    together(threading, produce, consume)
    assert (total == rounds * (rounds + 1) // 2) is right


def circular_buffer(threading: Any, right: bool) -> None:
    """The receiver expects the element of its own round, but its earlier rounds may be empty."""
    mutex = threading.Lock()
    size, rounds = 10, 7
    buffer = [0] * size
    first = following = latest = 0
    may_send, may_receive = True, False

    def send() -> None:
        nonlocal following, latest, may_send, may_receive
        for each in range(rounds):
            with mutex:
                if may_send:
                    buffer[following] = latest = each
                    following = (following + 1) % size
                    may_send, may_receive = False, True

    def receive() -> None:
        nonlocal first, may_send, may_receive
        for each in range(rounds):
            with mutex:
                if may_receive:
                    assert following > 0
                    first += 1
                    assert buffer[first - 1] == (latest if right else each)
                    may_send, may_receive = True, False

    together(threading, send, receive)


def queue(threading: Any, right: bool) -> None:
    """As in `circular_buffer`, the receiver expects the element of its own round."""
    mutex = threading.Lock()
    size = 40 if right else 20
    elements: list[int] = []
    stored: list[int] = []
    may_send, may_receive = True, False

    def put(value: int) -> None:
        elements.append(value)
        stored.append(value)

    def send_all() -> None:
        nonlocal may_send, may_receive
        with mutex:
            if may_send:
                for value in range(size):
                    put(value)
                may_send, may_receive = False, True

    def receive_all() -> None:
        nonlocal may_send, may_receive
        with mutex:
            if may_receive:
                for each in range(size):
                    if elements:
                        assert elements.pop(0) == stored[each]
                may_send, may_receive = True, False

    def send() -> None:
        nonlocal may_send, may_receive
        values = count()
        with mutex:
            put(next(values))
        for _ in range(size - 1):
            with mutex:
                if may_send:
                    put(next(values))
                    may_send, may_receive = False, True

    def receive() -> None:
        nonlocal may_send, may_receive
        for each in range(size):
            with mutex:
                if may_receive:
                    assert elements.pop(0) == (stored[each] if each < len(stored) else 0)
                    may_send, may_receive = True, False

    together(threading, *((send_all, receive_all) if right else (send, receive)))


def stack(threading: Any, right: bool) -> None:
    """The consumer looks at a flag that stays set when the stack is empty again."""
    mutex = threading.Lock()
    size = 10
    items: list[int] = []
    pushed = False

    def push() -> None:
        nonlocal pushed
        for each in range(size):
            with mutex:
                assert len(items) < size
                items.append(each)
                pushed = True

    def pop() -> None:
        for _ in range(size):
            with mutex:
                ready = bool(items) if right else pushed
                if ready:
                    assert items, "stack underflow"
                    items.pop()

    together(threading, push, pop)


def sync01(threading: Any, right: bool) -> None:
    """The consumer takes nothing, so that the producer waits forever."""
    mutex = threading.Lock()
    empty, full = threading.Condition(mutex), threading.Condition(mutex)
    number = 0 if right else 1

    def produce() -> None:
        nonlocal number
        with mutex:
            while number > 0:
                empty.wait()
            number += 1
        signal(full)

    def consume() -> None:
        nonlocal number
        with mutex:
            while number == 0:
                full.wait()
            if right:
                number -= 1
        signal(empty)

    together(threading, produce, consume)


def sync02(threading: Any, right: bool) -> None:
    """The buffer has two items at first, and the consumer takes only as many as are produced."""
    mutex = threading.Lock()
    empty, full = threading.Condition(mutex), threading.Condition(mutex)
    number = 0 if right else 2
    rounds = 20 if right else 2

    def produce() -> None:
        nonlocal number
        for _ in range(rounds):
            with mutex:
                while number > 0:
                    empty.wait()
                number += 1
            signal(full)

    def consume() -> None:
        nonlocal number
        for _ in range(rounds):
            with mutex:
                while number == 0:
                    full.wait()
                number -= 1
            signal(empty)

    together(threading, produce, consume)
