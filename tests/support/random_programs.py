"""Random programs: a few threads use every primitive of `threading`, correctly or not.

Everything that a thread learns goes into its log: what each call returned or raised, and the clock.
So the logs of all threads are the outcome of a schedule. Schedules of one trace must have the same
outcome, which is how `tests.support.outcomes` tells whether a search has missed one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable
from types import ModuleType
from typing import Any

Statement = tuple[str, int, tuple["Statement", ...]]
"""What to do, the number of the object, and the statements inside (of a `with`, an `if`)."""
Program = tuple[tuple[Statement, ...], ...]
"""The statements of each thread: the main thread's first."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "locks": ("with lock", "try lock", "lock in time", "locked", "acquire", "release"),
    "conditions": ("with condition", "wait", "wait in time", "wait for data", "notify",
                   "notify all"),
    "semaphores": ("take", "take in time", "try to take", "give"),
    "events": ("set", "clear", "is set", "await", "await in time"),
    "barriers": ("arrive", "arrive in time", "abort", "reset", "arrived", "broken"),
    "threads": ("join", "join in time", "is alive", "start"),
    "outside": ("choose", "sleep", "clock"),
}  # fmt: skip
DATA = ("read", "write", "add", "if")
NEED_THE_LOCK = ("wait", "wait in time", "wait for data", "notify", "notify all")
BLOCKS = ("with lock", "with condition", "if")
clock: Any = ModuleType("clock")
"""The programs' `time`; it must be in `patch`."""
clock.monotonic = time.monotonic
clock.sleep = time.sleep


def program(seed: int) -> Program:
    """A random program; the same seed gives the same program."""
    rng = random.Random(seed)
    families = rng.sample(sorted(FAMILIES), 2)
    kinds = [*DATA, *(kind for family in families for kind in FAMILIES[family])]
    kinds = rng.sample(kinds, min(len(kinds), 5))
    workers = rng.choice((2, 2, 3))
    most = 3 if workers == 2 else 2
    threads = [_block(rng, kinds, rng.randint(0, 1), 1)]
    threads += [_block(rng, kinds, rng.randint(1, most), 2) for _ in range(workers)]
    return tuple(threads)


def _block(rng: random.Random, kinds: list[str], length: int, depth: int) -> tuple[Statement, ...]:
    statements: list[Statement] = []
    for _ in range(length):
        what = rng.choice(kinds)
        if what in NEED_THE_LOCK and rng.random() < 0.9:
            which = rng.randrange(2)
            statements.append(("with condition", which, ((what, which, ()),)))
            continue
        inside = (
            _block(rng, kinds, rng.randint(1, 2), depth - 1) if what in BLOCKS and depth else ()
        )
        statements.append((what, rng.randrange(2), inside))
    return tuple(statements)


