"""A reduction that keeps to a bound: it remembers which states it has searched.

Dynamic partial-order reduction loses traces under a bound on preemptions: the one schedule that it
keeps of a trace may be over the bound while a sibling is not (Coons, Musuvathi and McKinley,
"Bounded partial-order reduction", OOPSLA 2013). So this search remembers every trace *prefix* where
it has been, with the thread that ran last and the cheapest way there, and never goes on from a
place where it has been as cheaply: Musuvathi and Qadeer, "Partial-order reduction for
context-bounded state exploration", MSR-TR-2007-12. What a schedule can still do depends on nothing
else, so nothing is lost.
"""

from __future__ import annotations

from bankkit.explorer.depth_first import Bound, DepthFirst, Step
from bankkit.explorer.locations import here
from bankkit.explorer.scheduler import READ, Op, Scheduler, Task


class BoundedSearch(DepthFirst):
    """One schedule of each trace within the bound."""

    # A trace prefix is known by a number that is made from its steps: each step's from its thread,
    # what it did, and the numbers of the steps that it comes right after (the thread's, the
    # object's, and those that woke it). With 64 bits the odds that any two of a million prefixes
    # share one are below 1 in 10 million.

    def __init__(self, scheduler: Scheduler, bound: Bound) -> None:
        super().__init__(scheduler, bound)
        self._threads: dict[int, int] = {}
        """The number of each thread's latest step; `_total` is their sum."""
        self._objects: dict[int, tuple[int, int]] = {}
        """Of each object: the latest step that wrote, and the sum of those that read since."""
        self._total = 0
        self._steps: list[int] = []
        self._visited: dict[tuple[int, int, int], int] = {}
        """(prefix, thread that could go on, early timeouts) → fewest preemptions."""
        self._leads_to: dict[tuple[int, int], tuple[int, int]] = {}
        """(prefix, thread that ran last) → the first two of the above."""
        self._about_to: dict[int, tuple[Op | None, ...]] = {}
        """prefix → what the threads were about to do there."""
        self.unseen = ""
        """The thread that did different things after equivalent schedules, if one did."""

    def advance(self) -> bool:
        path = self.path
        while path:
            step = path[-1]
            self._undo(step)
            while step.left:
                other = step.left.pop().instead_of(step)
                if self._is_new(other):
                    path[-1] = other
                    self._do(other)
                    self.fixed = len(path)
                    return True
            path.pop()
        return False

    def decide(self) -> Task | None:
        if self.scheduler.depth < self.fixed:
            self.scheduler.ended.clear()
        return super().decide()

    def _look(self) -> Step | None:
        ended = self.scheduler.ended
        if ended:
            if self.path:
                self._end(self.path[-1], ended)
            ended.clear()
        self._compare()
        step = super()._look()
        if self.unseen:
            return None
        path = self.path
        if path:
            last = path[-1].task
            can_go_on = step is not None and any(
                choice.task is last and not (choice.option and choice.op.fires)
                for choice in [step, *step.left]
            )
            place = self._total, last.index if can_go_on else -1
            self._leads_to[self._total, last.index] = place
            before = path[-1]
            preemptions = before.preemptions_before + before.preempts
            key = (*place, before.early_before + before.early)
            if self._visited.get(key, preemptions + 1) <= preemptions:
                self.cut = True
                return None
            self._visited[key] = preemptions
        if step is None:
            return None
        choices = [*step.left, step]
        for choice in choices:
            choice.identify()
            choice.number = self._number(choice)
        while choices:
            choice = choices.pop().instead_of(step)
            if self._is_new(choice):
                choice.left = choices
                self._do(choice)
                return choice
        self.cut = True
        return None

    def _compare(self) -> None:
        """All ways to a prefix must lead to the same place, or there is something to share that
        nobody told us of, and equivalent schedules are not.
        """
        tasks = self.scheduler.tasks
        now = tuple([task.op for task in tasks])
        before = self._about_to.setdefault(self._total, now)
        if before != now:
            # The last of them: the main thread only waits for the others to end.
            differ = [task for task, op in zip(tasks, before, strict=False) if task.op is not op]
            differs = differ[-1] if differ else tasks[-1]
            self.over = self.unseen = (
                f"{here(differs)} depends on something that threads share, and that is neither "
                f"tracked nor guarded"
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
        place = self._leads_to.get((total, index))
        if place is None:
            return True
        preemptions = step.preemptions_before + step.preempts
        key = (*place, step.early_before + step.early)
        return self._visited.get(key, preemptions + 1) > preemptions

    def _do(self, step: Step) -> None:
        index, key, number = step.task.index, step.key, step.number
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

    def _end(self, step: Step, ended: list[Task]) -> None:
        """The latest step ended these threads, which others can notice."""
        for task in ended:
            step.undo.insert(0, (task.key, self._objects.get(task.key)))
            self._objects[task.key] = step.number, 0

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
