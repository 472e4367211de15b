"""Small pieces of concurrent code with a typical mistake, each with its correction.

A tool that finds such bugs must fail the first and pass the second. Each specimen is one function
of `threading` and `right`; the mistake is where the function branches on `right`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bankkit.explorer.schedules.schedule import End


@dataclass(frozen=True)
class Specimen:
    """One mistake, and how the explorer finds it."""

    name: str
    code: Callable[[Any, bool], object]
    kind: End
    """How a schedule that shows the mistake ends."""
    preemptions: int
    """The fewest preemptions of such a schedule."""

    @property
    def broken(self) -> Callable[[Any], object]:
        """The scenario with the mistake."""
        return partial(self._scenario, right=False)

    @property
    def corrected(self) -> Callable[[Any], object]:
        """The scenario without the mistake."""
        return partial(self._scenario, right=True)

    def _scenario(self, threading: Any, right: bool) -> None:
        self.code(threading, right)


def together(threading: Any, *targets: Callable[[], object]) -> None:
    """Run each target in its own thread, and wait until all have ended."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
