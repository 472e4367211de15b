"""Says in words what distinguishes a failing schedule from its counterpart, which ends well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import groupby

from bankkit.explorer.answers.counterpart import NoCounterpart, find_counterpart
from bankkit.explorer.answers.exchange_search import Counterpart
from bankkit.explorer.engine.scheduler import Scheduler
from bankkit.explorer.errors import ScenarioError
from bankkit.explorer.running.replay_run import replay
from bankkit.explorer.running.settings import Subject
from bankkit.explorer.schedules.schedule import Explanation, Move, Outcome, Schedule
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.text import counted


def explained(code: Subject, bug: Outcome, deadline: float) -> Outcome:
    """The outcome of a failing schedule with its explanation, as far as one was found.

    The search for it ends soon after the deadline, which is on the clock of `time.monotonic`. The
    explanation says only what the counterpart has done when it was run. A bug whose other schedules
    cannot be explored stays a bug, without an explanation.
    """
    good = None
    try:
        with (
            closing(Scheduler(limit=code.steps)) as scheduler,
            code.laboratory(scheduler) as laboratory,
        ):
            found = find_counterpart(laboratory, bug.schedule, deadline)
        if found is not None and found.schedule is not None:
            good = replay(code.scenario, found.schedule, **code.options)
    except ScenarioError:
        return bug
    if isinstance(found, NoCounterpart) and found.others == "none":
        ran = counted(found.ran, "schedule")
        ran += ", one of each trace" if found.reduced else ""
        text = f"Every schedule fails ({ran}): the bug does not depend on the order of the steps."
        return replace(bug, why=Explanation(text))
    if found is None or good is None or good.kind != "ended":
        return bug
    if isinstance(found, Counterpart):
        return replace(bug, why=_why(bug, found, good.schedule))
    text = (
        f"No exchange of two steps is enough. Another schedule ends well, in this order: "
        f"{_in_numbers(found.numbers)}."
    )
    return replace(bug, why=Explanation(text, good.schedule))


def _why(bug: Outcome, found: Counterpart, counterpart: Schedule) -> Explanation:
    exchange, moves = found.exchange, bug.schedule.moves
    later = _step(moves, exchange.later)
    marked, waiting = [exchange.later + 1], ""
    if found.chosen is not None:
        its = counterpart.moves[exchange.later]
        if found.chosen.woken:
            change = f"{later} wakes {found.chosen.woken} instead of {found.failing.woken}"
        else:
            change = f"{later} is “{its.does}” instead"
    elif found.partner is not None and exchange.earlier is not None:
        earlier = _step(moves, exchange.earlier)
        marked.append(exchange.earlier + 1)
        before, now = found.partner
        if now.op.fires and now.option and not before.option:
            change = f"{earlier} times out before {later}"
        else:
            change = _order(found, later, earlier)
    else:
        its = counterpart.moves[found.turns_end]
        if its.thread in bug.waiting and exchange.turns == 1:
            waiting = its.thread
        place = f" ({its.at})" if its.at else ""
        what = f"{its.thread} has gone on to “{its.does}”{place}"
        change = _order(found, later, what, is_clause=True)
    text = f"If {change}, all ends well, as in this order: {_in_numbers(found.numbers)}."
    return Explanation(text, counterpart, tuple(marked), waiting)


def _step(moves: tuple[Move, ...], number: int) -> str:
    move = moves[number]
    return f"step {number + 1} ({move.thread}: {move.does})"


def _order(found: Counterpart, later: str, earlier: str, *, is_clause: bool = False) -> str:
    """The order of the two steps in the counterpart."""
    held = found.failing
    if held.op.fires and held.option:
        end = "the sleep ends" if held.op is primitives.SLEEP else "the timeout fires"
        return f"{earlier}{'' if is_clause else ' comes'} before {end} at {later}"
    return f"{later} comes {'only ' if is_clause else ''}after {earlier}"


def _in_numbers(numbers: Iterable[int | None]) -> str:
    """The steps by their numbers in the failing schedule: `1–7, 9, 8, 4 other steps`."""
    return ", ".join(_spans(numbers))


def _spans(numbers: Iterable[int | None]) -> Iterator[str]:
    places = enumerate(numbers)
    for gap, group in groupby(places, lambda pair: None if pair[1] is None else pair[1] - pair[0]):
        span = [0 if number is None else number + 1 for _, number in group]
        if gap is None:
            yield counted(len(span), "other step")
        else:
            yield str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}"
