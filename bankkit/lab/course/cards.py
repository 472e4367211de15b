"""The cards that the lab shows to a learner, and their plain text for tests.

A card's MIME bundle has `text/html` and `text/plain`; that of a live card also has its widget.
JupyterLab shows the richest format that it can: the widget in a running notebook, the HTML in a
notebook that was only opened.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from bankkit.lab.course.exercises import Exercise, Prediction
from bankkit.lab.drawing import style

Bundle = dict[str, Any]
"""A MIME bundle: the same content in several formats, by MIME type."""

LIVE_CSS = """<style>
.bankkit-card { border: 1px solid %s; border-left-width: 6px; border-radius: 6px;
  padding: 10px 14px; margin: 4px 0; max-width: 800px; box-sizing: content-box;
  overflow: hidden; }
.bankkit-card .widget-html, .bankkit-card .widget-html-content { height: auto; margin: 0; }
.bankkit-card .widget-html-content { line-height: 1.5; }
.bankkit-card .widget-radio { width: auto; margin: 4px 0; }
.bankkit-card .widget-radio-box { width: 100%%; gap: 4px; margin: 0; }
.bankkit-card .widget-radio-box label { height: auto; line-height: 1.4; padding: 6px 10px;
  font-size: 14px; border: 1px solid %s; border-radius: 6px; white-space: normal;
  cursor: pointer; display: flex; flex-direction: row-reverse; justify-content: flex-end;
  gap: 8px; align-items: center; }
