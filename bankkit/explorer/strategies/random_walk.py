"""Random schedules, in which each step is made by any thread with the same probability."""

from __future__ import annotations

from bankkit.explorer.strategies.strategy import Step, Strategy, of_one_thread, tasks_of


class RandomWalk(Strategy):
    """Draws a thread at each step, and then one of its options."""

    def choose(self, choices: list[Step]) -> Step:
        """Any thread, and any of its options."""
        task = self.random.choice(tasks_of(choices))
        return self.random.choice(of_one_thread(choices, task))
