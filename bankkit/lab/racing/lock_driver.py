"""A driver for locks: threads that acquire and release a lock one step at a time, on command.

The threads and the lock are real, but nothing depends on chance: the next step starts when the
last thread has the lock, or is seen to wait for it. On a busy machine a thread may also stand still
because it gets no processor; this is no wait for the lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from bankkit.explorer.engine.endable import Endable
from bankkit.lab.drawing.text import listed
from bankkit.lab.racing.own_lock import adapted
from bankkit.runtime.closing import Closing

Verb = Literal["reads", "writes", "leaves"]

LOOKS = 30
"""A thread that has stood still for this many looks counts as waiting. We count looks, not seconds:
a stalled machine delays the looks too."""

MOST_LOOKS = 200
"""After so many looks a thread counts as waiting even if it runs: it waits in a loop."""

LOOK_SECONDS = 0.002


class DriverClosed(BaseException):
    """Ends a thread that still waits for the lock when the driver is closed."""


class LockDriver(Closing):
    """Named threads around one lock; each thread starts when it gets its first command.

    A context manager: at the end it ends its threads, even those that still wait for the lock. If
    the lock raises an error in one of them, `tell` raises it.
    """

    def __init__(self, lock: object) -> None:
        self._raw = lock
        self._lock = adapted(lock)
        self._actors: dict[str, _Actor] = {}

    def tell(self, name: str, verb: Verb) -> bool:
        """Tell a thread to acquire or release the lock, and watch until no thread moves any more.

        Returns False and does nothing if the thread still waits. Raises ValueError for an
        impossible step, such as leaving without holding the lock.
        """
        if name not in self._actors:
            self._actors[name] = _Actor(name)
        actor = self._actors[name]
        if actor.busy:
            return False
        if (verb == "leaves") is not bool(actor.holds):
            raise ValueError(
                f"{name} already {actor.holds}."
                if actor.holds
                else f"{name} cannot leave without holding the lock."
            )
        if verb == "leaves":
            leave = self._lock.release_read if actor.holds == "reads" else self._lock.release_write
            actor.do(leave, "")
        else:
            enter = self._lock.acquire_read if verb == "reads" else self._lock.acquire_write
            actor.do(enter, verb)
        self.settle()
        return True

    def settle(self) -> None:
        """Watch until every thread has done its step, or no thread has moved for a while.

        Raises the error that the lock raised in a thread, if there is one.
        """
        looks, before = 0, self._moves()
        for _ in range(MOST_LOOKS):
            if looks == LOOKS or not self.waiting():
                break
            time.sleep(LOOK_SECONDS)
            now = self._moves()
            stands_still = now == before and all(
                actor.stands_still() for actor in self._actors.values() if actor.busy
            )
            looks, before = (looks + 1 if stands_still else 0), now
        else:
            for actor in self._actors.values():
                actor.spins = actor.busy
        for actor in self._actors.values():
            if actor.error is not None:
                error, actor.error = actor.error, None
                raise error

    def states(self) -> dict[str, str]:
        """What each thread does: `reads`, `writes`, `waits to read`, `waits to write`, or ''."""
        return {actor.name: actor.state for actor in self._actors.values()}

    def inside(self) -> list[str]:
        """The threads that hold the lock, in the order of their first commands."""
        return [name for name, state in self.states().items() if state in ("reads", "writes")]

    def waiting(self) -> list[str]:
        """The threads that wait for the lock, in the same order."""
        return [actor.name for actor in self._actors.values() if actor.busy]

    def trespass(self) -> str:
        """Which threads break the rule `many readers or one writer`.

        A sentence without its full stop; empty if none does.
        """
        inside = self.inside()
        writers = [name for name in inside if self._actors[name].holds == "writes"]
        readers = [name for name in inside if name not in writers]
        if len(writers) > 1:
            return f"{listed(writers)} write at the same time"
        if writers and readers:
            return f"{writers[0]} writes while {listed(readers)} {_verb('read', readers)}"
        return ""

    def needless(self) -> str:
        """Which threads wait to read while no thread writes or waits to write, in the same form."""
        states = self.states()
        readers = [name for name, state in states.items() if state == "waits to read"]
        if readers and not {"writes", "waits to write"} & set(states.values()):
            wait = _verb("wait", readers)
            return f"{listed(readers)} {wait} to read, and no thread writes or wants to"
        return ""

    def close(self) -> None:
        """End the threads; an exception ends those that still wait for the lock."""
        for actor in self._actors.values():
            actor.end()
        for _ in range(LOOKS):
            if not any(actor.lives() for actor in self._actors.values()):
                return
            for actor in self._actors.values():
                actor.interrupt()
            _wake(self._raw)
            for actor in self._actors.values():
                actor.join()

    def _moves(self) -> int:
        return sum(actor.moves for actor in self._actors.values())


class _Actor:
    """One thread, which carries out one command after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holds: Verb | Literal[""] = ""
        self.busy = False
        self.begun = False
        self.spins = False
        """Whether its action runs and runs, so that it will not be looked at again."""
        self.moves = 0
        self.error: BaseException | None = None
        self._wants: Verb | Literal[""] = ""
        self._orders: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._order = Endable(DriverClosed)
        self._thread = threading.Thread(target=self._act, name=f"driver {name}", daemon=True)
        self._thread.start()

    @property
    def state(self) -> str:
        if not self.busy:
            return self.holds
        if self.holds:
            return "cannot leave"
        return "waits to read" if self._wants == "reads" else "waits to write"

    def do(self, action: Callable[[], object], to: Verb | Literal[""]) -> None:
        """Run the action in the thread; afterwards the thread holds the lock in the mode `to`."""
        self.begun, self.spins, self.busy, self._wants = False, False, True, to
        self._orders.put(action)

    def stands_still(self) -> bool:
        """Whether its action has begun and does not run now, as far as this system can tell."""
        return self.begun and (self.spins or not _runs(self._thread))

    def end(self) -> None:
        """End the thread after the current action."""
        self._orders.put(None)

    def interrupt(self) -> None:
        """Break off the current action as soon as the thread runs; `_wake` may have to wake it."""
        self._order.end()

    def lives(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait briefly for the end. A thread that nothing can end stays; it is a daemon."""
        self._thread.join(LOOK_SECONDS)

    def _act(self) -> None:
        while (order := self._orders.get()) is not None:
            self.begun = True
            try:
                self._order.run(order)
            except DriverClosed:
                return
            except Exception as error:
                self.error = error
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                self.error = error
            else:
                self.holds = self._wants
            self.moves += 1
            self.busy = False


def _runs(thread: threading.Thread) -> bool:
    """Whether the thread has a processor or is in line for one; False where only Linux tells.

    The letter after the name in `stat` is R for such a thread: proc_pid_stat(5).
    """
    try:
        stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"R"]


def _wake(lock: object) -> None:
    """Wake the threads that wait in a lock made of `threading`'s parts, so that they can end."""
    for part in list(getattr(lock, "__dict__", {}).values()):
        if isinstance(part, threading.Condition):
            if part.acquire(timeout=LOOK_SECONDS):
                part.notify_all()
                part.release()
        elif hasattr(part, "locked") and hasattr(part, "release") and part.locked():
            part.release()


def _verb(verb: str, names: list[str]) -> str:
    return f"{verb}s" if len(names) == 1 else verb
