"""When a read–write lock is faster than a mutex and when it is slower, measured on this machine.

Threads acquire one lock repeatedly, to read or to write. We compare how many operations per second
they complete with the bank's read–write lock and with a `threading.Lock`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, QUIET, Picture
from bankkit.lab.drawing.progress_bar import ProgressBar
from bankkit.locks import ReadWriteLock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = (0.0, 0.5, 0.8, 0.95, 1.0)
"""Shares of reads among all operations."""

HOLD_MS = 2.0
THREADS = 6
TRIES = 3
"""Tries per measurement. The best one counts, because a disturbance can only slow a try down."""

TRY_SECONDS = 0.1
ROUNDS = 5000


@dataclass(frozen=True)
class Point:
    """Operations per second with either lock, for the same work on the same machine."""

    hold_ms: float
    share: float
    mutex: float
    read_write: float

    @property
    def ratio(self) -> float:
        """More than 1 if the read–write lock wins."""
        return self.read_write / self.mutex


class Tradeoff:
    """The measured points. A notebook shows them as a picture."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.points = tuple(points)

    def ratio(self, hold_ms: float, share: float) -> float:
        """The read–write lock's operations per second divided by the mutex's.

        Raises KeyError for a combination that was not measured.
        """
        return {(p.hold_ms, p.share): p.ratio for p in self.points}[hold_ms, share]

    @cached_property
    def picture(self) -> Picture:
        """The ratio by the share of reads, with one line for each hold time."""
        with figures.plain_style():
            figure = figures.canvas(8.0, 4.3)
            axes = figure.add_axes((0.1, 0.13, 0.87, 0.72))
            _draw(axes, self.points)
            figures.title(figure, _finding(*self._ends()))
        return Picture(figure, _line(*self._ends()))

    def _ends(self) -> tuple[float, float]:
        """The ratio for reads only with the long hold, and the best ratio with only an addition."""
        return self.ratio(HOLD_MS, 1.0), max(p.ratio for p in self.points if not p.hold_ms)

    def __repr__(self) -> str:
        return self.picture.line

    def _ipython_display_(self) -> None:
        self.picture._ipython_display_()


def tradeoff() -> Tradeoff:
    """Measure for some seconds how much faster or slower the read–write lock is than a mutex.

    One part has six threads that hold the lock for 2 ms, as for a query to a remote database. The
    other part has a single thread that only adds 1.
    """
    with ProgressBar("measuring", 2 * len(SHARES) * TRIES) as bar:
        return Tradeoff(measured(bar.update))


def measured(on_progress: Callable[[int], object] = lambda done: None) -> Iterator[Point]:
    """Measure a point for each hold time and each share of reads, in about four seconds.

    Calls `on_progress` with the number of finished tries.
    """
    done = 0
    for hold_ms in (HOLD_MS, 0.0):
        rate = _rate_with_holds if hold_ms else _rate_of_additions
        for share in SHARES:
            mutex = read_write = 0.0
            for _ in range(TRIES):  # in turns, so that disturbances hit both
                mutex = max(mutex, rate(_MutexForBoth(threading.Lock()), share))
                read_write = max(read_write, rate(ReadWriteLock(), share))
                done += 1
                on_progress(done)
            yield Point(hold_ms, share, mutex, read_write)


def _rate_with_holds(lock: Any, share: float) -> float:
    """Operations per second of six threads that each hold the lock for `HOLD_MS`."""
    counts = [0] * THREADS
    start, stop = threading.Barrier(THREADS + 1), threading.Event()

    def work(number: int) -> None:
        start.wait()
        for acquire, release in itertools.cycle(_operations(lock, share, number)):
            if stop.is_set():
                return
            acquire()
            time.sleep(HOLD_MS / 1000)
            release()
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(THREADS)]
    for worker in workers:
        worker.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(TRY_SECONDS)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def _rate_of_additions(lock: Any, share: float) -> float:
    """Operations per second of CPU time, of a single thread that only adds 1 in the lock."""
    total = 0
    operations = _operations(lock, share, 0)
    began = time.thread_time()  # excludes the time of other programs
    for acquire, release in itertools.islice(itertools.cycle(operations), ROUNDS):
        acquire()
        total += 1
        release()
    return total / (time.thread_time() - began)


