"""Random schedules in which all orders of the steps that matter are about equally probable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bankkit.explorer.engine.scheduler import Scheduler, Task
from bankkit.explorer.strategies.strategy import Bound, Step, Strategy, of_one_thread, tasks_of


class Surw(Strategy):
    """Selectively uniform random walk: draws threads by how many such steps they have left.

    Zhao, Wolff, Mathur and Roychoudhury, "Selectively uniform concurrency testing", ASPLOS 2025.
    The steps that matter in a schedule are those on one object, which is drawn from the objects
    that several threads use. The thread that makes the next of these steps is drawn with a
    probability in proportion to the number of them that it and the threads it will start have
    left; until it does, the others wait before theirs. All other steps are a plain random walk.
    The numbers are those of the schedule before; the first schedule only counts.
    """

    def __init__(self, scheduler: Scheduler, bound: Bound, seed: int = 0) -> None:
        super().__init__(scheduler, bound, seed)
        self._made: Counter[tuple[int, int]] = Counter()
        """How many steps each thread has made on each object: both are given by their keys."""
        self._left: Counter[int] = Counter()
        """How many steps that matter each thread has left, by the thread's key."""
        self._object = 0
        """The key of the object whose steps matter; 0 for none."""
        self._intended: int | None = None
        """The key of the thread that is to make the next of them; None if it is to be drawn."""
        self._started = 0

    def begin(self) -> None:
        """Forget the path, and draw the object whose steps matter."""
        super().begin()
        users = Counter(key for _, key in self._made)
        common = sorted(key for key, number in users.items() if key and number > 1)
        self._object = self.random.choice(common) if common else 0
        self._left = Counter(
            {thread: number for (thread, key), number in self._made.items() if key == self._object}
        )
        self._made = Counter()
        self._intended = None
        self._started = 0

    def choose(self, choices: list[Step]) -> Step:
        """A step of the intended thread that matters, or any that does not matter."""
        for choice in choices:
            choice.identify()
        mattering = {choice.task for choice in choices if choice.key == self._object != 0}
        for task in mattering:
            self._left[task.key] = max(self._left[task.key], 1)
        tasks = self.scheduler.tasks
        if self._started != len(tasks):  # a new thread may be the one to be drawn
            self._started = len(tasks)
            self._intended = None
        if self._intended is None:
            self._intended = self._drawn(task for task in tasks if not task.done)
        possible = [
            task
            for task in tasks_of(choices)
            if task not in mattering or task.key == self._intended
        ]
        if not possible:  # the intended thread is blocked
            self._intended = self._drawn(mattering)
            possible = [task for task in mattering if task.key == self._intended]
        task = self.random.choice(possible)
        step = self.random.choice(of_one_thread(choices, task))
        self._made[task.key, step.key] += 1
        if step.key == self._object != 0:
            self._left[task.key] -= 1
            self._intended = None
        return step

    def _drawn(self, tasks: Iterable[Task]) -> int | None:
        """The key of one of the threads, drawn by what it has left; None if none has any."""
        weights = {task.key: self._weight(task) for task in tasks}
        keys = sorted(key for key, weight in weights.items() if weight)
        if not keys:
            return None
        (key,) = self.random.choices(keys, [weights[key] for key in keys])
        return key

    def _weight(self, task: Task) -> int:
        """How many steps that matter this thread, and those that it has yet to start, have left."""
        weight = max(self._left[task.key], 0)
        started = {each.key for each in self.scheduler.tasks}
        for key, left in self._left.items():
            if key not in started and left > 0:
                ancestor = key
                while ancestor and ancestor not in started:
                    ancestor >>= 20  # the key of a thread begins with that of its parent
                if ancestor == task.key:
                    weight += left
        return weight
