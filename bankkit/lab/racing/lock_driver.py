"""A driver for locks: threads that take and leave a lock one step at a time, as they are told.

Real threads and the real lock, but nothing by chance: the next one moves when the last one is in,
or is seen to wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Literal

from bankkit.explorer.endable import Endable
from bankkit.lab.drawing.text import listed
from bankkit.lab.racing.own_lock import adapted
from bankkit.runtime.closing import Closing

Verb = Literal["reads", "writes", "leaves"]

LOOKS = 30
"""Who has not moved for so many looks waits. Looks, not seconds: on a machine that stands still,
nobody looks either."""

LOOK_SECONDS = 0.002


class DriverClosed(BaseException):
    """Ends a thread that waits when the driver is closed."""


class LockDriver(Closing):
    """Threads around one lock, known by name; they come into being when they are first told to act.

    A context manager: it ends its threads, those too that wait in vain. An error that the lock
    raises in one of them is raised by `tell`.
    """

    def __init__(self, lock: object) -> None:
        self._raw = lock
        self._lock = adapted(lock)
        self._actors: dict[str, _Actor] = {}

    def tell(self, name: str, verb: Verb) -> bool:
        """Tell a thread to take the lock or to leave it, and watch until nobody moves any more.

        Returns False, with nothing done, if it still waits from before. ValueError for what makes
        no sense, such as to leave without having come.
        """
        if name not in self._actors:
            self._actors[name] = _Actor(name)
        actor = self._actors[name]
        if actor.busy:
            return False
        if (verb == "leaves") is not bool(actor.holds):
            raise ValueError(
                f"{name} {actor.holds} already." if actor.holds else f"{name} has nothing to leave."
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
        """Watch until everybody has done what they were told, or has not moved for a while."""
        looks, before = 0, self._moves()
        while looks < LOOKS and any(actor.busy for actor in self._actors.values()):
            time.sleep(LOOK_SECONDS)
            now = self._moves()
            looks, before = (looks + 1, now) if now == before else (0, now)
        for actor in self._actors.values():
            if actor.error is not None:
                error, actor.error = actor.error, None
                raise error

    def states(self) -> dict[str, str]:
        """What each does: `reads`, `writes`, `waits to read`, `waits to write`, or nothing."""
        return {actor.name: actor.state for actor in self._actors.values()}

    def inside(self) -> list[str]:
        """Who has the lock, in the order in which they first came on the driver."""
        return [name for name, state in self.states().items() if state in ("reads", "writes")]

    def waiting(self) -> list[str]:
        """Who has asked and was not let in, in the same order."""
        return [actor.name for actor in self._actors.values() if actor.busy]

    def trespass(self) -> str:
        """Who is in there together and must not be, as a sentence without its stop; or nothing."""
        inside = self.inside()
        writers = [name for name in inside if self._actors[name].holds == "writes"]
        readers = [name for name in inside if name not in writers]
        if len(writers) > 1:
            return f"{listed(writers)} write at the same time"
        if writers and readers:
            return f"{writers[0]} writes while {listed(readers)} {_verb('read', readers)}"
        return ""

    def needless(self) -> str:
        """Who waits to read while nobody writes or waits to write, in the same form."""
        states = self.states()
        readers = [name for name, state in states.items() if state == "waits to read"]
        if readers and not {"writes", "waits to write"} & set(states.values()):
            return f"{listed(readers)} {_verb('wait', readers)}, and no writer is near"
        return ""

    def close(self) -> None:
        """Ends its threads; those that wait in vain are ended by an exception."""
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
    """One thread, which does one thing after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holds: Verb | Literal[""] = ""
        self.busy = False
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
        """Do it, which leads to holding the lock in this way."""
        self.busy, self._wants = True, to
        self._orders.put(action)

    def end(self) -> None:
        """Do nothing any more after what is being done."""
        self._orders.put(None)

    def interrupt(self) -> None:
        """Break off what is being done as soon as the thread runs, which `_wake` may help it to."""
        self._order.end()

    def lives(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        """A thread that nothing can end is left behind; being a daemon, it keeps nobody up."""
        self._thread.join(LOOK_SECONDS)

    def _act(self) -> None:
        while (order := self._orders.get()) is not None:
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


def _wake(lock: object) -> None:
    """Wake whoever waits in a lock made of `threading`'s parts: to be ended, not to act."""
    for part in list(getattr(lock, "__dict__", {}).values()):
        if isinstance(part, threading.Condition):
            if part.acquire(timeout=LOOK_SECONDS):
                part.notify_all()
                part.release()
        elif hasattr(part, "locked") and hasattr(part, "release") and part.locked():
            part.release()


def _verb(verb: str, names: list[str]) -> str:
    return f"{verb}s" if len(names) == 1 else verb