def _operations(
    lock: Any, share: float, seed: int
) -> list[tuple[Callable[[], object], Callable[[], object]]]:
    """A hundred pairs of methods, in a random order that is the same in every run."""
    reads = round(share * 100)
    found = [(lock.acquire_read, lock.release_read)] * reads
    found += [(lock.acquire_write, lock.release_write)] * (100 - reads)
    Random(seed).shuffle(found)
    return found


class _MutexForBoth:
    """A mutex under the four method names, without a wrapper call that would cost time."""

    def __init__(self, mutex: Any) -> None:
        self.acquire_read = self.acquire_write = mutex.acquire
        self.release_read = self.release_write = mutex.release


def _draw(axes: Axes, points: tuple[Point, ...]) -> None:
    lowest = min(point.ratio for point in points)
    highest = max(point.ratio for point in points)
    floor, ceiling = min(lowest / 1.8, 0.4), max(highest * 1.8, 4)
    axes.axhspan(1, ceiling, color=style.SKY_BLUE, alpha=0.13, zorder=0)
    axes.axhline(1, color=INK, linewidth=1.2, zorder=2)
    corners = ((ceiling / 1.08, "top", "read–write lock"), (floor * 1.08, "bottom", "mutex"))
    for height, edge, winner in corners:
        axes.text(-0.17, height, f"the {winner} is faster", va=edge, fontsize=10, color=QUIET)
    looks = {
        HOLD_MS: (f"lock held for {HOLD_MS:g} ms", style.BLUE, "o", "-", 10),
        0.0: ("lock held for one addition", style.VERMILLION, "s", "--", -17),
    }
    for hold_ms, (words, colour, marker, dashes, offset) in looks.items():
        mine = [point for point in points if point.hold_ms == hold_ms]
        axes.plot(
            range(len(mine)), [point.ratio for point in mine], color=colour, marker=marker,
            linestyle=dashes, markersize=8, markeredgecolor=INK, linewidth=2, label=words, zorder=3,
        )  # fmt: skip
        for place, point in enumerate(mine):
            axes.annotate(
                f"×{point.ratio:.2g}", (place, point.ratio), (0, offset),
                textcoords="offset points", ha="center", fontsize=9.5, zorder=4,
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(floor, ceiling)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if floor < t < ceiling]
    axes.set_yticks(ticks, [f"×{tick:g}" for tick in ticks], fontsize=9.5)
    axes.minorticks_off()
    axes.set_xticks(range(len(SHARES)), [f"{share * 100:g} %" for share in SHARES], fontsize=9.5)
    axes.set_xlim(-0.2, len(SHARES) - 0.8)
    axes.set_xlabel("share of reads", fontsize=9.5)
    axes.set_ylabel("operations per second (mutex = 1)", fontsize=9.5)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=9.5, frameon=False,
        borderaxespad=0.1,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)


def _finding(best: float, quick: float) -> str:
    return (
        f"A read–write lock is ×{best:.2g} as fast for {HOLD_MS:g} ms reads, "
        f"at best ×{quick:.2g} for additions"
    )


def _line(best: float, quick: float) -> str:
    """The result in words. It gives no numbers, so usually it is the same on every machine."""
    more = "completed more" if best > 1 else "did not complete more"
    fewer = "completed fewer" if quick < 1 else "did not complete fewer"
    return (
        f"When threads only read and held the lock for {HOLD_MS:g} ms, they {more} operations per "
        "second with the read–write lock than with the mutex. When a thread held the lock only to "
        f"add 1, it {fewer} at every share of reads."
    )
