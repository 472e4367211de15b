"""A schedule as data: which thread did what, in which order, and how it ended."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass, field
from typing import Literal

from bankkit.explorer.schedules.origin import Origin

End = Literal[
    "ended", "deadlock", "livelock", "lost wakeup", "failed assertion", "failed check", "exception"
]


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
    origin: Origin | None = field(default=None, compare=False, repr=False)
    """What a saved schedule was made with; None if it was made now."""

    @property
    def preemptions(self) -> int:
        """How many moves took the turn from a thread that could have continued."""
        return sum(move.preempts for move in self.moves)

    def __len__(self) -> int:
        return len(self.moves)

    def to_json(self) -> str:
        """The schedule as text for `from_json`, with what it was made with.

        Equal schedules that were made with the same Python and the same sources give equal texts.
        """
        moves = [asdict(move) for move in self.moves]
        origin = self.origin or Origin.of(move.file for move in self.moves)
        data = {"bankkit schedule": 1, **asdict(origin), "threads": self.threads, "moves": moves}
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
            origin = Origin.from_data(data)
            if not all(type(move.thread) is str and type(move.option) is int for move in moves):
                raise ValueError("a move needs the name of a thread and the number of an option")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"This is not a schedule: {error}.") from None
        return cls(moves, threads, origin)

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
class Explanation:
    """Why a schedule fails: what a schedule does otherwise that ends well."""

    text: str
    """The change that is enough, in words, and the schedule that it gives. Steps have the numbers
    that they have in the table of the failing schedule."""
    counterpart: Schedule | None = None
    """The nearest schedule that was found to end well; None if no single change is enough."""
    steps: tuple[int, ...] = ()
    """The numbers of the two steps whose order decides, from 1, the one that is made later first;
    one step if it decides by the option that it takes, or together with `waiting`."""
    waiting: str = ""
    """The thread that waits forever for what it should have done before the step."""

    def __str__(self) -> str:
        return self.text


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
    why: Explanation | None = None
    """What decides that it fails; None if it ends well or if this was not found out."""
    history: str = ""
    """The recorded calls, one a line, if the check of the history failed."""

    def __str__(self) -> str:
        why = textwrap.fill(self.why.text, 100) if self.why else ""
        parts = [f"{self.kind}: {self.text}", self.history, self.table(), why]
        return "\n\n".join(filter(None, parts))

    def table(self, width: int = 100, *, why: bool = True) -> str:
        """The table of the schedule, with `∞` where a thread waits forever.

        With `why`, `>` marks the steps whose order decides, which the attribute `why` explains.
        """
        return _table(self.schedule, self.waiting, width, self.why if why else None)


def _table(
    schedule: Schedule, waiting: dict[str, str], width: int, why: Explanation | None = None
) -> str:
    moving = {move.thread for move in schedule.moves}
    threads = [thread for thread in schedule.threads if thread in moving]
    threads += [thread for thread in moving | waiting.keys() if thread not in schedule.threads]
    if not threads:
        return "(no steps)"
    column = max(16, min(40, (width - 5) // len(threads) - 2))
    lines = ["     " + "  ".join(f"{thread:{column}.{column}}" for thread in threads).rstrip()]
    lines.append("     " + "  ".join("─" * column for _ in threads))

    def row(mark: str, thread: str, text: str, decides: bool) -> None:
        before = threads.index(thread) * (column + 2)
        mark = f"{mark:>4}{'>' if decides else ' '}"
        for part in textwrap.wrap(text, column, break_on_hyphens=False) or [""]:
            lines.append(f"{mark}{' ' * before}{part}".rstrip())
            mark = " " * len(mark)

    for number, move in enumerate(schedule.moves, 1):
        where = f" ({move.at})" if move.at else ""
        decides = why is not None and number in why.steps
        row(f"{'*' if move.preempts else ''}{number}", move.thread, f"{move.does}{where}", decides)
    for thread, what in waiting.items():
        if thread in threads:
            row("∞", thread, what, why is not None and thread == why.waiting)
    return "\n".join(lines)