class Scenario:
    """The scenario of a program. After each schedule, `outcome` is what the threads have seen."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._world: _World | None = None

    def __call__(self, threading: Any) -> None:
        """Run the program once: the main thread starts and joins the others."""
        self._world = _World(threading, self.program)
        self._world.main()

    @property
    def outcome(self) -> Hashable:
        """The logs of the threads; a thread that did not end has no `end` in its log."""
        assert self._world is not None
        return tuple(tuple(log) for log in self._world.logs)


class _World:
    """The objects that the threads of a program share, and the threads' logs."""

    def __init__(self, threading: Any, program: Program) -> None:
        self.threading = threading
        self.program = program
        self.logs: list[list[Hashable]] = [[] for _ in program]
        self.locks: list[Any] = [threading.Lock(), threading.RLock()]
        self.conditions: list[Any] = [threading.Condition(self.locks[0]), threading.Condition()]
        self.semaphores: list[Any] = [threading.Semaphore(0), threading.BoundedSemaphore(1)]
        self.events: list[Any] = [threading.Event(), threading.Event()]
        self.barriers: list[Any] = [
            threading.Barrier(2),
            threading.Barrier(2, action=lambda: self.add(self.data[0])),
        ]
        self.data: list[Any] = [threading.shared(value=0), threading.shared(value=0)]
        self.workers: list[Any] = [
            threading.Thread(target=self.thread, args=(number,), name=f"thread {number}")
            for number in range(1, len(program))
        ]
        starts = any("start" in str(statements) for statements in program)
        self.late = self.workers[-1] if starts else None
        """The thread that the others start, if they do."""

    def main(self) -> None:
        for worker in self.workers:
            if worker is not self.late:
                worker.start()
        self.thread(0)
        for worker in self.workers:
            if worker is not self.late:
                worker.join()
        self.logs[0].append((self.data[0].value, self.data[1].value))

    def thread(self, number: int) -> None:
        try:
            self.run(self.program[number], self.logs[number])
        except Exception as error:
            self.logs[number].append(type(error).__name__)
        self.logs[number].append("end")

    def run(self, statements: tuple[Statement, ...], log: list[Hashable]) -> None:
        for what, which, inside in statements:
            log.append((what, self.do(what, which, inside, log)))

    def add(self, data: Any) -> int:
        before: int = data.value
        data.value = before + 1
        return before

    def do(
        self, what: str, which: int, inside: tuple[Statement, ...], log: list[Hashable]
    ) -> Hashable:
        if what in ("with lock", "with condition"):
            with (self.locks if what == "with lock" else self.conditions)[which]:
                self.run(inside, log)
            return None
        if what == "if":
            if self.data[which].value % 2 == 0:
                self.run(inside, log)
            return None
        result: Hashable = CALLS[what](self, which)
        return result


CALLS: dict[str, Callable[[_World, int], Any]] = {
    "read": lambda world, which: world.data[which].value,
    "write": lambda world, which: setattr(world.data[which], "value", 3 + which),
    "add": lambda world, which: world.add(world.data[which]),
    "try lock": lambda world, which: world.locks[which].acquire(blocking=False),
    "lock in time": lambda world, which: world.locks[which].acquire(timeout=1.0),
    "locked": lambda world, which: world.locks[0].locked(),
    "acquire": lambda world, which: world.locks[which].acquire(),
    "release": lambda world, which: world.locks[which].release(),
    "wait": lambda world, which: world.conditions[which].wait(),
    "wait in time": lambda world, which: world.conditions[which].wait(1.0),
    "wait for data": lambda world, which: world.conditions[which].wait_for(
        lambda: world.data[which].value, 2.0
    ),
    "notify": lambda world, which: world.conditions[which].notify(),
    "notify all": lambda world, which: world.conditions[which].notify_all(),
    "take": lambda world, which: world.semaphores[which].acquire(),
    "take in time": lambda world, which: world.semaphores[which].acquire(timeout=1.0),
    "try to take": lambda world, which: world.semaphores[which].acquire(blocking=False),
    "give": lambda world, which: world.semaphores[which].release(),
    "set": lambda world, which: world.events[which].set(),
    "clear": lambda world, which: world.events[which].clear(),
    "is set": lambda world, which: world.events[which].is_set(),
    "await": lambda world, which: world.events[which].wait(),
    "await in time": lambda world, which: world.events[which].wait(1.0),
    "arrive": lambda world, which: world.barriers[which].wait(),
    "arrive in time": lambda world, which: world.barriers[which].wait(1.0),
    "abort": lambda world, which: world.barriers[which].abort(),
    "reset": lambda world, which: world.barriers[which].reset(),
    "arrived": lambda world, which: world.barriers[which].n_waiting,
    "broken": lambda world, which: world.barriers[which].broken,
    "join": lambda world, which: world.workers[-1 - which].join(),
    "join in time": lambda world, which: world.workers[-1 - which].join(1.0 + which),
    "is alive": lambda world, which: world.workers[-1 - which].is_alive(),
    "start": lambda world, which: world.workers[-1].start(),
    "choose": lambda world, which: world.threading.choose(2, "heads or tails"),
    "sleep": lambda world, which: clock.sleep(2.0),
    "clock": lambda world, which: clock.monotonic(),
}
