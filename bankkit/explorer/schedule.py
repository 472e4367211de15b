"""A schedule as data: which thread did what, in which order, and how it ended."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, field
from typing import Literal

End = Literal["ended", "deadlock", "livelock", "lost wakeup", "failed assertion", "exception"]


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a schedule."""

    thread: str
    option: int
    """Which of its options the thread took: 0, or the number of a waiter, a timeout, a choice."""
    does: str
    """A description: `acquire mutex`."""
    file: str = ""
    function: str = ""
    line: int = 0
    preempts: bool = False
    """Whether it took the turn from a thread that could have continued."""

    @property
    def at(self) -> str:
        """The file's name and the line: `first_draft.py:64`. Empty if they are unknown."""
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
        """How many moves took the turn from a thread that could have continued."""
        return sum(move.preempts for move in self.moves)

    def __len__(self) -> int:
        return len(self.moves)

    def to_json(self) -> str:
        """The schedule as text for `from_json`; equal schedules give equal texts."""
        moves = [asdict(move) for move in self.moves]
        data = {"bankkit schedule": 1, "threads": self.threads, "moves": moves}
        return json.dumps(data, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Read a text of `to_json`. Raises ValueError, with the reason, for any other text."""
        try:
            data = json.loads(text)
            if data["bankkit schedule"] != 1:
                raise ValueError(f"version {data['bankkit schedule']!r} is unknown")
            moves = tuple(Move(**move) for move in data["moves"])
            threads = tuple(map(str, data["threads"]))
            if not all(type(move.thread) is str and type(move.option) is int for move in moves):
                raise ValueError("a move needs the name of a thread and the number of an option")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is not a schedule: {error}.") from None
        return cls(moves, threads)

    def table(self, width: int = 100) -> str:
        """One row per step, and one column per thread that makes steps; `*` marks a preemption.

        `width` is in characters. Lincheck prints schedules in this way: Koval, Fedorov, Sokolova,
        Tsitelov and Alistarh, "Lincheck: a practical framework for testing concurrent data
        structures on JVM", CAV 2023.
        """
        return _table(self, {}, width)

    def __str__(self) -> str:
        return self.table()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a schedule ended."""

    kind: End
    text: str
    """What happened, in one or two sentences that name the threads and what they wait for."""
    schedule: Schedule
    waiting: dict[str, str] = field(default_factory=dict)
    """What each thread that did not end waits for, by thread name."""
    error: BaseException | None = None
    """The exception that a thread raised, with its traceback."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}\n\n{self.table()}"

    def table(self, width: int = 100) -> str:
        """The table of the schedule, with `∞` where a thread waits forever."""
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
