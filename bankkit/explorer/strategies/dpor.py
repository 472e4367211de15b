"""A reduction without a bound: dynamic partial-order reduction.

The search runs a schedule, finds pairs of conflicting steps that could have happened in the
opposite order, and goes back to try only those. The idea is from Flanagan and Godefroid, "Dynamic
partial-order reduction for model checking software", POPL 2005; the form with source sets and sleep
sets is algorithm 1 of Abdulla, Aronis, Jonsson and Sagonas, "Source sets: a foundation for optimal
dynamic partial order reduction", JACM 64 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

from bankkit.explorer.engine.scheduler import READ, WRITE, Scheduler, Task
from bankkit.explorer.stand_ins import primitives
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step


@dataclass(slots=True)
class _DporNode:
    """What `SourceDpor` knows about one place on its path. Threads are given by index."""

    enabled: dict[int, list[Step]]
    """The choices of each thread here."""
    clocks: dict[int, int]
    """The steps that happen before each thread's next one, without those that its object adds."""
    backtrack: set[int]
    """The threads to try here."""
    sleep: dict[int, list[_Access]]
    """The threads whose next step is covered elsewhere, and the accesses of that step."""
    footprint: list[_Access]
    """The accesses of the thread that is being tried, over all its options so far."""
    goes_on: bool
    """Whether the step before goes on here, with a `choose`: no thread can come between."""


_WAKES = primitives.WAKE, primitives.WAKE_TIMED
_Access = tuple[int, int]  # an object's key, and READ or WRITE
_Use = tuple[int, int, bool]  # a step, READ or WRITE, and whether the object was available before


class SourceDpor(DepthFirst):
    """Runs one schedule of each trace, or a few more, without a bound."""

    # A set of steps is an integer with one bit per step: bit i of `_past[j]` says that step i
    # happens before step j, or is step j.

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler, Bound())
        self._nodes: list[_DporNode] = []
        self._past: list[int] = []
        self._accesses: list[list[_Access]] = []
        self._users: dict[int, list[_Use]] = {}
        """The uses of each object, in order."""
        self._latest: dict[int, int] = {}
        """The past of each thread's latest step."""

    def advance(self) -> bool:
        """Go back to the last place with a choice or a thread to try; False if there is none."""
        path, nodes = self.path, self._nodes
        while path:
            step, node = path[-1], nodes[-1]
            node.footprint += self._drop(step)
            if not step.left and node.goes_on and len(path) > 1:
                nodes[-2].footprint += node.footprint
            elif not step.left:
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

    def _new_step(self) -> Step | None:
        self._complete()
        choices = self.choices()
        if not choices:
            self._reverse_blocked()
            return None
        enabled: dict[int, list[Step]] = {}
        for choice in choices:
            choice.identify()
            enabled.setdefault(choice.task.index, []).append(choice)
        sleep = self._asleep()
        awake = [choice.task.index for choice in choices if choice.task.index not in sleep]
        if not awake:
            self._reverse_blocked()  # what the sleeping threads would do does not free them all
            self.cut = True
            return None
        first = awake[-1]
        clocks = {choice.task.index: self._clock(choice.task) for choice in choices}
        goes_on = self.scheduler.only is not None
        self._nodes.append(_DporNode(enabled, clocks, {first}, sleep, [], goes_on))
        left = list(enabled[first])
        step = left.pop().unbounded(left)
        self.path.append(step)
        self._take(step)
        self.path.pop()
        return step

    def _complete(self) -> None:
        """Record what the path's last step did while it ran, and find its races."""
        scheduler = self.scheduler
        if self.path:
            number = len(self.path) - 1
            step, node = self.path[number], self._nodes[number]
            for key, mode, available in scheduler.also:
                self._touch(number, key, mode, available)
            index = step.task.index
            waits_for = step.key if step.option in step.op.waits else 0
            self._reverse(number, index, node.clocks[index], self._accesses[number], waits_for)
            for rescued, key, mode, waits in scheduler.rescued:
                clock = self._latest[rescued]  # it does not contain the step that answered the wait
                self._reverse(number + 1, rescued, clock, [(key, mode)], key if waits else 0)
        scheduler.also.clear()
        scheduler.rescued.clear()

    def _asleep(self) -> dict[int, list[_Access]]:
        """The threads that stay asleep, because the last step does not conflict with theirs."""
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
        """Add the path's last step to the happens-before order."""
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
        """Record that step `number`, the last one, uses this object."""
        users = self._users.setdefault(key, [])
        past = self._past[number]
        for user, its_mode, _ in users:
            if mode == WRITE or its_mode == WRITE:
                past |= self._past[user]
        self._past[number] = self._latest[self.path[number].task.index] = past
        users.append((number, mode, was_available))
        self._accesses[number].append((key, mode))

    def _drop(self, step: Step) -> list[_Access]:
        """Forget the path's last step; return its accesses."""
        touched = self._accesses.pop()
        for key, _ in touched:
            self._users[key].pop()
        self._past.pop()
        self._latest[step.task.index] = step.undo
        return touched

    def _reverse_blocked(self) -> None:
        """Find the races of blocked threads: in another order they might not block forever."""
        number = len(self.path)
        for task in self.scheduler.tasks:
            op = task.op
            if (
                op is not None
                and op.waits
                and not op.options(task)
                and (op not in _WAKES or task.notified)
            ):
                key = task.target.explorer_key
                self._reverse(number, task.index, self._clock(task), [(key, WRITE)], key)

    def _reverse(
        self, number: int, index: int, clock: int, accesses: list[_Access], waits_for: int
    ) -> None:
        """Find the steps that race with step `number`, and have it tried before them."""
        for key, mode in accesses:
            after_reads = False
            for user, its_mode, was_available in reversed(self._users.get(key, ())):
                if user == number or (mode == READ and its_mode == READ):
                    continue
                happens_before = clock >> user & 1
                if not happens_before:
                    if key == waits_for and not was_available:
                        continue  # it would have been blocked there, too
                    if its_mode == READ or not after_reads:
                        self._try_before(user, number, index, clock, accesses)
                    after_reads = True
                if its_mode == WRITE:
                    break

    def _try_before(
        self, race: int, number: int, index: int, clock: int, accesses: list[_Access]
    ) -> None:
        while self._nodes[race].goes_on and race:
            race -= 1
        past, node = self._past, self._nodes[race]
        # The steps that do not happen after step `race` can move before it, and then this step.
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
