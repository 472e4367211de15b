"""The data of a timeline for the browser, ready for JSON and `static/timeline.js`.

The kernel sends it once. Times are whole nanoseconds from the start, and each column is one list.
5,000 spans take half a megabyte: a kernel on the same machine sends this in a moment, and it can be
read in the browser's tools. Binary columns would save a third of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bankkit.lab.drawing import style
from bankkit.lab.drawing.figures import INK
from bankkit.lab.timelines.lanes import Lanes
from bankkit.lab.timelines.narration import finding, in_words

_KINDS = ("waiting", "reading", "writing", "halted", "stale")


def scene(lanes: Lanes) -> dict[str, Any]:
    """The scene for `static/timeline.js`, ready for JSON. Times are nanoseconds from the start."""
    spans = [bar.span for bar in lanes.bars]
    served_by = lanes.served_by
    calls = _numbered(
        call for span in spans for call in (span.call, *span.held_by, span.woken_by) if call
    )
    methods = _numbered(bar.method for bar in lanes.bars)
    places = lanes.places
    zero = lanes.start
    return {
        "account": lanes.account,
        "finding": finding(lanes),
        "line": in_words(lanes),
        "length": lanes.end - zero,
        "clients": lanes.clients,
        "servers": lanes.servers,
        "servedBy": [served_by.get(client, ()) for client in lanes.clients],
        "rows": lanes.rows,
        "leftOut": lanes.left_out,
        "trouble": lanes.trouble,
        "calls": list(calls),
        "methods": list(methods),
        "bars": {
            "lane": [bar.lane for bar in lanes.bars],
            "row": [bar.row for bar in lanes.bars],
            "kind": [_KINDS.index(span.kind) for span in spans],
            "start": [span.start - zero for span in spans],
            "end": [span.end - zero for span in spans],
            "call": [calls[span.call] for span in spans],
            "method": [methods[bar.method] for bar in lanes.bars],
            "mode": [span.mode for span in spans],
            "heldBy": [[calls[call] for call in span.held_by] for span in spans],
            "wokenBy": [calls.get(span.woken_by, -1) for span in spans],
            "server": [span.server for span in spans],
        },
        "serverSpans": {
            "server": [lanes.servers.index(span.server) for span in lanes.server_spans],
            "kind": [span.kind for span in lanes.server_spans],
            "start": [span.start - zero for span in lanes.server_spans],
            "end": [span.end - zero for span in lanes.server_spans],
        },
        "marks": {
            "lane": [mark.lane for mark in lanes.marks],
            "row": [mark.row for mark in lanes.marks],
            "kind": [mark.kind for mark in lanes.marks],
            "at": [mark.at - zero for mark in lanes.marks],
            "words": [mark.words for mark in lanes.marks],
            "told": [str(mark) for mark in lanes.marks],
        },
        "moments": {
            "lane": [moment.lane for moment in lanes.moments],
            "row": [moment.row for moment in lanes.moments],
            "isCommit": [int(moment.kind == "commit") for moment in lanes.moments],
            "at": [max(moment.at - zero, 0) for moment in lanes.moments],
            "cents": [moment.cents for moment in lanes.moments],
        },
        "wakeUps": {
            "from": [places[each.releaser] for each in lanes.wake_ups],
            "released": [each.released - zero for each in lanes.wake_ups],
            "to": [places[each.waiter] for each in lanes.wake_ups],
            "granted": [each.granted - zero for each in lanes.wake_ups],
        },
        "steps": {
            "at": [max(step.at - zero, 0) for step in lanes.steps],
            "actual": [step.actual for step in lanes.steps],
            "expected": [step.expected for step in lanes.steps],
        },
        "lost": [
            {
                "lost": places[update.overwritten.call],
                "lostAt": update.overwritten.wrote_at - zero,
                "by": places[update.by.call],
                "readAt": update.by.read_at - zero,
                "wroteAt": update.by.wrote_at - zero,
                "words": str(update),
            }
            for update in lanes.lost
            if {update.overwritten.call, update.by.call} <= places.keys()
        ],
        "colours": {
            "reading": style.SKY_BLUE,
            "writing": style.ORANGE,
            "lost": style.VERMILLION,
            "expected": style.GREEN,
            "wake": style.BLUE,
            "wakeOnDark": style.SKY_BLUE,
            "fenced": style.PURPLE,
            "ink": INK,
        },
    }


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}
