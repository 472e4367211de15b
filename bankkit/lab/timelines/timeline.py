"""The timeline of a race: live in a running notebook, and a picture everywhere else."""

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
    """Draw who waited, read and wrote, and below what became of the balance.

    Live where there is a kernel: play it, zoom, point at things. Stored or printed, a picture.
    `account` is the only one that was touched, by default. ValueError if there are several, or if
    nobody took a lock of it or changed it.
    """
    return LiveTimeline(lanes_of(history_of(source), account))


class LiveTimeline:
    """A timeline: live in a running notebook, and a picture where there is no kernel.

    Neither is made before it is asked for.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.line = in_words(lanes)
        """What it shows, for those who cannot see it; the same at every run of one experiment."""

    def __repr__(self) -> str:
        return self.line

    @cached_property
    def picture(self) -> Picture:
        """For paper: `timeline.picture.save("race.pdf")`."""
        return figure.draw(self.lanes)

    @cached_property
    def widget(self) -> TimelineWidget:
        """The live one, to be put beside other widgets."""
        from bankkit.lab.timelines.widget import TimelineWidget  # anywidget takes long to import

        return TimelineWidget(scene=scene(self.lanes))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        data, metadata = self.picture._repr_mimebundle_()
        live = self.widget._repr_mimebundle_()  # nothing where there is no front end for it
        return {**(live[0] if live else {}), **data}, metadata

    def _ipython_display_(self) -> None:
        figures.show(self.line, *self._repr_mimebundle_())
