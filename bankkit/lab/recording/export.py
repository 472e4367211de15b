"""Export of a recording to other programs: as a trace for Perfetto, and as a table.

    lab.chrome_trace(result, "race.json")    # open it at ui.perfetto.dev
    lab.to_csv(result, "race.csv")

The trace has three kinds of processes. `clients` has a thread for each lane. The thread shows the
calls; within them the waits, reads and writes; and arrows from a release to the calls that it let
in. Each account is a process that shows the holds of its lock, its balance, and its lost updates.
If there are several servers, `servers` has a thread for each: it shows when the server ran or was
paused, and its faults.

Source: Duca and Sinclair, "Trace Event Format",
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. In this format,
slices of one thread must nest, so concurrent calls of one client get a thread each.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from bankkit.lab.recording.events import OF_SERVERS, Call, RecordedEvent
from bankkit.lab.recording.history import History, Recorded, history_of
from bankkit.lab.recording.interval_partitioning import rows_of
from bankkit.lab.recording.lost_updates import dollars, lost_updates, writes
from bankkit.lab.recording.spans import Span

TraceEvent = dict[str, Any]

CLIENTS = 1
"""The process id of all clients. The ids of the accounts follow; the servers have the last one."""

_HOLDS = {
    "reading": "reads", "writing": "writes", "halted": "holds it, halted",
    "stale": "goes on without it",
}  # fmt: skip

_COLUMNS = ("at", "call", "kind", "account", "value", "note", "server", "reason")


def to_csv(source: Recorded | History, file: str | Path | TextIO) -> None:
    """Write the events as a CSV table, one line each; `History.from_rows` reads it back.

    `file` is a path, or a text file opened with `newline=""`.
    """
    if not isinstance(file, str | Path):
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        table.writerows(history_of(source).rows())
        return
    with Path(file).open("w", newline="", encoding="utf-8") as opened:
        to_csv(source, opened)


def chrome_trace(source: Recorded | History, path: str | Path | None = None) -> dict[str, Any]:
    """The recording in the Chrome trace event format, ready for `json.dump`.

    If `path` is given, the trace is also written to that file.
    """
    trace = {
        "traceEvents": list(_Trace(history_of(source)).events()),
        "displayTimeUnit": "ns",  # without it, viewers round to milliseconds
    }
    if path is not None:
        Path(path).write_text(json.dumps(trace), encoding="utf-8")
    return trace


# --- Implementation ------------------------------------------------------------------------------


class _Trace:
    """The events of a trace, generated from a history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.start = history.events[0].at if history.events else 0
        self.accounts = {name: CLIENTS + 1 + n for n, name in enumerate(history.accounts)}
        self.spans: dict[str, list[Span]] = defaultdict(list)
        for span in history.spans:
            self.spans[span.call].append(span)
        self.threads = self._threads()

    def events(self) -> Iterator[TraceEvent]:
        yield from self._names()
        for call in self.history.calls:
            yield from self._call(call)
        yield from self._wake_ups()
        for account, process in self.accounts.items():
            yield from self._holds(account, process)
            yield from self._balance(account, process)
        yield from self._servers()

    def _time(self, at: int) -> float:
        """Microseconds since the first event."""
        return (at - self.start) / 1e3

    def _life(self, call: Call) -> tuple[int, int]:
        """The times of the first event and of the end, which may be the end of a wait or a hold."""
        ends = (span.end for span in self.spans[call.id])
        return call.events[0].at, max((call.events[-1].at, *ends))

    def _threads(self) -> dict[str, int]:
        """The thread id of each call; concurrent calls of one client get different threads."""
        lives = ((call.id, call.client, *self._life(call)) for call in self.history.calls)
        rows = rows_of(lives)
        lanes = sorted(
            {(call.client, rows[call.id]) for call in self.history.calls},
            key=lambda lane: (self.history.clients.index(lane[0]), lane[1]),
        )
        self.lanes = {lane: number for number, lane in enumerate(lanes, 1)}
        return {call.id: self.lanes[call.client, rows[call.id]] for call in self.history.calls}

    def _names(self) -> Iterator[TraceEvent]:
        processes = {CLIENTS: "clients"} | {pid: name for name, pid in self.accounts.items()}
        for process, name in processes.items():
            yield _metadata("process_name", process, 0, name=name)
            yield _metadata("process_sort_index", process, 0, sort_index=process)
        for (client, row), thread in self.lanes.items():
            name = client if row == 0 else f"{client} ({row + 1})"
            yield _metadata("thread_name", CLIENTS, thread, name=name)
            yield _metadata("thread_sort_index", CLIENTS, thread, sort_index=thread)

    def _call(self, call: Call) -> Iterator[TraceEvent]:
        start, end = self._life(call)
        notes = {"call": call.id, "account": call.account, "status": call.status or "in flight"}
        if call.reason:
            notes["reason"] = call.reason
        if servers := dict.fromkeys(event.server for event in call.events if event.server):
            notes["server"] = ", ".join(servers)
        yield self._slice(call.method or "call", "call", call.id, start, end, notes)
        for span in self.spans[call.id]:
            about: dict[str, Any] = {"lock": span.mode}
            if span.held_by:
                about["held by"] = ", ".join(span.held_by)
            yield self._slice(span.kind, "lock", call.id, span.start, span.end, about)
        for event in call.events:
            if event.kind in ("read", "committed") and event.value is not None:
                yield self._instant(f"{event.kind} {dollars(event.value)}", call.id, event)
            elif event.kind == "expired":
                yield self._instant("lease ran out", call.id, event)
            elif event.kind == "failed":
                yield self._instant(f"failed: {event.note}", call.id, event)

    def _slice(
        self, name: str, category: str, call: str, start: int, end: int, args: dict[str, Any]
    ) -> TraceEvent:
        return {
            "ph": "X", "name": name, "cat": category, "pid": CLIENTS, "tid": self.threads[call],
            "ts": self._time(start), "dur": (end - start) / 1e3, "args": args,
        }  # fmt: skip

    def _instant(self, name: str, call: str, event: RecordedEvent) -> TraceEvent:
        return {
            "ph": "i", "s": "t", "name": name, "pid": CLIENTS,
            "cat": "lock" if event.value is None else "balance",
            "tid": self.threads[call], "ts": self._time(event.at),
            "args": {} if event.value is None else {"cents": event.value},
        }  # fmt: skip

    def _wake_ups(self) -> Iterator[TraceEvent]:
        """Arrows from the slice of the releasing call to the slice of the call that it let in."""
        for number, wake_up in enumerate(self.history.wake_ups, 1):
            both = {"name": "lets in", "cat": "wake-up", "id": number, "pid": CLIENTS}
            yield both | {
                "ph": "s", "tid": self.threads[wake_up.releaser],
                "ts": self._time(wake_up.released - 1),  # the last moment of the hold
            }  # fmt: skip
            yield both | {
                "ph": "f", "bp": "e", "tid": self.threads[wake_up.waiter],
                "ts": self._time(wake_up.granted),
            }  # fmt: skip

    def _holds(self, account: str, process: int) -> Iterator[TraceEvent]:
        """The holds as asynchronous slices, which need not nest: readers may hold it together."""
        for number, span in enumerate(self.history.spans):
            if span.account != account or span.kind == "waiting":
                continue
            both = {
                "name": f"{span.client} {_HOLDS[span.kind]}", "cat": "hold", "id": number,
                "pid": process, "tid": 0,
            }  # fmt: skip
            yield both | {"ph": "b", "ts": self._time(span.start), "args": {"call": span.call}}
            yield both | {"ph": "e", "ts": self._time(span.end)}

    def _balance(self, account: str, process: int) -> Iterator[TraceEvent]:
        try:
            order = writes(self.history, account)
            lost = lost_updates(self.history, account)
        except ValueError:
            return  # a change that was not recorded makes the balance unknown
        if not order:
            return
        expected = order[0].read
        yield self._counter(process, self.start, expected, expected)
        for write in order:
            expected += write.wrote - write.read
            yield self._counter(process, write.wrote_at, write.wrote, expected)
        for update in lost:
            yield {
                "ph": "i", "s": "p", "name": f"lost update: {update}", "cat": "balance",
                "pid": process, "tid": 0, "ts": self._time(update.by.wrote_at),
                "args": {"lost": update.lost.call, "by": update.by.call, "cents": update.cents},
            }  # fmt: skip

    def _servers(self) -> Iterator[TraceEvent]:
        if not self.history.servers:
            return
        process = CLIENTS + 1 + len(self.accounts)
        yield _metadata("process_name", process, 0, name="servers")
        yield _metadata("process_sort_index", process, 0, sort_index=process)
        threads = {name: number for number, name in enumerate(self.history.servers, 1)}
        for name, thread in threads.items():
            yield _metadata("thread_name", process, thread, name=name)
            yield _metadata("thread_sort_index", process, thread, sort_index=thread)
        for span in self.history.server_spans:
            if span.kind != "down":
                yield {
                    "ph": "X", "name": span.kind, "cat": "server", "pid": process,
                    "tid": threads[span.server], "ts": self._time(span.start),
                    "dur": (span.end - span.start) / 1e3, "args": {},
                }  # fmt: skip
        for event in self.history.events:
            if event.kind in OF_SERVERS:
                yield {
                    "ph": "i", "s": "t", "name": event.kind, "cat": "server", "pid": process,
                    "tid": threads[event.server], "ts": self._time(event.at), "args": {},
                }  # fmt: skip

    def _counter(self, process: int, at: int, actual: int, expected: int) -> TraceEvent:
        return {
            "ph": "C", "name": "balance in dollars", "cat": "balance", "pid": process, "tid": 0,
            "ts": self._time(at), "args": {"actual": actual / 100, "expected": expected / 100},
        }  # fmt: skip


def _metadata(kind: str, process: int, thread: int, **args: object) -> TraceEvent:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": args}
