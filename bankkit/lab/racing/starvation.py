"""Starvation at one account: how long readers and writers wait, under each policy of the lock.

    rush = {policy: lab.measure_starvation(policy) for policy in ("readers", "writers", "fair")}
    lab.waits(rush)

Clients at full speed may not starve anybody, because at times all of them are outside the lock.
Here that cannot happen: a reader keeps the lock until the next reader has it or waits for it, and a
writer until the next writer waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from bankkit.lab.drawing import figures, style
from bankkit.lab.drawing.figures import INK, PALE, QUIET, Picture, duration
from bankkit.lab.recording.history import History
from bankkit.lab.recording.recorder import Recording, record
from bankkit.launch.bank import Bank
from bankkit.locks import POLICIES, LockStatistics
from bankkit.observer import Observer, ServedCall
from bankkit.pb import bank_pb2
from bankkit.store import Snapshot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCOUNT = "alice"
READERS, WRITERS = 4, 2
READS, DEPOSITS = 60, 20
HOLD_MS = 3.0
LOOK_SECONDS = 0.0005
LIMIT_SECONDS = 2.0
"""Nobody stays longer for a successor."""

MIN_MS = 0.01
"""Shorter waits are drawn here, at the left edge."""

Mode = Literal["read", "write"]
_LOOKS: dict[Mode, tuple[str, str, str]] = {
    "read": ("reads", style.SKY_BLUE, "o"),
    "write": ("deposits", style.ORANGE, "X"),
}


def measure_starvation(policy: str) -> History:
    """Four clients read 60 times and two deposit 20 times, without a gap, at a bank of their own.

    Each call holds the lock for at least 3 ms, and until the next one of its kind has come. One
    reader starts.
    """
    bank = Bank("read-write", policy=policy, threads=READERS + WRITERS + 1)
    with bank, record(bank) as recording:
        bank.client.create_account(ACCOUNT)
        relay = _Relay(recording, lambda: bank.server.teller.locks.statistics(ACCOUNT))
        with bank.server.observe(relay):
            question = bank_pb2.AccountRequest(account_id=ACCOUNT)
            deposit = bank_pb2.DepositRequest(account_id=ACCOUNT, amount=100)

            def read(name: str) -> None:
                stub = recording.stub_for(name)
                while relay.take("reader"):
                    stub.GetBalance(question)

            def write(name: str) -> None:
                stub = recording.stub_for(name)
                while relay.take("writer"):
                    stub.Deposit(deposit)

            threads = [_started(read, "reader 1")]
            relay.wait_for(lambda found: found.readers > 0)
            threads += [_started(write, f"writer {n + 1}") for n in range(WRITERS)]
            relay.wait_for(lambda found: (found.waiting_writers or 0) > 0)
            relay.everybody_is_here()
            threads += [_started(read, f"reader {n}") for n in range(2, READERS + 1)]
            for thread in threads:
                thread.join()
    return recording.history


def _started(do: Callable[[str], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=do, args=(name,), name=f"rush {name}", daemon=True)
    thread.start()
    return thread


class _Relay(Observer):
    """Keeps whoever holds the lock inside until somebody of the same kind comes after it."""

    def __init__(
        self, recording: Recording, statistics: Callable[[], LockStatistics | None]
    ) -> None:
        self._recording = recording
        self._statistics = statistics
        self._state = threading.Lock()
        self._to_begin = {"reader": READS, "writer": DEPOSITS}
        self._to_come = dict(self._to_begin)
        self._staying = 0
        self._here = threading.Event()

    def take(self, kind: str) -> bool:
        """Claim one call of this kind. False if all of them are taken."""
        with self._state:
            self._to_begin[kind] -= 1
            return self._to_begin[kind] >= 0

    def everybody_is_here(self) -> None:
        """The first one may leave."""
        self._here.set()

    def wait_for(self, condition: Callable[[LockStatistics], bool]) -> None:
        limit = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < limit:
            found = self._statistics()
            if found and condition(found):
                return
            time.sleep(LOOK_SECONDS)

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        """Dwells in the server's thread, with the lock held."""
        kind = self._recording.client_of(call).partition(" ")[0]
        with self._state:
            self._to_come[kind] -= 1
            self._staying += kind == "reader"
        time.sleep(HOLD_MS / 1000)
        self._here.wait(LIMIT_SECONDS)
        limit = time.monotonic() + LIMIT_SECONDS
        while not self._may_leave(kind) and time.monotonic() < limit:
            time.sleep(LOOK_SECONDS)

    def _may_leave(self, kind: str) -> bool:
        found = self._statistics()
        with self._state:
            if kind == "writer":
                return not self._to_come[kind] or bool(found and found.waiting_writers)
            # A reader that stays is counted: of two readers that see each other, one remains.
            waited_for = bool(found and found.waiting_readers)
            if self._to_come[kind] and self._staying < 2 and not waited_for:
                return False
            self._staying -= 1
            return True


