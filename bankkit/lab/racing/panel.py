"""A control panel for races: choose settings, run, and compare with a second race beside it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from bankkit import teller
from bankkit.lab.course.cards import LIVE_CSS, LiveCard
from bankkit.lab.drawing import style
from bankkit.lab.drawing.figures import duration
from bankkit.lab.racing.race import Race
from bankkit.lab.racing.race_result import RaceResult
from bankkit.lab.recording.lost_updates import dollars
from bankkit.lab.timelines.timeline import timeline
from bankkit.locks import POLICIES

TITLE = "Race them yourself"

MOST_CLIENTS = 20
"""The most writers, and the most readers; the timeline of more would not fit on a screen."""

_panels: weakref.WeakSet[RacePanel] = weakref.WeakSet()


def race_panel() -> RacePanel:
    """Show two races side by side: choose their settings, press Run and compare the results.

    Without a kernel, a card explains the panel. A new panel stops the races of older panels.
    """
    for panel in tuple(_panels):
        panel.stop()
    panel = RacePanel()
    _panels.add(panel)
    return panel


class RacePanel(LiveCard):
    """The panel that `race_panel` shows. Its two sides are `left` and `right`."""

    def __init__(self) -> None:
        self.left = Side("A", "none", self._compare)
        self.right = Side("B", "read-write", self._compare)
        what = (
            "The panel runs two races side by side. Choose the bank's lock, the number of writers "
            "and readers, and how long each call holds the lock. Then press Run and compare."
        )
        status = "Run this cell to use the panel: it needs a kernel."
        super().__init__(
            style.RACE, TITLE, [style.prose(what), style.aside(status)],
            f"Race panel: {what}",
        )  # fmt: skip

    def stop(self) -> None:
        """Stop the races that run, and wait until their threads have ended."""
        for side in (self.left, self.right):
            side.end()

    def _make_widget(self) -> Any:
        import ipywidgets as widgets

        self.comparison = widgets.HTML()
        sides = widgets.HBox([self.left.widget(), self.right.widget()])
        sides.layout.flex_flow = "row wrap"
        head = widgets.HTML(LIVE_CSS + PANEL_CSS + style.body(style.RACE, TITLE))
        box = widgets.VBox([head, sides, self.comparison])
        box.add_class("bankkit-card")
        box.add_class("bankkit-race-panel")
        box.layout.border_left = f"6px solid {style.RACE.colour}"
        return box

    def _compare(self) -> None:
        a, b = self.left.result, self.right.result
        if a and b:
            rows = [[name, of(a), of(b)] for name, of in COMPARED.items()]
            self.comparison.value = style.table(["", "A", "B"], rows)


COMPARED: dict[str, Callable[[RaceResult], str]] = {
    "how": lambda result: (
        f"{result.concurrency}"
        f"{f' ({result.policy})' if result.concurrency == 'read-write' else ''}, {result.mode}"
    ),
    "money lost": lambda result: "?" if result.final is None else dollars(result.lost),
    "lost updates": lambda result: str(len(result.lost_updates)),
    "longest wait to write": lambda result: duration(result.longest_wait("write")),
    "longest wait to read": lambda result: duration(result.longest_wait("read")),
    "most readers at once": lambda result: str(result.peak_readers),
    "calls a second": lambda result: f"{result.calls_per_second:,.0f}",
}

PANEL_CSS = """<style>
.bankkit-race-panel { max-width: 1400px; }
.bankkit-race-panel .bankkit-side { flex: 1 1 460px; min-width: 0; padding: 4px 12px 4px 0;
  box-sizing: border-box; }
.bankkit-race-panel .widget-label { width: 110px; }
</style>"""


class Side:
    """One half of the panel: its controls, its race, and the result."""

    def __init__(self, name: str, concurrency: str, on_result: Callable[[], None]) -> None:
        self.name = name
        self.result: RaceResult | None = None
        """The result of the last race on this side."""
        self._first = concurrency
        self._on_result = on_result
        self._race: Race | None = None
        self._thread: threading.Thread | None = None

    def widget(self) -> Any:
        """The controls, and space for the result."""
        import ipywidgets as widgets

        self.concurrency = widgets.Dropdown(
            options=teller.CHOICES, value=self._first, description="lock"
        )
        self.policy = widgets.Dropdown(options=POLICIES, description="policy")
        self.mode = widgets.ToggleButtons(options=["forced", "free"], description="mode")
        self.writers = widgets.IntSlider(value=2, min=0, max=MOST_CLIENTS, description="writers")
        self.readers = widgets.IntSlider(value=2, min=0, max=MOST_CLIENTS, description="readers")
        self.rounds = widgets.IntSlider(value=1, min=1, max=200, description="rounds")
        self.hold = widgets.FloatSlider(value=2, min=0, max=50, step=0.5, description="hold (ms)")
        self.run = widgets.Button(description=f"Run {self.name}", icon="play")
        self.run.add_class("bankkit-main")
        self.halt = widgets.Button(description="Stop", icon="stop", disabled=True)
        self.bar = widgets.IntProgress(min=0, layout={"width": "auto"})
        self.bar.layout.visibility = "hidden"
        self.verdict = widgets.HTML()
        self.picture = widgets.VBox([])
        self.run.on_click(lambda _: self.begin())
        self.halt.on_click(lambda _: self._stop())
        self.concurrency.observe(lambda _: self._set_policy(), "value")
        self._set_policy()
        box = widgets.VBox(
            [
                self.concurrency, self.policy, self.mode, self.writers, self.readers, self.rounds,
                self.hold, widgets.HBox([self.run, self.halt]), self.bar, self.verdict,
                self.picture,
            ]
        )  # fmt: skip
        box.add_class("bankkit-side")
        return box

    def begin(self) -> None:
        """Run a race with the chosen settings in a background thread."""
        try:
            race = Race(
                self.concurrency.value,
                writers=self.writers.value,
                readers=self.readers.value,
                rounds=self.rounds.value,
                hold_ms=self.hold.value,
                policy="fair" if self.policy.disabled else self.policy.value,
                mode=self.mode.value,
            )
        except ValueError as error:
            self._say("These settings are not valid", error)
            return
        self._race = race
        self.run.disabled, self.halt.disabled = True, False
        self.bar.value, self.bar.max = 0, race.total
        self.bar.layout.visibility = "visible"
        self._thread = threading.Thread(target=self._work, args=(race,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop the race, if one runs, and wait until its thread has ended."""
        self._stop()
        if self._thread is not None:
            self._thread.join()

    def _stop(self) -> None:
        if self._race is not None:
            self._race.stop()

    def _work(self, race: Race) -> None:
        try:
            result = race.run(lambda done: setattr(self.bar, "value", done))
            self.result = result
            self._show(result)
            self._on_result()
        except Exception as error:  # shown in the panel, not lost in a background thread
            self._say("The race could not run", error)
        finally:
            self.bar.layout.visibility = "hidden"
            self.run.disabled, self.halt.disabled = False, True

    def _show(self, result: RaceResult) -> None:
        bundle = result._repr_mimebundle_()
        self.verdict.value = bundle["text/html"]
        old = self.picture.children
        try:
            self.picture.children = (timeline(result).widget,)
        except ValueError as error:  # no call took a lock
            self.picture.children = ()
            self.verdict.value += style.aside(str(error))
        for widget in old:
            widget.close()

    def _say(self, title: str, error: Exception) -> None:
        self.verdict.value = style.card(style.UNEXPECTED, title, style.prose(str(error)))

    def _set_policy(self) -> None:
        self.policy.disabled = self.concurrency.value != "read-write"
