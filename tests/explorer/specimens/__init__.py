"""Small broken pieces of concurrent code, each as it is usually written, with its corrected twin.

What a tool that claims to find such bugs has to tell apart. Each is one function of `threading` and
`right`: where it branches on `right` sits the mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bankkit.explorer.schedule import End


@dataclass(frozen=True)
class Specimen:
    """One mistake."""

    name: str
    code: Callable[[Any, bool], object]
    kind: End
    """How the schedule ends that shows it."""
    preemptions: int
    """The fewest in such a schedule."""

    @property
    def broken(self) -> Callable[[Any], object]:
        return partial(self._scenario, right=False)

    @property
    def corrected(self) -> Callable[[Any], object]:
        return partial(self._scenario, right=True)

    def _scenario(self, threading: Any, right: bool) -> None:
        self.code(threading, right)


def together(threading: Any, *targets: Callable[[], object]) -> None:
    """Run these at the same time, to their ends."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
