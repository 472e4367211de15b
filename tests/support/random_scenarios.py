"""Small random programs: two or three threads use locks, conditions, semaphores, events and shared
data, correctly or not."""

import random
from collections.abc import Callable
from typing import Any

Scenario = Callable[[Any], None]
Statement = tuple[str, int, tuple["Statement", ...]]  # operation, number of the object, inner block

SIMPLE = (
    "read", "write", "add", "locked", "give", "take", "try", "try for a while", "set", "clear",
    "wait", "wait for a while", "notify", "notify all", "check whether it is alive",
    "join for a while", "choose",
)  # fmt: skip


def scenario(seed: int) -> Scenario:
    """A random program; the same seed gives the same program."""
    rng = random.Random(seed)
    threads = rng.choice((2, 2, 3))
    kinds = rng.sample(SIMPLE, 4)
    return of(
        tuple(
            tuple(_statement(rng, kinds, 2) for _ in range(rng.randint(1, 6 // threads)))
            for _ in range(threads)
        )
    )


def of(programs: tuple[tuple[Statement, ...], ...]) -> Scenario:
    """A scenario in which each of these programs runs in its own thread."""

    def run(threading: Any) -> None:
        world = _World(threading)
        workers = [
            threading.Thread(target=world.run, args=(program,), name=f"thread {number}")
            for number, program in enumerate(programs, 1)
        ]
        world.workers = workers
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run


def _statement(rng: random.Random, kinds: list[str], depth: int) -> Statement:
    if depth and rng.random() < 0.5:
        inside = tuple(_statement(rng, kinds, depth - 1) for _ in range(rng.randint(1, 2)))
        return rng.choice(("with lock", "with condition", "if")), rng.randrange(2), inside
    return rng.choice(kinds), rng.randrange(2), ()


class _World:
    """The objects that the threads of a program share."""

    def __init__(self, threading: Any) -> None:
        self.choose = threading.choose
        self.locks = [threading.Lock(), threading.RLock()]
        self.conditions = [threading.Condition(), threading.Condition()]
        self.semaphores = [threading.Semaphore(0), threading.BoundedSemaphore(1)]
        self.events = [threading.Event(), threading.Event()]
        self.data = [threading.shared(value=0), threading.shared(value=0)]
        self.workers: list[Any] = []

    def run(self, program: tuple[Statement, ...]) -> None:
        for what, which, inside in program:
            self._do(what, which, inside)

    def _do(self, what: str, which: int, inside: tuple[Statement, ...]) -> None:
        data, semaphore = self.data[which], self.semaphores[which]
        lock, condition, event = self.locks[which], self.conditions[which], self.events[which]
        match what:
            case "with lock":
                with lock:
                    self.run(inside)
            case "with condition":
                with condition:
                    self.run(inside)
            case "if":
                if data.value % 2 == 0:
                    self.run(inside)
            case "read":
                data.value  # noqa: B018
            case "write":
                data.value = which
            case "add":
                data.value += 1
            case "locked":
                if self.locks[0].locked():
                    data.value += 1
            case "give":
                self.semaphores[0].release()
            case "take":
                semaphore.acquire()
            case "try":
                if self.locks[0].acquire(blocking=False):
                    self.locks[0].release()
            case "try for a while":
                if self.semaphores[0].acquire(timeout=1.0):
                    data.value += 1
            case "set":
                event.set()
            case "clear":
                event.clear()
            case "wait":
                event.wait()
            case "wait for a while":
                if condition._lock.is_mine() and not condition.wait(1.0):
                    data.value += 1
                elif event.wait(1.0):
                    data.value += 2
            case "notify" | "notify all":
                if condition._lock.is_mine():
                    condition.notify() if what == "notify" else condition.notify_all()
            case "check whether it is alive":
                if self.workers[which].is_alive():
                    data.value += 1
            case "join for a while":
                if which and self.workers[0].explorer_task is not None:
                    self._join(self.workers[0])
            case "choose":
                if self.choose(2, "heads or tails"):
                    data.value += 1

    def _join(self, worker: Any) -> None:
        try:
            worker.join(1.0)
        except RuntimeError:  # the worker is the current thread
            return