def phases(history: History) -> list[tuple[Mode, int]]:
    """The phases in the order in which they came: so many reads, then so many writes, and so on."""
    granted: list[Mode] = [
        "read" if event.note == "read" else "write"
        for event in history.events
        if event.kind == "granted"
    ]
    return [(mode, len(list(group))) for mode, group in groupby(granted)]


def waits(rush: Mapping[str, History]) -> Picture:
    """Draw how long each read and each deposit waited for the lock, a strip for each policy.

    ValueError for a policy that there is not.
    """
    unknown = sorted(set(rush) - set(POLICIES))
    if unknown or not rush:
        raise ValueError(f"There is no policy {', '.join(unknown) or 'here'} to draw.")
    found = {policy: {mode: each.waits(mode) for mode in _LOOKS} for policy, each in rush.items()}
    with figures.plain_style():
        figure = figures.canvas(8.0, 1.2 + 1.05 * len(found))
        height = figure.get_figheight()
        axes = figure.add_axes((0.2, 0.62 / height, 0.68, 1 - 1.22 / height))
        longest = max(max(each) for waits in found.values() for each in waits.values())
        _draw(axes, found, longest / 1e6)
        figures.title(figure, _finding(found))
    return Picture(figure, _line(rush))


def _draw(axes: Axes, found: Mapping[str, dict[Mode, list[int]]], longest_ms: float) -> None:
    for number, waits in enumerate(found.values()):
        if number % 2 == 0:
            axes.axhspan(2 * number - 0.5, 2 * number + 1.5, color=PALE, zorder=0)
        for lane, (mode, (_, colour, marker)) in enumerate(_LOOKS.items(), 2 * number):
            spread = [lane + 0.22 * ((7 * i) % 5 - 2) / 2 for i in range(len(waits[mode]))]
            axes.scatter(
                [max(wait / 1e6, MIN_MS) for wait in waits[mode]], spread, s=34, marker=marker,
                color=colour, edgecolor=INK, linewidth=0.5, alpha=0.9, zorder=3,
            )  # fmt: skip
            axes.text(
                1.015, lane, duration(max(waits[mode])), transform=axes.get_yaxis_transform(),
                va="center", fontsize=9.5, fontweight="bold",
            )  # fmt: skip
    axes.text(
        1.015, -0.7, "longest", transform=axes.get_yaxis_transform(), fontsize=9.5, color=QUIET
    )
    axes.set_xscale("log")
    axes.set_xlim(MIN_MS * 0.8, longest_ms * 1.6)
    ticks = [each for each in (0.01, 0.1, 1, 10, 100, 1000) if each <= longest_ms * 1.6]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#D0D0D0", linewidth=0.6, zorder=1)
    axes.set_xlabel("waited for the lock (ms), each mark one call", fontsize=9.5)
    names = [f"{policy} · {words}" for policy in found for words, _, _ in _LOOKS.values()]
    axes.set_yticks(range(len(names)), names, fontsize=9.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _finding(found: Mapping[str, dict[Mode, list[int]]]) -> str:
    longest = {
        policy: duration(max(wait for each in waits.values() for wait in each))
        for policy, waits in found.items()
    }
    said = ", ".join(f"{policy} {wait}" for policy, wait in longest.items())
    return f"Longest wait by policy: {said}"


def _line(rush: Mapping[str, History]) -> str:
    """Which kind had to wait for all of the other: the same on every machine."""
    said = []
    for policy, history in rush.items():
        order = [mode for mode, _ in phases(history)]
        if order == ["read", "write"]:
            said.append(f"under {policy} no deposit got in before the last read")
        elif order == ["read", "write", "read"]:
            said.append(f"under {policy} no waiting read got in before the last deposit")
        else:
            said.append(f"under {policy} reads and deposits took turns")
    rounds = f"A rush of {READS} reads and {DEPOSITS} deposits"
    return f"{rounds}: {'; '.join(said)}."
