"""Let threads acquire and release a lock step by step, and show what the lock allows.

    lab.run_lock_script(MyLock, "ann reads, ben reads, carl writes, ann leaves, ben leaves")

A table like this, one column for each thread, is how Lincheck shows a failing run:
https://kotlinlang.org/docs/lincheck-guide.html.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from bankkit.lab.course.cards import Bundle
from bankkit.lab.drawing import style
from bankkit.lab.drawing.text import counted, listed
from bankkit.lab.racing.lock_driver import LockDriver, Verb

MAX_STEPS = 40

_LOOKS = {
    "reads": f"background:{style.SKY_BLUE}66;",
    "writes": f"background:{style.ORANGE}88;",
    "waits": f"border:1px dashed {style.GREY};",
}


@dataclass(frozen=True)
class Row:
    """One step, and the state of every thread after it."""

    step: str
    states: dict[str, str]
    """What each thread does: `reads`, `writes`, `waits to read`, `waits to write` or nothing."""
    trespass: str
    """Which threads hold the lock together against the rule; empty if none do."""
    needless: str
    """Which threads wait to read without need; empty if none do."""

    @property
    def mark(self) -> str:
        """What is wrong after this step, with a sign before it; empty if nothing is."""
        if self.trespass:
            return f"✗ {self.trespass}"
        return f"! {self.needless}" if self.needless else ""


@dataclass(frozen=True)
class LockScriptResult:
    """What a lock allowed. A notebook shows it as a table that is the same in every run."""

    rows: tuple[Row, ...]
    left_waiting: tuple[str, ...]
    """The threads that still wait after all others have left: nothing will ever wake them."""

    @property
    def trespass(self) -> str:
        """The first breach of the rule `many readers or one writer`; empty if there was none."""
        return next((row.trespass for row in self.rows if row.trespass), "")

    @property
    def needless(self) -> str:
        """The first needless wait to read; empty if there was none."""
        return next((row.needless for row in self.rows if row.needless), "")

    @property
    def peak_readers(self) -> int:
        """The largest number of threads that read at the same time."""
        return max(list(row.states.values()).count("reads") for row in self.rows)

    @property
    def verdict(self) -> str:
        """Whether the lock kept the rule and left no thread waiting, in a sentence or two."""
        said = []
        if self.trespass:
            said.append(f"{self.trespass}.")
        if self.left_waiting:
            names = list(self.left_waiting)
            said.append(
                f"Every other thread has left, and {listed(names)} still "
                f"{'waits' if len(names) == 1 else 'wait'}. No thread will ever wake "
                f"{names[0] if len(names) == 1 else 'them'}."
            )
        elif self.needless and not said:
            said.append(f"{self.needless}.")
        if not said:
            readers = counted(self.peak_readers, "thread")
            said.append(
                "The lock kept its rule, and no thread was left waiting. "
                f"At most {readers} read at the same time."
            )
        return " ".join(said)

    def __repr__(self) -> str:
        names = list(self.rows[-1].states)
        first = max(len(row.step) for row in self.rows) + 3
        widths = [max(15, len(name) + 1) for name in names]
        lines = [(" " * first + _cells(names, widths)).rstrip()]
        for row in self.rows:
            cells = _cells([row.states.get(name) or "·" for name in names], widths)
            lines.append(f"{row.step:{first}}{cells}{row.mark}".rstrip())
        return "\n".join([*lines, "", self.verdict])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        kind = style.NEEDLESS_WAIT if self.needless else style.ORDERLY
        if self.trespass or self.left_waiting:
            kind = style.OUT_OF_ORDER
        return {
            "text/plain": repr(self),
            "text/html": style.card(kind, self.verdict, self._table()),
        }

    def _table(self) -> str:
        names = list(self.rows[-1].states)
        marked = any(row.mark for row in self.rows)
        head = "".join(_cell("th", name) for name in ("", *names, *[""] * marked))
        body = []
        for row in self.rows:
            states = [row.states.get(name, "") for name in names]
            cells = [
                _cell("th", row.step, "font-weight:normal;font-family:monospace;"),
                *(_cell("td", state, _look(state)) for state in states),
                *[_cell("td", row.mark, "font-weight:bold;")] * marked,
            ]
            body.append(f"<tr>{''.join(cells)}</tr>")
        return (
            '<div style="overflow-x:auto"><table style="border-collapse:separate;'
            f'border-spacing:3px;font-size:13px;margin:6px 0"><tr>{head}</tr>'
            f"{''.join(body)}</table></div>"
        )


def run_lock_script(make_lock: Callable[[], object], script: str) -> LockScriptResult:
    """Let threads acquire and release a new lock in this order, and watch which ones get it.

    make_lock  a class, or another callable, that makes the lock: your own, or one of
               `bankkit.locks`
    script     steps with commas or line ends between them, such as `ann reads`, `ben writes`,
               `ann leaves`

    The next step starts when the thread has the lock, or is seen to wait for it. A thread that
    waits can do nothing else. At the end, the threads that hold the lock leave one by one.

    Raises ValueError for an impossible script, TypeError for an object that is not a lock, and any
    error that the lock raises.
    """
    steps = _parsed(script)
    rows: list[Row] = []
    with LockDriver(make_lock()) as driver:
        for name, verb in steps:
            done = driver.tell(name, verb)
            step = f"{name} {verb}" if done else f"{name} still waits and cannot {verb[:-1]}"
            rows.append(_row(step, driver))
        while (inside := driver.inside()) and len(rows) < 2 * MAX_STEPS:
            driver.tell(inside[0], "leaves")
            rows.append(_row(f"{inside[0]} leaves", driver))
        return LockScriptResult(tuple(rows), tuple(driver.waiting()))


def _row(step: str, driver: LockDriver) -> Row:
    return Row(step, driver.states(), driver.trespass(), driver.needless())


def _parsed(script: str) -> list[tuple[str, Verb]]:
    steps: list[tuple[str, Verb]] = []
    for step in filter(None, map(str.strip, re.split(r"[,\n]", script))):
        name, _, verb = step.partition(" ")
        if verb not in get_args(Verb):
            raise ValueError(
                f"{step!r} is not a step; write a name and {', '.join(get_args(Verb)[:-1])} or "
                f"{get_args(Verb)[-1]}."
            )
        steps.append((name, verb))  # type: ignore[arg-type]
    if not 1 <= len(steps) <= MAX_STEPS:
        raise ValueError(f"A script has 1 to {MAX_STEPS} steps, not {len(steps)}.")
    return steps


def _cells(words: list[str], widths: list[int]) -> str:
    return "".join(f"{word:{width}}" for word, width in zip(words, widths, strict=True))


def _look(state: str) -> str:
    return _LOOKS.get(state.partition(" ")[0], "")


def _cell(tag: str, words: str, look: str = "") -> str:
    return f'<{tag} style="text-align:left;padding:2px 8px;{look}">{html.escape(words)}</{tag}>'
