"""A reduction without a bound: dynamic partial-order reduction.

Runs a schedule, looks for pairs of conflicting steps that could have come the other way round, and
goes back to try just those. Flanagan and Godefroid, "Dynamic partial-order reduction for model
checking software", POPL 2005, in the form with source sets and sleep sets of Abdulla, Aronis,
Jonsson and Sagonas, "Source sets: a foundation for optimal dynamic partial order reduction", JACM
64 (2017), algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from bankkit.explorer import primitives
from bankkit.explorer.depth_first import Bound, DepthFirst, Step
from bankkit.explorer.scheduler import READ, WRITE, Scheduler, Task


@dataclass(slots=True)
class _DporNode:
    """What `SourceDpor` knows of a place on its path."""

    enabled: dict[int, list[Step]]
    """What each thread can do here, by its index."""
    clocks: dict[int, int]
    """The steps that happen before each thread's next one, but for what its object adds."""
    backtrack: set[int]
    """The threads to try here."""
    sleep: dict[int, list[_Access]]
    """The threads whose next step is covered elsewhere, and what that step touches."""
    footprint: list[_Access]
    """What the steps of the thread that is tried now have touched, over all its options."""


_Access = tuple[int, int]  # an object, and READ or WRITE
_Use = tuple[int, int, bool]  # a step, READ or WRITE, and whether the object was available before


