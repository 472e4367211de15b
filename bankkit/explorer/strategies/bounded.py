"""A reduction that respects a bound: it remembers which states it has searched.

Dynamic partial-order reduction loses traces under a bound on preemptions: it keeps one schedule of
a trace, and that schedule may exceed the bound while an equivalent one does not (Coons, Musuvathi
and McKinley, "Bounded partial-order reduction", OOPSLA 2013). So this search remembers every trace
*prefix* that it has reached, with the thread that ran last and the fewest preemptions that led
there. It never continues from a place that it has reached before at the same cost or less:
Musuvathi and Qadeer, "Partial-order reduction for context-bounded state exploration",
MSR-TR-2007-12. The rest of a schedule depends on nothing else, so no trace is lost.
"""

from __future__ import annotations

from typing import Any

from bankkit.explorer.engine.scheduler import READ, Op, Scheduler, Task, Use
from bankkit.explorer.source.locations import here
from bankkit.explorer.strategies.depth_first import DepthFirst
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy

WHOLE = 1000
"""So many schedules run to their end even where they reach nothing new. If the search then notices
that it must not skip any, it has run each schedule once, as a search without reduction does."""


class BoundedSearch(DepthFirst):
    """Runs one schedule of each trace within the bound."""

    # A 64-bit number identifies a trace prefix: the sum of the numbers of each thread's latest
    # step. The number of a step is a hash of its thread, its operation, and the numbers of the
    # steps that it directly follows: the thread's, the object's, and those that woke it. The
    # probability that any two of a million prefixes share a number is below 1 in 10 million.

    def __init__(self, scheduler: Scheduler, bound: Bound, *, deepens: bool = False) -> None:
        super().__init__(scheduler, bound)
        self._deepens = deepens
        """Whether the bound may be raised, so that what it excludes is kept for later."""
        self._threads: dict[int, int] = {}
        """The number of each thread's latest step; `_total` is their sum."""
        self._objects: dict[int, tuple[int, int]] = {}
        """Each object's latest step that wrote, and the sum of the steps that have read since."""
        self._total = 0
        self._steps: list[int] = []
        self._visited: dict[int, int] = {}
        """A place → the fewest preemptions. A place is a hash of a prefix, the thread that can
        continue there or -1, and the number of early timeouts."""
        self._continue: dict[int, tuple[int, ...]] = {}
        """prefix → the threads that can continue there."""
        self._about_to: dict[int, tuple[Op | None, ...]] = {}
        """prefix → the next operation of each thread there."""
        self._equal: dict[Any, Any] = {}
        """One tuple for all those that are equal, because most of them are."""
        self.unseen = ""
        """Which thread depends on state that the search cannot see; empty if none is known to. From
        then on, the search skips nothing and goes back to all that it has skipped."""
        self._skipped: list[tuple[Step | None, Step]] = []
        """The choices that were not new, each with the step before it."""
        self._later: list[tuple[Step | None, Step]] = []
        """The choices that the bound excludes, each with the step before it. The `number` of such a
        choice is that of the prefix to which it leads."""
        self._now: list[tuple[Step | None, Step]] = []
        """Those that a smaller bound excluded, and that are still to be tried."""
        self._rebuilds = 0
        """How many steps of the path have yet to be recorded again."""
        self.whole = WHOLE
        """How many more schedules run to their end where they could be stopped."""
        self._runs_on = False
        """Whether the present one does."""

    @property
    def places(self) -> int:
        """How many places the search remembers. Each takes up to a kilobyte."""
        return len(self._visited)

    def begin(self) -> None:
        """Forget the results of the schedule before."""
        super().begin()
        self._runs_on = False
        self.wants_hidden = True

    def advance(self) -> bool:
        """Go back to the last untried choice that leads to a new place; False if there is none."""
        path = self.path
        if self.unseen:
            return super().advance() or self._go_back()
        while path:
            step = path.pop()
            before = path[-1] if path else None
            self._undo(step)
            while step.left:
                other = step.left.pop().instead_of(step)
                if self._is_new(other, self._total_after(other)):
                    self._do(other, before)
                    path.append(other)
                    self.fixed = len(path)
                    return True
                self._skipped.append((before, other))
        while self._now:
            before, step = self._now.pop()
            if self._is_new(step, step.number):
                self._go_to(before, step)
                self._rebuilds = self.fixed
                return True
        return False

    def _go_back(self) -> bool:
        """Go to a choice that was skipped; False if there is none left."""
        if not self._skipped:
            return False
        self._go_to(*self._skipped.pop())
        return True

    def _go_to(self, before: Step | None, step: Step) -> None:
        """Replace the path, which is empty, by the one that ends with these two steps."""
        steps = [step]
        while before is not None:
            steps.append(before)
            before = before.before
        for step in steps:
            step.left = []
        self.path.extend(reversed(steps))
        self.fixed = len(self.path)

    def deepen(self) -> bool:
        """Raise the bound by one, at the end of the search; False if there is nothing more to run.

        The search continues with the choices that the smaller bound has excluded. It must have been
        made with `deepens`, and must not have found any `unseen` state: then it has skipped
        nothing, and what it has kept for later is not all.
        """
        if not self._later:
            return False
        self._raise_bound()
        self._now, self._later = self._later, []
        return self.advance()

    def decide(self) -> Task | None:
        """Decide as `DepthFirst` does, and record what is not recorded of the given path."""
        if self._rebuilds:
            self._rebuild(self.scheduler.depth)
        return Strategy.decide(self)

    def _rebuild(self, depth: int) -> None:
        """Record the step at this depth of the given path, from which the search had gone back."""
        before, step = self.path[depth - 1] if depth else None, self.path[depth]
        if before is not None and self.scheduler.also:
            self._use(before, self.scheduler.also)
        self._rebuilds -= 1
        if not self._rebuilds:
            step.number = self._number(step)
        self._do(step, before)

    def _new_step(self) -> Step | None:
        if self.unseen:
            return super()._new_step()
        self._complete()
        step = super()._new_step()
        if self.unseen:
            return step
        path = self.path
        before = path[-1] if path else None
        if before is not None and not self._runs_on:
            last = before.task
            hidden = self.hidden or []
            can_continue = tuple(
                [
                    choice.task.key
                    for choice in ([step, *step.left, *hidden] if step is not None else ())
                    if not (choice.option and choice.op.fires)
                ]
            )
            self._continue[self._total] = self._equal.setdefault(can_continue, can_continue)
            preemptions = before.preemptions_before + before.preempts
            place = last.key if last.key in can_continue else -1
            key = hash((self._total, place, before.early_before + before.early))
            if self._visited.get(key, preemptions + 1) <= preemptions:
                self.cut = True
                if step is not None:
                    self._skipped.append((before, step))
                    self._skipped += [(before, each.instead_of(step)) for each in step.left]
                return None
            self._visited[key] = preemptions
            if self._deepens and step is not None:
                self._put_off(before, step, hidden)
        if step is None:
            return None
        if self._runs_on:
            return self._do_without_others(step, before)
        choices = [*step.left, step]
        first = len(self._skipped)
        for choice in choices:
            choice.identify()
            choice.number = self._number(choice)
        while choices:
            choice = choices.pop().instead_of(step)
            if self._is_new(choice, self._total_after(choice)):
                choice.left = choices
                self._do(choice, before)
                return choice
            self._skipped.append((before, choice))
        if self.whole:
            self.whole -= 1
            self._runs_on = True
            self.wants_hidden = False
            del self._skipped[first:]
            return self._do_without_others(step, before)
        self.cut = True
        return None

    def _do_without_others(self, step: Step, before: Step | None) -> Step:
        """Take this step in a schedule that reaches nothing new, and skip its alternatives."""
        if step.left:
            self._skipped += [(before, each.instead_of(step)) for each in reversed(step.left)]
            step.left = []
        step.identify()
        step.number = self._number(step)
        self._do(step, before)
        return step

    def _complete(self) -> None:
        """Record what the path's last step did while it ran."""
        also = self.scheduler.also
        if also:
            if self.path:
                self._use(self.path[-1], also)
            also.clear()
        self._compare()

    def enter(self, step: Step) -> None:
        """Record a step that the search did not choose."""
        if not self.unseen:
            self._complete()
            step.identify()
            step.number = self._number(step)
            self._do(step, self.path[-1] if self.path else None)

    def leave(self, step: Step) -> None:
        """Forget a step that is not made after all."""
        if not self.unseen:
            self._undo(step)

    @property
    def prefixes_seen(self) -> dict[int, int]:
        """Each prefix with a number for the next operations there, to compare with a search."""
        return {
            total: hash(tuple(-1 if op is None else op.code for op in ops))
            for total, ops in self._about_to.items()
        }

    def _compare(self) -> None:
        """Check that every way to this prefix leads to the same next operations.

        If not, threads share state that the search cannot see, and it must not skip schedules.
        """
        tasks = self.scheduler.tasks
        if self.scheduler.nested:
            tasks = sorted(tasks, key=lambda task: task.key)
        now = tuple([task.op for task in tasks])
        before = self._about_to.setdefault(self._total, self._equal.setdefault(now, now))
        if before != now:
            # Name the last one: the main thread only waits for the others to end.
            differ = [task for task, op in zip(tasks, before, strict=False) if task.op is not op]
            differs = differ[-1] if differ else tasks[-1]
            self.unseen = (
                f"{here(differs)} depends on state that threads share but that is neither tracked "
                f"nor guarded by a lock"
            )

    def _number(self, choice: Step) -> int:
        task = choice.task
        woken = sum(self._steps[past] for past in task.past if past >= 0)
        wrote, have_read = self._objects.get(choice.key, (0, 0)) if choice.key else (0, 0)
        if choice.op.mode(choice.option) == READ:
            have_read = 0
        return hash((
            task.key, self._threads.get(task.index, 0), choice.op.code, choice.option, choice.key,
            wrote, have_read, woken,
        ))  # fmt: skip

    def _total_after(self, step: Step) -> int:
        """The prefix to which a step leads."""
        return self._total - self._threads.get(step.task.index, 0) + step.number

    def _is_new(self, step: Step, total: int) -> bool:
        """Whether the step leads to a new place; `total` is the prefix to which it leads."""
        can_continue = self._continue.get(total)
        if can_continue is None:
            return True
        last = step.task.key
        place = last if last in can_continue else -1
        preemptions = step.preemptions_before + step.preempts
        key = hash((total, place, step.early_before + step.early))
        return self._visited.get(key, preemptions + 1) > preemptions

    def _put_off(self, before: Step, step: Step, hidden: list[Step]) -> None:
        """Keep these alternatives to `step`, which the bound excludes, for a larger bound."""
        for choice in hidden:
            choice = choice.instead_of(step)
            choice.preempts = 1
            choice.identify()
            choice.number = self._number(choice)
            total = self._total_after(choice)
            if self._is_new(choice, total):
                choice.number = total
                self._later.append((before, choice))

    def _do(self, step: Step, before: Step | None) -> None:
        """Record a step and the one before it on the path."""
        index, key, number = step.task.index, step.key, step.number
        step.before = before
        thread = self._threads.get(index, 0)
        step.undo = [(key, self._objects.get(key)), thread]
        self._threads[index] = number
        self._total += number - thread
        if key:
            wrote, have_read = self._objects.get(key, (0, 0))
            if step.op.mode(step.option) == READ:
                self._objects[key] = wrote, have_read + number
            else:
                self._objects[key] = number, 0
        self._steps.append(number)

    def _use(self, step: Step, also: list[Use]) -> None:
        """Record what the latest step has used beside its target."""
        for key, mode, _ in also:
            state = self._objects.get(key)
            step.undo.insert(0, (key, state))
            wrote, have_read = state or (0, 0)
            # Steps that write beside their target do not see each other: the next step that reads
            # here must see all of them, in whichever order they came.
            reads = wrote, have_read + step.number
            self._objects[key] = reads if mode == READ else (wrote + step.number, 0)

    def _undo(self, step: Step) -> None:
        *objects, thread = step.undo
        for key, state in objects:
            if state is None:
                self._objects.pop(key, None)
            else:
                self._objects[key] = state
        index = step.task.index
        self._total += thread - self._threads[index]
        self._threads[index] = thread
        self._steps.pop()
