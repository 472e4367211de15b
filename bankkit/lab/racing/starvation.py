"""Starvation at one account: how long readers and writers wait under each policy of the lock.

    rush = {policy: lab.measure_starvation(policy) for policy in ("readers", "writers", "fair")}
    lab.waits(rush)

Clients at full speed may starve no other client, because sometimes none of them holds the lock.
Here a reader keeps the lock until another reader holds it or waits for it, and a writer keeps it
until another writer waits.
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
"""The longest time that a call keeps the lock while it waits for the next call."""

MIN_MS = 0.01
"""Shorter waits are drawn at this time, at the left edge."""

Mode = Literal["read", "write"]
_LOOKS: dict[Mode, tuple[str, str, str]] = {
    "read": ("reads", style.SKY_BLUE, "o"),
    "write": ("deposits", style.ORANGE, "X"),
}


def measure_starvation(policy: str) -> History:
    """Let four clients make 60 reads and two make 20 deposits, without a gap, at a new bank.

    One reader starts. Each call holds the lock for at least 3 ms, and until the next call of its
    kind holds the lock or waits for it.
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
            relay.release_first()
            threads += [_started(read, f"reader {n}") for n in range(2, READERS + 1)]
            for thread in threads:
                thread.join()
    return recording.history


def _started(do: Callable[[str], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=do, args=(name,), name=f"rush {name}", daemon=True)
    thread.start()
    return thread


class _Relay(Observer):
    """Makes each call keep the lock until the next call of the same kind has come."""

    def __init__(
        self, recording: Recording, statistics: Callable[[], LockStatistics | None]
    ) -> None:
        self._recording = recording
        self._statistics = statistics
        self._state = threading.Lock()
        self._unclaimed = {"reader": READS, "writer": DEPOSITS}
        self._not_entered = dict(self._unclaimed)
        self._readers_inside = 0
        self._first_may_leave = threading.Event()

    def take(self, kind: str) -> bool:
        """Claim one call of this kind. False if all of them are taken."""
        with self._state:
            self._unclaimed[kind] -= 1
            return self._unclaimed[kind] >= 0

    def release_first(self) -> None:
        """Let the first reader leave, because a writer waits now."""
        self._first_may_leave.set()

    def wait_for(self, condition: Callable[[LockStatistics], bool]) -> None:
        """Wait until the lock's statistics meet a condition, for `LIMIT_SECONDS` at most."""
        limit = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < limit:
            found = self._statistics()
            if found and condition(found):
                return
            time.sleep(LOOK_SECONDS)

    def read(self, call: ServedCall, account_id: str, snapshot: Snapshot) -> None:
        """Wait in the server's thread, with the lock held."""
        kind = self._recording.client_of(call).partition(" ")[0]
        with self._state:
            self._not_entered[kind] -= 1
            self._readers_inside += kind == "reader"
        time.sleep(HOLD_MS / 1000)
        self._first_may_leave.wait(LIMIT_SECONDS)
        limit = time.monotonic() + LIMIT_SECONDS
        while not self._may_leave(kind) and time.monotonic() < limit:
            time.sleep(LOOK_SECONDS)

    def _may_leave(self, kind: str) -> bool:
        found = self._statistics()
        with self._state:
            if kind == "writer":
                return not self._not_entered[kind] or bool(found and found.waiting_writers)
            # We count the readers inside, so that two that see each other do not both leave.
            waited_for = bool(found and found.waiting_readers)
            if self._not_entered[kind] and self._readers_inside < 2 and not waited_for:
                return False
            self._readers_inside -= 1
            return True


def phases(history: History) -> list[tuple[Mode, int]]:
    """The phases in order: the number of reads in a row, then of writes in a row, and so on."""
    granted: list[Mode] = [
        "read" if event.note == "read" else "write"
        for event in history.events
        if event.kind == "granted"
    ]
    return [(mode, len(list(group))) for mode, group in groupby(granted)]


def waits(rush: Mapping[str, History]) -> Picture:
    """Draw how long each read and each deposit waited for the lock, one strip per policy.

    `rush` has the history of each policy. Raises ValueError for an unknown policy or no policy.
    """
    unknown = sorted(set(rush) - set(POLICIES))
    if unknown or not rush:
        given = f"not {', '.join(unknown)}" if unknown else "and got none"
        raise ValueError(f"waits draws the policies {', '.join(POLICIES)}, {given}.")
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
        1.015, -0.7, "longest wait", transform=axes.get_yaxis_transform(), fontsize=9.5, color=QUIET
    )
    axes.set_xscale("log")
    axes.set_xlim(MIN_MS * 0.8, longest_ms * 1.6)
    ticks = [each for each in (0.01, 0.1, 1, 10, 100, 1000) if each <= longest_ms * 1.6]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="#D0D0D0", linewidth=0.6, zorder=1)
    axes.set_xlabel("wait for the lock in ms; each mark is one call", fontsize=9.5)
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
    return f"Calls waited up to {', '.join(f'{t} ({policy})' for policy, t in longest.items())}"


def _line(rush: Mapping[str, History]) -> str:
    """Which calls had to wait for all calls of the other kind. It is the same on every machine."""
    said = [f"{READERS} clients made {READS} reads, and {WRITERS} made {DEPOSITS} deposits."]
    for policy, history in rush.items():
        order = [mode for mode, _ in phases(history)]
        if order == ["read", "write"]:
            said.append(f"Under the policy {policy}, no deposit entered before the last read.")
        elif order == ["read", "write", "read"]:
            said.append(
                f"Under the policy {policy}, no waiting read entered before the last deposit."
            )
        else:
            said.append(f"Under the policy {policy}, reads and deposits took turns.")
    return " ".join(said)
