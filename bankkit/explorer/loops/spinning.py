"""Puts a thread to sleep that goes round a loop which only looks, until what it sees changes.

`while not state.ready: sleep(0.01)` makes steps for as long as the scheduler lets it, so a search
of every schedule would never end. But a round that changes nothing and sees what the round before
has seen leads back to the same state. So the next one can be left out: no schedule is lost except
those that differ in the number of such rounds. Then a thread in a loop is a thread that waits, and
if nobody is left to change what it sees, it waits forever: a livelock.

Musuvathi and Qadeer, "Fair stateless model checking", PLDI 2008, keep such a thread from running by
fairness. Kokologiannakis, Ren and Vafeiadis, "Dynamic partial order reductions for spinloops",
FMCAD 2021, recognize such loops in a program and cut executions in which they go round in vain.

A thread sleeps only if all of this holds, from one visit of a place in its loop to the next:

- the loop only looks (see `looking`), and its function's variables are the same as before;
- it has made reads only, and has taken locks that it has released again;
- no other thread has written what it has read, or taken a lock that it has taken, which may guard
  anything, or found a lock taken that it held for a moment;
- each lock that it could not take is still taken.

Another thread's locks do not count while that thread goes round a loop that only looks.

A thread may see what is no step: a plain attribute. So before a livelock is told, each sleeping
thread goes round once more. If it leaves its loop then, the search says that it cannot know.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from greenlet import getcurrent

from bankkit.explorer.engine.ownership import is_own
from bankkit.explorer.engine.scheduler import READ, WRITE, Scheduler, Task
from bankkit.explorer.loops.cycles import Cycles
from bankkit.explorer.loops.looking import Looking, loop_that_looks
from bankkit.explorer.loops.visits import Round, Visit, same_variables
from bankkit.explorer.source.locations import described, here
from bankkit.explorer.source.sources import is_within
from bankkit.explorer.stand_ins import primitives

_TRIES = primitives.TRY, primitives.ACQUIRE_TIMED
_CLOCKS = frozenset({"queue", "threading", "concurrent.futures.thread"})
"""Modules that use the clock only to find out how much is left of a timeout."""


class Spinning:
    """The threads of one scheduler that go round loops which only look."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        scheduler.spinning = self
        scheduler.watchers.append(self)
        self.is_lenient = False
        """Whether threads that sleep may also run, as in a schedule that is replayed."""
        self.hidden = ""
        """Which thread has left a loop although no step had changed what it sees; usually empty."""
        self.timed = ""
        """Which thread reads the clock after a loop whose rounds were left out; usually empty."""
        self.begin(scheduler.decide)

    def begin(self, decide: Callable[[], Task | None]) -> Callable[[], Task | None]:
        """Forget the schedule before; return what decides in the next one."""
        self._visits: dict[int, list[Visit]] = {}
        """The steps of each thread since it last changed something."""
        self._steps: dict[int, list[Visit]] = {}
        """All steps of each thread."""
        self._arrived: dict[int, dict[int, Visit]] = {}
        """The next step of each thread, by option."""
        self._rounds: dict[tuple[int, int], Round | None] = {}
        """The round that each thread has made when it is about to take an option."""
        self._writes: dict[int, dict[int, int]] = {}
        """When each thread last wrote each object."""
        self._looks: dict[int, dict[int, int]] = {}
        """When each thread last found each lock taken or free."""
        self._locked: dict[int, list[int]] = {}
        """What a thread has used in a loop that only looks, such as locks. If it leaves the loop
        before it comes round, it has changed something."""
        self._noted = 0
        self._changed = 0
        """The number of steps before the latest one of a thread that was not sent round again."""
        self._sent: dict[int, tuple[int, Round]] = {}
        """The threads that were sent round again: the value of `_changed` then, and the round."""
        self._lines: dict[int, Counter[tuple[CodeType, int]]] = {}
        """The lines where each thread has made its steps."""
        self._took_time = False
        self._cycles = Cycles()
        self._moments: list[int] = []
        self.livelocked: dict[int, str] = {}
        """The threads that come back to the same state, and what they do on the way."""

        def decide_and_watch() -> Task | None:
            self._note_other_uses()
            if self._locked:
                self._note_locks()
            if not self._scheduler.ordered and self._scheduler.only is None:
                self._moments = self._cycles.at_decision(self._scheduler.depth, self._places())
            task = decide()
            self._noted = len(self._scheduler.also)
            if task is not None:
                self._leave(task)
            return task

        return decide_and_watch

    # What the threads do.

    def _note_other_uses(self) -> None:
        scheduler = self._scheduler
        also = scheduler.also
        for key, mode, _ in also[min(self._noted, len(also)) :]:
            if mode == WRITE:
                ended = (task for task in scheduler.tasks if task.key == key and task.done)
                index = next(ended, scheduler.current).index
                self._writes.setdefault(key, {})[index] = scheduler.depth
                self._forget(index)
                self._cycles.changes()

    def _note_locks(self) -> None:
        """Count the locks of those threads that have left their loop."""
        for index in list(self._locked):
            task = self._scheduler.tasks[index]
            round_ = None
            if task.op is not None:
                options = task.op.options(task) or (0,)
                rounds = [self._round(task, option) for option in options]
                round_ = next((each for each in rounds if each is not None), None)
            if round_ is None:
                for key in self._locked.pop(index):
                    self._writes.setdefault(key, {})[index] = self._scheduler.depth
            elif not any(
                each.lock is not None and each.lock.owner is task for each in round_.visits
            ):
                del self._locked[index]

    def _forget(self, index: int) -> None:
        """The thread has changed something, so its later rounds may differ from its earlier."""
        self._visits.pop(index, None)
        if self._sent_round(index) is not None:
            self._leaves(index)

    def _sent_round(self, index: int) -> Round | None:
        """The round that a thread was sent to repeat, if no other thread has run since."""
        sent = self._sent.get(index)
        return sent[1] if sent is not None and sent[0] == self._changed else None

    def _leaves(self, index: int) -> None:
        self._changed = self._scheduler.depth
        self.hidden = self.hidden or (
            f"{here(self._scheduler.tasks[index])} has left a loop although no step had changed "
            f"what the loop sees"
        )

    def _leave(self, task: Task) -> None:
        """Record the step that this thread is about to make."""
        scheduler = self._scheduler
        index, depth = task.index, scheduler.depth
        visit = self._visit(task, task.option)
        visit.depth = depth
        if visit.frames:
            frame = visit.frames[-1]
            self._lines.setdefault(index, Counter())[frame.f_code, frame.f_lineno] += 1
        round_ = None if visit.changes else self._round(task, task.option)
        if round_ is not None:
            scheduler.also += [(key, READ, True) for key in self._seen_by(round_)]
            if visit.op.fires and visit.option and scheduler.ordered:
                due = self.due(task)
                task.now += due - task.due
                task.due = due
        for option in (0, 1):
            its_round = self._round(task, option)
            self._took_time |= its_round is not None and its_round.period > 0
        del self._arrived[index]
        sent = self._sent_round(index)
        if sent is None:
            self._changed = depth
        elif not visit.changes and not any(each.is_like(visit) for each in sent.visits):
            self._leaves(index)
        used = visit.used
        key = getattr(used, "explorer_key", 0) if used is not None else 0
        if key and visit.op.mode(visit.option) == READ:
            self._looks.setdefault(key, {})[index] = depth
        elif key and round_ is not None:
            self._locked.setdefault(index, []).append(key)
        elif key:
            self._writes.setdefault(key, {})[index] = depth
        self._cycles.makes_step(task, used, changes=visit.changes)
        self._steps.setdefault(index, []).append(visit)
        if visit.changes:
            self._forget(index)
        else:
            self._visits.setdefault(index, []).append(visit)

    def _visit(self, task: Task, option: int) -> Visit:
        """The step that a thread is about to make, with the place where it is."""
        arrived = self._arrived.setdefault(task.index, {})
        known = arrived.get(option)
        if known is not None and known.op is task.op and known.target is task.target:
            return known
        assert task.greenlet is not None
        running = task.greenlet is getcurrent()
        frame: FrameType | None = sys._getframe(1) if running else task.greenlet.gr_frame
        frames = []
        while frame is not None:
            if not is_own(frame):
                frames.append(frame)
            frame = frame.f_back
        visit = Visit(task, option, -1, tuple(frames[::-1]))
        arrived[option] = visit
        self._rounds.pop((task.index, option), None)
        return visit

    # Who sleeps.

    def _round(self, task: Task, option: int) -> Round | None:
        """The round that a thread has just made in a loop that only looks; None for others."""
        visits = self._visits.get(task.index)
        if not visits:
            return None
        visit = self._visit(task, option)
        key = task.index, option
        if key not in self._rounds:
            self._rounds[key] = self._find_round(visits, visit)
        return self._rounds[key]

    def _find_round(self, visits: list[Visit], visit: Visit) -> Round | None:
        alike = (number for number in reversed(range(len(visits))) if visits[number].is_like(visit))
        last, last_but_one = next(alike, -1), next(alike, -1)
        if last < 0:
            return None
        its_round = visits[last:]
        if its_round[0].frames[:1] != visit.frames[:1]:
            return None
        for level in range(len(visit.frames) - 1, -1, -1):
            frame = visit.frames[level]
            if frame is not its_round[0].frames[level] or not all(
                len(each.frames) > level and each.frames[level] is frame for each in its_round
            ):
                continue
            if not same_variables(its_round[0].variables[level], visit.variables[level]):
                continue
            places = [each.place(level) for each in its_round]
            looking = loop_that_looks(frame, [each for each in places if each is not None])
            if looking is None:
                continue
            # What an expression has read before this step is on the interpreter's stack, where
            # it cannot be compared. After two rounds it has been read again in the same state.
            if any(is_within(each, looking.statement) for each in places[1:]):
                if last_but_one < 0:
                    return None
                its_round = visits[last_but_one:]
            if self._scheduler.ordered:
                timers = [each for each in visits[last:] if each.op.fires and each.option]
                if timers and (len(timers) > 1 or timers[0].op is not visit.op):
                    return None  # where it waits for the time, it knows when its next round begins
            return Round(its_round, looking, visit.now - visits[last].now)
        return None

    def sleeps(self, task: Task, option: int) -> bool:
        """Whether the thread would go round once more, and see and do the same."""
        round_ = self._round(task, option)
        return round_ is not None and self._sees_the_same(task, round_)

    def _sees_the_same(self, task: Task, round_: Round) -> bool:
        index, start = task.index, round_.start
        for visit in round_.visits:
            lock = visit.lock
            if lock is None:
                if _others(self._writes, visit.used, index) > start:
                    return False
                continue
            if lock.owner is task:
                return False
            if visit.op in _TRIES and visit.option:
                if lock.owner is None:
                    return False
                continue
            if visit.op in _TRIES and lock.owner is not None:
                return False
            if _others(self._writes, lock, index) > start:
                return False
            if visit.op.mode(0) == WRITE and _others(self._looks, lock, index) > start:
                return False
        return True

    def _seen_by(self, round_: Round) -> list[int]:
        """The keys of the objects that a thread in this round waits for."""
        used = [visit.used for visit in round_.visits if visit.used is not None]
        return list(dict.fromkeys(each.explorer_key for each in used))

    def due(self, task: Task) -> float:
        """When the timeout of a thread fires, if timeouts fire in order.

        A thread that sleeps has left out the rounds before the next timeout of another thread.
        """
        round_ = self._round(task, 1)
        due = task.due
        if round_ is not None and round_.period > 0:
            until = self._scheduler.clock
            if self._sees_the_same(task, round_):
                until = self._next_due()
                if until == math.inf:
                    return due
            while due < until:
                due += round_.period
        return due

    def _next_due(self) -> float:
        """When the next timeout fires of a thread that does not sleep."""
        return min(
            (
                self.due(task)
                for task in self._scheduler.tasks
                if task.op is not None
                and task.op.fires
                and 1 in task.op.options(task)
                and not self.sleeps(task, 1)
            ),
            default=math.inf,
        )

    def _places(self) -> Iterator[tuple[int, int, bool]]:
        """Each thread's next step with its place, and whether the thread can make it."""
        for task in self._scheduler.tasks:
            if task.op is None or task.greenlet is None:
                yield task.index, -1, False
                continue
            options = task.op.options(task)
            visit = self._visit(task, options[-1] if options else 0)
            if visit.number < 0:
                visit.number = self._cycles.place(
                    (visit.op, visit.option, task.notified),
                    visit.target,
                    [(code, where, names) for (code, where), names in visit.calls()],
                    visit,
                )
            can_run = any(not self.sleeps(task, option) for option in options)
            yield task.index, visit.number, can_run

    def _is_livelock(self) -> bool:
        """Whether all threads that can run come back to the same state again and again."""
        scheduler = self._scheduler
        found = self._cycles.cycle(self._moments, scheduler.depth)
        if found is None:
            return False
        start, running = found
        livelocked = {}
        for index in running:
            visits = [each for each in self._steps[index] if each.depth > start]
            task = scheduler.tasks[index]
            option = next(iter(task.op.options(task) if task.op is not None else ()), 0)
            looking = self._loop_of(visits, self._visit(task, option))
            if looking is None:
                return False
            livelocked[index] = self._in_words(task, visits, looking)
        self.livelocked = livelocked
        return True

    def _loop_of(self, visits: list[Visit], visit: Visit) -> Looking | None:
        """The loop in which a thread made these steps before it came to this one."""
        for level in range(len(visit.frames) - 1, -1, -1):
            frame = visit.frames[level]
            if all(len(each.frames) > level and each.frames[level] is frame for each in visits):
                places = [each.place(level) for each in visits]
                looking = loop_that_looks(frame, [each for each in places if each is not None])
                if looking is not None:
                    return looking
        return None

    def awake(self, *groups: list[Any]) -> bool:
        """Remove from the groups of choices those of the threads that sleep.

        If nothing is left, one thread goes round again that has not done so since the last change.
        Returns whether the schedule has to end, because it is a livelock.
        """
        if self.is_lenient:
            return False
        if self._moments and self._is_livelock():
            return True
        sleepers: list[Any] = []
        for group in groups:
            asleep = [each for each in group if self.sleeps(each.task, each.option)]
            if asleep:
                group[:] = [each for each in group if each not in asleep]
                sleepers += asleep
        if any(groups):
            if self._scheduler.ordered:
                self._add_ties(groups[-1], sleepers)
            return False
        for choice in sleepers:
            index = choice.task.index
            if self._sent_round(index) is None and not self._is_proved(choice):
                round_ = self._round(choice.task, choice.option)
                assert round_ is not None
                self._sent[index] = self._changed, round_
                self._visits.pop(index, None)
                self._rounds.pop((index, choice.option), None)
                groups[-1].append(choice)
                break
        return False

    def _add_ties(self, timeouts: list[Any], sleepers: list[Any]) -> None:
        """A thread that sleeps may look at the very moment at which another timeout fires."""
        first = self._next_due()
        timeouts += [
            each
            for each in sleepers
            if each.op.fires and each.option and self.due(each.task) == first
        ]

    def _is_proved(self, choice: Any) -> bool:
        """Whether no other thread has made a step since the round began."""
        round_ = self._round(choice.task, choice.option)
        assert round_ is not None
        return all(
            each.last < round_.start for each in self._scheduler.tasks if each is not choice.task
        )

    # What is told.

    def repeats(self, task: Task) -> str:
        """Where a sleeping thread goes round, and what it sees, in words; empty for others."""
        if task.done or task.op is None or self.is_lenient:
            return ""
        if task.index in self.livelocked:
            return self.livelocked[task.index]
        for option in task.op.options(task):
            if self.sleeps(task, option):
                round_ = self._round(task, option)
                assert round_ is not None
                return self._in_words(task, round_.visits, round_.looking)
        return ""

    def _in_words(self, task: Task, visits: list[Visit], looking: Looking) -> str:
        does = dict.fromkeys(
            described(each, each.option)  # type: ignore[arg-type]  # it has what is needed
            for each in visits
            if each.op not in (primitives.SLEEP, primitives.YIELD)
        )
        file = here(task).partition(" at ")[2].partition(":")[0]
        where = f"the loop at {file}:{looking.line}" if file else "a loop"
        return f"repeats {where}{': ' if does else ''}{', '.join(does)}"

    def lines(self, task: Task) -> str:
        """The lines where a thread has made most of its steps."""
        lines = self._lines.get(task.index, Counter()).most_common(4)
        places = {(Path(code.co_filename).name, line) for (code, line), _ in lines}
        return ", ".join(f"{file}:{line}" for file, line in sorted(places))

    def clock_is_read(self, frame: FrameType | None) -> None:
        """A thread has read the clock, in this frame."""
        module = frame.f_globals.get("__name__") if frame is not None else ""
        if self._took_time and not self._scheduler.ordered and module not in _CLOCKS:
            self.timed = self.timed or (
                f"{here(self._scheduler.current)} reads the clock after a loop that waits by "
                f"sleeping, and how often that goes round is not explored"
            )


def _others(uses: dict[int, dict[int, int]], used: Any, index: int) -> int:
    """When another thread than this one last used the object; -1 for never."""
    if used is None:
        return -1
    its_uses = uses.get(used.explorer_key, {})
    return max((when for who, when in its_uses.items() if who != index), default=-1)
