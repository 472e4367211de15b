"""A history as a table: one call a row, and when it ran."""

from __future__ import annotations

from collections.abc import Sequence

from bankkit.histories.operation import Operation

MOST_ROWS = 40


def diagram(history: Sequence[Operation]) -> str:
    """One row per operation, in the order of their starts: the client, the call, when it ran.

    Time runs to the right, from one start or end to the next; the distances mean nothing. Calls
    whose bars overlap ran at the same time. A bar without an end belongs to a call whose response
    is not known.

        writer  write(1) returned None  ├─┤
        reader  read() returned 0           ├─┤
    """
    rows = sorted(history, key=lambda each: (each.start, each.end))[:MOST_ROWS]
    # A call that starts when another ends overlaps it: starts come first.
    moments = sorted(
        {(each.start, 0) for each in rows} | {(each.end, 1) for each in rows if not each.is_pending}
    )
    column = {moment: 2 * place for place, moment in enumerate(moments)}
    clients = max((len(each.client) for each in rows), default=0)
    calls = [f"{each} {each.response}" for each in rows]
    width = max(map(len, calls), default=0)
    lines = []
    for each, call in zip(rows, calls, strict=True):
        start = column[each.start, 0]
        end = 2 * len(moments) if each.is_pending else column[each.end, 1]
        bar = f"{' ' * start}├{'─' * (end - start - 1)}{'…' if each.is_pending else '┤'}"
        lines.append(f"{each.client:{clients}}  {call:{width}}  {bar}")
    if len(history) > MOST_ROWS:
        lines.append(f"and {len(history) - MOST_ROWS:,} later calls")
    return "\n".join(lines)