.bankkit-card .widget-radio-box label:hover { background: rgba(128,128,128,.12); }
.bankkit-card .widget-radio-box label:has(input:checked) { border-color: #0072B2;
  box-shadow: inset 0 0 0 1px #0072B2; }
.bankkit-card .widget-radio-box label:focus-within { outline: 2px solid #56B4E9; }
.bankkit-card .widget-radio-box input { margin: 0; flex: none; line-height: 1.4; }
.bankkit-card .jupyter-button { width: auto; height: auto; font-size: 14px; line-height: 1.4;
  padding: 5px 14px; margin: 6px 8px 4px 0; border-radius: 6px; align-self: flex-start; }
.bankkit-card .jupyter-button.bankkit-main { background: #0072B2; color: #FFFFFF; }
.bankkit-card .jupyter-button:disabled { opacity: .5; }
</style>""" % (style.HAIRLINE, style.HAIRLINE)  # noqa: UP031 - braces belong to CSS here


class Card:
    """A title and blocks of HTML, and the same as plain text."""

    def __init__(self, kind: style.Kind, title: str, blocks: Sequence[str], text: str) -> None:
        self.kind = kind
        self.html = style.card(kind, title, *blocks)
        self.body = style.body(kind, title, *blocks)
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        return {"text/plain": self.text, "text/html": self.html}


class LiveCard(Card, ABC):
    """A card with a widget, which is created when the card is first shown."""

    _widget: Any = None

    @property
    def widget(self) -> Any:
        """The widget, an `ipywidgets.VBox`."""
        if self._widget is None:
            self._widget = self._make_widget()
        return self._widget

    @abstractmethod
    def _make_widget(self) -> Any: ...

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        live: Bundle = self.widget._repr_mimebundle_() or {}
        return {**live, **super()._repr_mimebundle_()}


class PredictionCard(LiveCard):
    """A question with its options.

    `kept` is the option that was chosen before, or None. `keep` stores a chosen option. It returns
    sentences on what went wrong, as `trouble` has them.
    """

    def __init__(
        self,
        prediction: Prediction,
        kept: str | None,
        keep: Callable[[str], Sequence[str]],
        trouble: Sequence[str] = (),
    ) -> None:
        self._prediction = prediction
        self._kept = kept
        self._keep = keep
        self._trouble = trouble
        labels = prediction.labels()
        if kept is None:
            status = "Run this cell to choose, before you run the next one."
        else:
            status = kept_sentence(labels[kept])
        lines = [f"Predict: {prediction.question}", *(f"  {label}" for label in labels.values())]
        super().__init__(
            style.PREDICT,
            prediction.question,
            [style.choices(labels.values()), *map(style.aside, [status, *trouble])],
            "\n".join([*lines, status, *trouble]),
        )

    def _make_widget(self) -> Any:
        import ipywidgets as widgets

        labels = self._prediction.labels()
        options = [(label.replace("`", ""), saw) for saw, label in labels.items()]
        self.radio = widgets.RadioButtons(options=options, value=self._kept)
        self.button = widgets.Button(description="", disabled=self._kept is None)
        self.button.add_class("bankkit-main")
        self.status = widgets.HTML()

        def on_choice(change: Any) -> None:
            chosen_again = self._kept is not None and self.radio.value == self._kept
            self.button.disabled = self.radio.value is None or chosen_again

        def on_click(button: Any) -> None:
            self._kept = self.radio.value
            trouble = self._keep(self.radio.value)
            show(kept_sentence(labels[self.radio.value]), *trouble)

        def show(*status: str) -> None:
            first = self._kept is None
            self.button.description = "Keep my prediction" if first else "Change my prediction"
            self.button.disabled = True
            self.status.value = "".join(map(style.aside, status))

        show(
            "Choose before you run the next cell. A wrong guess costs nothing and teaches the most."
            if self._kept is None
            else kept_sentence(labels[self._kept]),
            *self._trouble,
        )
        self.radio.observe(on_choice, "value")
        self.button.on_click(on_click)
        question = style.body(self.kind, self._prediction.question)
        return _frame(self.kind, question, self.radio, self.button, self.status)


def kept_sentence(label: str) -> str:
    """The sentence that confirms which option was kept."""
    return f"Your prediction is kept: {label}"


class ExerciseCard(LiveCard):
    """A task with buttons for a hint and for the answer.

    `progress` is a sentence on the learner's tries, or empty. A click calls `hint` or `answer`.
    """

    def __init__(
        self,
        exercise: Exercise,
        progress: str,
        hint: Callable[[], Card],
        answer: Callable[[], Card],
        trouble: Sequence[str] = (),
    ) -> None:
        self._hint = hint
        self._answer = answer
        self._progress = progress
        status = progress or "Run this cell to get hints and, after some tries, the answer."
        super().__init__(
            style.EXERCISE,
            exercise.title,
            [style.prose(exercise.task), *map(style.aside, [status, *trouble])],
            "\n".join(
                [
                    f"Exercise {exercise.id}: {exercise.title}",
                    exercise.task.strip(),
                    status,
                    *trouble,
                ]
            ),
        )
        self._task = style.body(
            style.EXERCISE,
            exercise.title,
            style.prose(exercise.task),
            *map(style.aside, trouble),
        )

    def _make_widget(self) -> Any:
        import ipywidgets as widgets

        self.hint_button = widgets.Button(description="Hint")
        self.answer_button = widgets.Button(description="Show answer")
        self.help = widgets.HTML()
        self.status = widgets.HTML(style.aside(self._progress) if self._progress else "")

        def on_hint(button: Any) -> None:
            self.help.value = self._hint().body

        def on_answer(button: Any) -> None:
            self.help.value = self._answer().body

        self.hint_button.on_click(on_hint)
        self.answer_button.on_click(on_answer)
        buttons = widgets.HBox([self.hint_button, self.answer_button])
        return _frame(self.kind, self._task, buttons, self.help, self.status)

    def show_progress(self, progress: str) -> None:
        """Show a new sentence on the learner's tries; empty for none."""
        if self._widget is not None:
            self.status.value = style.aside(progress) if progress else ""


def _frame(kind: style.Kind, head: str, *children: Any) -> Any:
    import ipywidgets as widgets

    box = widgets.VBox([widgets.HTML(LIVE_CSS + head), *children])
    box.add_class("bankkit-card")
    box.layout.border_left = f"6px solid {kind.colour}"
    return box
