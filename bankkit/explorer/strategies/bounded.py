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

from bankkit.explorer.locations import here
from bankkit.explorer.scheduler import READ, Op, Scheduler, Task, Use
from bankkit.explorer.strategies.depth_first import Bound, DepthFirst, Step

WHOLE = 1000
"""So many schedules run to their end even where they reach nothing new. If the search then notices
that it must not skip any, it has run each schedule once, as a search without reduction does."""


class BoundedSearch(DepthFirst):
    """Runs one schedule of each trace within the bound."""

    # A 64-bit number identifies a trace prefix: the sum of the numbers of each thread's latest
    # step. The number of a step is a hash of its thread, its operation, and the numbers of the
    # steps that it directly follows: the thread's, the object's, and those that woke it. The
    # probability that any two of a million prefixes share a number is below 1 in 10 million.

    def __init__(self, scheduler: Scheduler, bound: Bound) -> None:
        super().__init__(scheduler, bound)
        self._threads: dict[int, int] = {}
        """The number of each thread's latest step; `_total` is their sum."""
        self._objects: dict[int, tuple[int, int]] = {}
        """Each object's latest step that wrote, and the sum of the steps that have read since."""
        self._total = 0
        self._steps: list[int] = []
        self._visited: dict[tuple[int, int, int], int] = {}
        """(prefix, thread that can continue or -1, early timeouts) → fewest preemptions."""
        self._continue: dict[int, set[int]] = {}
        """prefix → the threads that can continue there, if the bound did not hide some."""
        self._leads_to: dict[tuple[int, int], int] = {}
        """(prefix, thread that ran last) → the second element of a key of `_visited`."""
        self._about_to: dict[int, tuple[Op | None, ...]] = {}
        """prefix → the next operation of each thread there."""
        self.unseen = ""
        """Which thread depends on state that the search cannot see; empty if none is known to. From
        then on, the search skips nothing and goes back to all that it has skipped."""
        self._skipped: list[tuple[Step | None, Step]] = []
        """The choices that were not new, each with the step before it."""
        self._whole = WHOLE
        """How many more schedules run to their end where they could be stopped."""
        self._runs_on = False
        """Whether the present one does."""

    def begin(self) -> None:
        """Forget the results of the schedule before."""
        super().begin()
        self._runs_on = False

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
                if self._is_new(other):
                    self._do(other)
                    path.append(other)
                    self.fixed = len(path)
                    return True
                self._skipped.append((before, other))
        return False

    def _go_back(self) -> bool:
        """Go to a choice that was skipped; False if there is none left."""
        if not self._skipped:
            return False
        before, step = self._skipped.pop()
        steps = [step]
        while before is not None:
            steps.append(before)
            before = before.before
        for step in steps:
            step.left = []
        self.path.extend(reversed(steps))
        self.fixed = len(self.path)
        return True

    def decide(self) -> Task | None:
        """Decide as `DepthFirst` does; the uses on the given path are already recorded."""
        if self.scheduler.depth < self.fixed:
            self.scheduler.also.clear()
        return super().decide()

    def _new_step(self) -> Step | None:
        if self.unseen:
            return super()._new_step()
        also = self.scheduler.also
        if also:
            if self.path:
                self._use(self.path[-1], also)
            also.clear()
        self._compare()
        step = super()._new_step()
        if self.unseen:
            return step
        path = self.path
        before = path[-1] if path else None
        if before is not None and not self._runs_on:
            last = before.task
            can_continue = {
                choice.task.key
                for choice in ([step, *step.left] if step is not None else ())
                if not (choice.option and choice.op.fires)
            }
            preemptions = before.preemptions_before + before.preempts
            place = last.key if last.key in can_continue else -1
            if place == -1 or preemptions != self._max_preemptions:
                self._continue[self._total] = can_continue
            else:
                self._leads_to[self._total, last.key] = place
            key = self._total, place, before.early_before + before.early
            if self._visited.get(key, preemptions + 1) <= preemptions:
                self.cut = True
                if step is not None:
                    self._skipped.append((before, step))
                    self._skipped += [(before, each.instead_of(step)) for each in step.left]
                return None
            self._visited[key] = preemptions
        if step is None:
            return None
        choices = [*step.left, step]
        first = len(self._skipped)
        for choice in choices:
            choice.identify()
            choice.number = self._number(choice)
        while choices:
            choice = choices.pop().instead_of(step)
            if self._is_new(choice) and not self._runs_on:
                choice.left = choices
                self._do(choice)
                return choice
            self._skipped.append((before, choice))
        if self._whole or self._runs_on:
            self._whole -= not self._runs_on
            self._runs_on = True
            _, choice = self._skipped.pop(first)
            choice.left = []
            self._do(choice)
            return choice
        self.cut = True
        return None

    def _compare(self) -> None:
        """Check that every way to this prefix leads to the same next operations.

        If not, threads share state that the search cannot see, and it must not skip schedules.
        """
        tasks = self.scheduler.tasks
        if self.scheduler.nested:
            tasks = sorted(tasks, key=lambda task: task.key)
        now = tuple([task.op for task in tasks])
        before = self._about_to.setdefault(self._total, now)
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

    def _is_new(self, step: Step) -> bool:
        index = step.task.index
        total = self._total - self._threads.get(index, 0) + step.number
        last = step.task.key
        can_continue = self._continue.get(total)
        if can_continue is not None:
            place: int | None = last if last in can_continue else -1
        else:
            place = self._leads_to.get((total, last))
        if place is None:
            return True
        preemptions = step.preemptions_before + step.preempts
        key = total, place, step.early_before + step.early
        return self._visited.get(key, preemptions + 1) > preemptions

    def _do(self, step: Step) -> None:
        index, key, number = step.task.index, step.key, step.number
        step.before = self.path[-1] if self.path else None
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
