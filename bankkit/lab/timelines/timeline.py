"""The timeline of a race: a live widget in a running notebook, and a picture everywhere else."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from bankkit.lab.drawing import figures
from bankkit.lab.drawing.figures import Picture
from bankkit.lab.recording.history import History, Recorded, history_of
from bankkit.lab.timelines import figure
from bankkit.lab.timelines.lanes import Lanes
from bankkit.lab.timelines.layout import lanes_of
from bankkit.lab.timelines.narration import in_words
from bankkit.lab.timelines.scene import scene

if TYPE_CHECKING:
    from bankkit.lab.timelines.widget import TimelineWidget


def timeline(source: Recorded | History, account: str | None = None) -> LiveTimeline:
    """Draw when each client waited, read and wrote, with the balance below.

    With a kernel the timeline is live: play it, zoom, point at things. Stored or printed, it is a
    picture. `account` is by default the only account that was touched. Raises ValueError if there
    are several, or if nobody took a lock of the account or changed it.
    """
    return LiveTimeline(lanes_of(history_of(source), account))


class LiveTimeline:
    """A timeline: a live widget in a running notebook, and a picture without a kernel.

    Each is made when it is first used.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.line = in_words(lanes)
        """A description for readers who cannot see it; the same in every run of an experiment."""

    def __repr__(self) -> str:
        return self.line

    @cached_property
    def picture(self) -> Picture:
        """The timeline as a picture: `timeline.picture.save("race.pdf")`."""
        return figure.draw(self.lanes)

    @cached_property
    def widget(self) -> TimelineWidget:
        """The live timeline, which can be placed beside other widgets."""
        from bankkit.lab.timelines.widget import TimelineWidget  # the import of anywidget is slow

        return TimelineWidget(scene=scene(self.lanes))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        data, metadata = self.picture._repr_mimebundle_()
        live = self.widget._repr_mimebundle_()  # None if no front end can show widgets
        return {**(live[0] if live else {}), **data}, metadata

    def _ipython_display_(self) -> None:
        figures.show(self.line, *self._repr_mimebundle_())