class SourceDpor(DepthFirst):
    """One schedule of each trace, or a little more, without a bound."""

    # Sets of steps are integers with a bit for each: bit i of `_past[j]` says that step i happens
    # before step j, or is j.

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler, Bound())
        self._nodes: list[_DporNode] = []
        self._past: list[int] = []
        self._accesses: list[list[_Access]] = []
        self._users: dict[int, list[_Use]] = {}
        """The steps that used an object, in order."""
        self._latest: dict[int, int] = {}
        """The past of each thread's latest step."""

    def advance(self) -> bool:
        path, nodes = self.path, self._nodes
        while path:
            step, node = path[-1], nodes[-1]
            node.footprint += self._drop(step)
            if not step.left:
                node.sleep[step.task.index] = node.footprint
                node.footprint = []
                for index in node.backtrack - node.sleep.keys():
                    step.left = list(node.enabled[index])
                    break
            if step.left:
                path[-1] = step.left.pop().instead_of(step)
                self._take(path[-1])
                self.fixed = len(path)
                return True
            path.pop()
            nodes.pop()
        return False

    def decide(self) -> Task | None:
        if self.scheduler.depth < self.fixed:
            self.scheduler.ended.clear()
            self.scheduler.rescued.clear()
        return super().decide()

    def _look(self) -> Step | None:
        self._complete()
        choices = self.choices()
        if not choices:
            self._reverse_what_waits()
            return None
        enabled: dict[int, list[Step]] = {}
        for choice in choices:
            choice.identify()
            enabled.setdefault(choice.task.index, []).append(choice)
        sleep = self._asleep()
        awake = [choice.task.index for choice in choices if choice.task.index not in sleep]
        if not awake:
            self.cut = True
            return None
        first = awake[-1]
        clocks = {choice.task.index: self._clock(choice.task) for choice in choices}
        self._nodes.append(_DporNode(enabled, clocks, {first}, sleep, []))
        left = list(enabled[first])
        step = left.pop().unbounded(left)
        self.path.append(step)
        self._take(step)
        self.path.pop()
        return step

    def _complete(self) -> None:
        """The path's last step is done: add what only showed while it ran, and find its races."""
        scheduler = self.scheduler
        if self.path:
            number = len(self.path) - 1
            step, node = self.path[number], self._nodes[number]
            for task in scheduler.ended:
                self._touch(number, task.key, WRITE, True)
            for task in scheduler.rescued:  # the other way round, its timeout would have fired
                if task.index in node.enabled:
                    node.backtrack.add(task.index)
            index = step.task.index
            waits_for = step.key if step.op.waits else 0
            self._reverse(number, index, node.clocks[index], self._accesses[number], waits_for)
        scheduler.ended.clear()
        scheduler.rescued.clear()

    def _asleep(self) -> dict[int, list[_Access]]:
        """Threads stay asleep until a step conflicts with theirs."""
        if not self.path:
            return {}
        node, touched = self._nodes[-1], self._accesses[-1]
        return {
            index: footprint
            for index, footprint in node.sleep.items()
            if index != self.path[-1].task.index and not _conflict(footprint, touched)
        }

    def _clock(self, task: Task) -> int:
        clock = self._latest.get(task.index, 0)
        for step in task.past:
            if step >= 0:
                clock |= self._past[step]
        return clock

    def _take(self, step: Step) -> None:
        """Put the path's last step into the order of what happens before what."""
        number = len(self.path) - 1
        index = step.task.index
        past = self._nodes[number].clocks[index] | 1 << number
        step.undo = self._latest.get(index, 0)
        self._past.append(past)
        self._latest[index] = past
        self._accesses.append([])
        if step.key:
            self._touch(number, step.key, step.op.mode(step.option), step.available)

    def _touch(self, number: int, key: int, mode: int, was_available: bool) -> None:
        """Step `number`, the last one, uses this object."""
        users = self._users.setdefault(key, [])
        past = self._past[number]
        for user, its_mode, _ in users:
            if mode == WRITE or its_mode == WRITE:
                past |= self._past[user]
        self._past[number] = self._latest[self.path[number].task.index] = past
        users.append((number, mode, was_available))
        self._accesses[number].append((key, mode))

    def _drop(self, step: Step) -> list[_Access]:
        """Forget the path's last step; returns what it touched."""
        touched = self._accesses.pop()
        for key, _ in touched:
            self._users[key].pop()
        self._past.pop()
        self._latest[step.task.index] = step.undo
        return touched

    def _reverse_what_waits(self) -> None:
        """At the end: threads that wait for ever might not, had they come first."""
        number = len(self.path)
        for task in self.scheduler.tasks:
            op = task.op
            if op is not None and op.waits and (op is not primitives.WAKE or task.notified):
                key = task.target.key
                self._reverse(number, task.index, self._clock(task), [(key, WRITE)], key)

    def _reverse(
        self, number: int, index: int, clock: int, accesses: list[_Access], waits_for: int
    ) -> None:
        """Find the steps that race with step `number`, and see that it is tried before them."""
        for key, mode in accesses:
            after_reads = False
            for user, its_mode, was_available in reversed(self._users.get(key, ())):
                if user == number or (mode == READ and its_mode == READ):
                    continue
                happens_before = clock >> user & 1
                if not happens_before:
                    if key == waits_for and not was_available:
                        continue  # it would have had to wait, there too
                    if its_mode == READ or not after_reads:
                        self._try_before(user, number, index, clock, accesses)
                    after_reads = True
                if its_mode == WRITE:
                    break

    def _try_before(
        self, race: int, number: int, index: int, clock: int, accesses: list[_Access]
    ) -> None:
        past, node = self._past, self._nodes[race]
        # What does not happen after the step `race` can be done before it, and then this step.
        movable = [step for step in range(race + 1, number) if not past[step] >> race & 1]
        mask = sum(1 << step for step in movable)
        for key, mode in accesses:
            for user, its_mode, _ in self._users.get(key, ()):
                if mask >> user & 1 and (mode == WRITE or its_mode == WRITE):
                    clock |= past[user]
        starters = {
            self.path[step].task.index for step in movable if past[step] & mask == 1 << step
        }
        if not clock & mask:
            starters.add(index)
        if starters & node.backtrack or starters & node.sleep.keys():
            return
        possible = [starter for starter in node.enabled if starter in starters]
        node.backtrack.update(possible[:1] or node.enabled)


def _conflict(some: list[_Access], others: list[_Access]) -> bool:
    return any(
        key == other_key and (mode == WRITE or other_mode == WRITE)
        for key, mode in some
        for other_key, other_mode in others
    )
