"""A schedule as data: who did what, in which order, and how it ended."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, field
from typing import Literal

End = Literal["ended", "deadlock", "lost wakeup", "failed assertion", "exception"]


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a schedule."""

    thread: str
    option: int
    """Which of the things that it could do: 0, or the number of a waiter, a timeout, a choice."""
    does: str
    """In words: `acquire mutex`."""
    file: str = ""
    function: str = ""
    line: int = 0
    preempts: bool = False
    """It took the turn from a thread that could have gone on."""

    @property
    def at(self) -> str:
        """`first_draft.py:64`"""
        return (
            f"{self.file.replace(chr(92), '/').rpartition('/')[2]}:{self.line}" if self.file else ""
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of one run, in order. `lab.replay(scenario, schedule)` runs them again."""

    moves: tuple[Move, ...]
    threads: tuple[str, ...] = ()
    """The threads of the scenario, in the order in which they were started."""

    @property
    def preemptions(self) -> int:
        """How often the turn was taken from a thread that could have gone on."""
        return sum(move.preempts for move in self.moves)

    def __len__(self) -> int:
        return len(self.moves)

    def to_json(self) -> str:
        """As text that `from_json` reads; the same schedule is the same text."""
        moves = [asdict(move) for move in self.moves]
        data = {"bankkit schedule": 1, "threads": self.threads, "moves": moves}
        return json.dumps(data, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """ValueError, with the reason, for text that is no schedule."""
        try:
            data = json.loads(text)
            if data["bankkit schedule"] != 1:
                raise ValueError(f"version {data['bankkit schedule']!r} is not known")
            moves = tuple(Move(**move) for move in data["moves"])
            threads = tuple(map(str, data["threads"]))
            if not all(type(move.thread) is str and type(move.option) is int for move in moves):
                raise ValueError("a move needs a thread's name and an option's number")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is no schedule: {error}.") from None
        return cls(moves, threads)

    def table(self, width: int = 100) -> str:
        """One row a step, one column a thread that does any; `*` marks a preemption.

        As Lincheck prints it: Koval, Fedorov, Sokolova, Tsitelov and Alistarh, "Lincheck: a
        practical framework for testing concurrent data structures on JVM", CAV 2023.
        """
        return _table(self, {}, width)

    def __str__(self) -> str:
        return self.table()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a schedule ended."""

    kind: End
    text: str
    """What happened, in a sentence or two that name the threads and what they wait for."""
    schedule: Schedule
    waiting: dict[str, str] = field(default_factory=dict)
    """What each thread that did not end waits for, by its name."""
    error: BaseException | None = None
    """What a thread raised, with its traceback."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}\n\n{self.table()}"

    def table(self, width: int = 100) -> str:
        """The schedule's, with `∞` where a thread waits for ever."""
        return _table(self.schedule, self.waiting, width)


def _table(schedule: Schedule, waiting: dict[str, str], width: int) -> str:
    moving = {move.thread for move in schedule.moves}
    threads = [thread for thread in schedule.threads if thread in moving]
    threads += [thread for thread in moving | waiting.keys() if thread not in schedule.threads]
    if not threads:
        return "(no steps)"
    column = max(16, min(40, (width - 5) // len(threads) - 2))
    lines = ["     " + "  ".join(f"{thread:{column}.{column}}" for thread in threads).rstrip()]
    lines.append("     " + "  ".join("─" * column for _ in threads))

    def row(mark: str, thread: str, text: str) -> None:
        before = threads.index(thread) * (column + 2)
        for part in textwrap.wrap(text, column, break_on_hyphens=False) or [""]:
            lines.append(f"{mark:>4} {' ' * before}{part}".rstrip())
            mark = ""

    for number, move in enumerate(schedule.moves, 1):
        where = f" ({move.at})" if move.at else ""
        row(f"{'*' if move.preempts else ''}{number}", move.thread, f"{move.does}{where}")
    for thread, what in waiting.items():
        if thread in threads:
            row("∞", thread, what)
    return "\n".join(lines)
