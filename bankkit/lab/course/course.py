"""The functions that a learner calls: predictions, exercises and progress."""

import enum
import html
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankkit.lab.course.cards import Card, ExerciseCard, PredictionCard
from bankkit.lab.course.checks import LIMIT_SECONDS, Verdict, judge
from bankkit.lab.course.exercises import Exercise, Lesson, Registry
from bankkit.lab.course.progress_file import Kept, Notes, ProgressFile, Work
from bankkit.lab.drawing import style

TRIES_BEFORE_ANSWER = 2
"""How many different tries open the answer of an exercise."""

KINDS = {
    "right": style.RIGHT,
    "wrong": style.NOT_YET,
    "unusable": style.NOT_YET,
    "failed": style.NOT_YET,
    "nothing yet": style.NOTHING_YET,
    "interrupted": style.NOT_CHECKED,
    "not checked": style.NOT_CHECKED,
}
"""The kind of card for each outcome of a check."""


@dataclass(frozen=True)
class Record:
    """A learner's result in one exercise, for a gradebook."""

    exercise: str
    passed: bool
    tries: int


class VerdictCard(Card):
    """Shows the result of a check. Programs can read it as `verdict`."""

    def __init__(self, verdict: Verdict, *notes: str) -> None:
        self.verdict = verdict
        blocks = [style.prose(verdict.text)]
        lines = [verdict.text]
        if verdict.shown:
            blocks.append(style.source(verdict.shown))
            lines.append(verdict.shown)
        if verdict.output:
            blocks += [style.aside("Your code printed:"), style.source(verdict.output)]
            lines += ["Your code printed:", verdict.output]
        for note in notes:
            blocks.append(style.aside(note))
            lines.append(note)
        kind = KINDS[verdict.outcome]
        super().__init__(
            kind, verdict.exercise.title, blocks, f"{kind.symbol} {kind.word}: " + "\n".join(lines)
        )


class Course:
    """One learner's work on the lessons of a registry, stored in a progress file."""

    def __init__(self, registry: Registry, file: ProgressFile) -> None:
        self._registry = registry
        self._file = file
        # How many hints this kernel has shown. A new kernel begins again with the first hint.
        self._hints: dict[str, int] = defaultdict(int)
        self._shown: dict[str, ExerciseCard] = {}

    def registry(self) -> Registry:
        """All lessons with their predictions and exercises."""
        return self._registry

    # --- Predict, run, explain -----------------------------------------------------------------

    def predict(self, identifier: str, choice: str | None = None) -> Card:
        """Ask a question before the run that answers it, and keep the learner's choice.

        `choice`, the letter of an option, replaces the click. ValueError for an unknown id or
        letter.
        """
        prediction = self._registry.prediction(identifier)

        def keep(option: str) -> list[str]:
            def note(notes: Notes) -> None:
                notes.predictions[identifier] = Kept(option)

            self._file.update(note)
            return self._trouble()

        trouble = [] if choice is None else keep(prediction.option(choice))
        kept = self._kept(identifier)
        return PredictionCard(prediction, kept, keep, trouble or self._trouble())

    def reveal(self, identifier: str, saw: Any) -> Card:
        """Compare the result of the run with the kept prediction, and explain it.

        `saw` is what the run really showed: text, or a value whose text is one of the options. If
        it is not what the lesson expects, the card does not explain it, because the explanation
        would be wrong. ValueError for an unknown id.
        """
        prediction = self._registry.prediction(identifier)
        seen = saw.name if isinstance(saw, enum.Enum) else str(saw)
        labels = prediction.labels()
        if seen != prediction.expects:
            words = f"This run showed {seen[:200]!r}, but the lesson expects "
            words += f"{prediction.expects!r}."
            advice = (
                "So its explanation would be wrong here. Restart the kernel and run all cells "
                "from the top. If the result is the same, the lesson has a bug: please report it."
            )
            kind = style.UNEXPECTED
            text = f"{kind.symbol} {kind.word}: {words}\n{advice}"
            return Card(kind, words, [style.prose(advice)], text)

        kept = self._kept(identifier)
        if kept is not None:

            def note(notes: Notes) -> None:
                notes.predictions[identifier] = Kept(kept, seen)

            self._file.update(note)
        happened = labels[seen]
        if kept is None:
            kind, said = style.HAPPENED, "You kept no prediction this time."
        elif kept == seen:
            kind, said = style.FORESEEN, ""
        else:
            kind, said = style.SURPRISE, f"You had chosen {labels[kept]}"
        asides = [*([said] if said else []), *self._trouble()]
        return Card(
            kind,
            happened,
            [style.prose(prediction.why), *map(style.aside, asides)],
            "\n".join(
                [f"{kind.symbol} {kind.word}: {happened}", prediction.why.strip(), *asides],
            ),
        )

    def _kept(self, identifier: str) -> str | None:
        kept = self._file.read().predictions.get(identifier)
        options = self._registry.prediction(identifier).options
        return kept.choice if kept is not None and kept.choice in options else None

    # --- Exercises -----------------------------------------------------------------------------

    def exercise(self, identifier: str) -> Card:
        """Show a task, with buttons for a hint and for the answer. ValueError for an unknown id."""
        card = ExerciseCard(
            self._registry.exercise(identifier),
            self._progress_sentence(identifier),
            lambda: self.hint(identifier),
            lambda: self.answer(identifier),
            self._trouble(),
        )
        self._shown[identifier] = card
        return card

    def check(self, identifier: str, submission: Any, *, limit: float = LIMIT_SECONDS) -> Card:
        """Say in plain words what is wrong with a submission, or that it is right.

        The learner's code may run for `limit` seconds. Its errors never leave this method: the card
        describes them. ValueError for an unknown id.
        """
        exercise = self._registry.exercise(identifier)
        verdict = judge(exercise, submission, limit)
        advice = ""
        if verdict.is_try:

            def note(notes: Notes) -> None:
                work = notes.work(identifier)
                if verdict.fingerprint not in work.tries:
                    work.tries.append(verdict.fingerprint)
                work.passed = work.passed or verdict.outcome == "right"

            self._file.update(note)
            if verdict.outcome != "right":
                advice = self._help(identifier)
        self._refresh(identifier)
        return VerdictCard(verdict, *([advice] if advice else []), *self._trouble())

    def hint(self, identifier: str) -> Card:
        """The next hint, below those already shown by this kernel. ValueError for an unknown id."""
        exercise = self._registry.exercise(identifier)
        count = min(self._hints[identifier] + 1, len(exercise.hints))
        self._hints[identifier] = count

        def note(notes: Notes) -> None:
            work = notes.work(identifier)
            work.hints = max(work.hints, count)

        self._file.update(note)
        title = f"{count} of {len(exercise.hints)}"
        hints = exercise.hints[:count]
        trouble = self._trouble()
        return Card(
            style.HINT,
            title,
            [*map(style.prose, hints), *map(style.aside, trouble)],
            "\n".join([f"Hint {title}:", *hints, *trouble]),
        )

    def answer(self, identifier: str) -> Card:
        """One right answer, if the learner has passed or made two different tries.

        ValueError for an unknown id.
        """
        exercise = self._registry.exercise(identifier)
        work = self._file.read().work(identifier)
        trouble = self._trouble()
        if not self._answer_is_open(work):
            words = (
                f"The answer opens after {TRIES_BEFORE_ANSWER} different tries; "
                f"{_tries(work)} so far. Checking the unchanged stub is not a try."
            )
            blocks = [style.prose(words), *map(style.aside, trouble)]
            text = "\n".join([f"Answer: {words}", *trouble])
            return Card(style.ANSWER, "not open yet", blocks, text)
        words = "This is one right answer; a different one may be equally right."
        return Card(
            style.ANSWER,
            exercise.title,
            [style.source(exercise.answer), *map(style.aside, [words, *trouble])],
            "\n".join([f"Answer: {words}", exercise.answer.strip(), *trouble]),
        )

    @staticmethod
    def _answer_is_open(work: Work) -> bool:
        return work.passed or len(work.tries) >= TRIES_BEFORE_ANSWER

    def _help(self, identifier: str) -> str:
        """Advice for a learner who is stuck."""
        hint, answer = f'`lab.hint("{identifier}")`', f'`lab.answer("{identifier}")`'
        if self._answer_is_open(self._file.read().work(identifier)):
            return f"If you are stuck, call {hint} or {answer}."
        return f"If you are stuck, call {hint}."

    def _progress_sentence(self, identifier: str) -> str:
        work = self._file.read().work(identifier)
        if work.passed:
            return f"✓ Passed after {_tries(work)}."
        if not work.tries:
            return ""
        opens = "is open" if self._answer_is_open(work) else "opens after one more"
        return f"{_tries(work).capitalize()} so far. The answer {opens}."

    def _refresh(self, identifier: str) -> None:
        if card := self._shown.get(identifier):
            card.show_progress(self._progress_sentence(identifier))

    def _trouble(self) -> list[str]:
        """Problems with the progress file: at most one sentence, and only once."""
        trouble = self._file.take_trouble()
        return [trouble] if trouble else []

    # --- Progress ------------------------------------------------------------------------------

    def progress(self) -> Card:
        """A table of the course: predictions kept, predictions that came true, exercises passed."""
        notes = self._file.read()
        lessons = [each for each in self._registry if each.predictions or each.exercises]
        exercises = [each for lesson in lessons for each in lesson.exercises]
        passed = sum(notes.work(each.id).passed for each in exercises)
        summary = f"{passed} of {len(exercises)} exercises passed"
        trouble = self._trouble()

        lines = [f"Progress: {summary}"]
        rows = []
        for lesson in lessons:
            predictions = _predictions(lesson, notes)
            lines.append(f"{lesson.number} {lesson.title}: predictions {predictions}")
            marks = [_mark(each, notes.work(each.id)) for each in lesson.exercises]
            lines += [f"   {each}" for each in marks]
            rows.append((f"{lesson.number} {lesson.title}", predictions, marks))
        blocks = [_table(rows), *map(style.aside, trouble)]
        return Card(style.PROGRESS, summary, blocks, "\n".join([*lines, *trouble]))

    def records(self, path: Path | None = None) -> list[Record]:
        """One record per exercise, tried or not, from this progress file or the one at `path`."""
        notes = (self._file if path is None else ProgressFile(path)).read()
        works = [(each.id, notes.work(each.id)) for each in self._registry.exercises]
        return [Record(each, work.passed, len(work.tries)) for each, work in works]

    def reset(self, identifier: str) -> Card:
        """Forget one exercise or prediction. ValueError for an unknown id."""
        if identifier in {each.id for each in self._registry.predictions}:
            self._file.update(lambda notes: _forget(notes.predictions, identifier))
        else:
            self._registry.exercise(identifier)  # raises for an unknown id
            self._file.update(lambda notes: _forget(notes.exercises, identifier))
        return self._after_reset(f"{identifier} is reset.", [identifier])

    def reset_progress(self) -> Card:
        """Forget all predictions and exercises."""

        def note(notes: Notes) -> None:
            notes.predictions.clear()
            notes.exercises.clear()

        self._file.update(note)
        return self._after_reset("The whole course is reset.", list(self._hints | self._shown))

    def _after_reset(self, words: str, identifiers: list[str]) -> Card:
        for each in identifiers:
            self._hints.pop(each, None)
            self._refresh(each)
        trouble = self._trouble()
        text = "\n".join([f"Progress: {words}", *trouble])
        return Card(style.PROGRESS, words, list(map(style.aside, trouble)), text)


def _forget(records: dict[str, Any], identifier: str) -> None:
    records.pop(identifier, None)


def _tries(work: Work) -> str:
    return "1 try" if len(work.tries) == 1 else f"{len(work.tries)} tries"


def _predictions(lesson: Lesson, notes: Notes) -> str:
    kept = [
        notes.predictions[each.id] for each in lesson.predictions if each.id in notes.predictions
    ]
    true = sum(each.choice == each.saw for each in kept)
    text = f"{len(kept)} of {len(lesson.predictions)} kept"
    return f"{text}, {true} came true" if kept else text


def _mark(exercise: Exercise, work: Work) -> str:
    if work.passed:
        return f"✓ {exercise.title} (passed)"
    tried = _tries(work) if work.tries else "not tried"
    return f"○ {exercise.title} ({tried})"


def _table(rows: list[tuple[str, str, list[str]]]) -> str:
    cell = 'style="text-align:left;vertical-align:top;padding:4px 12px"'
    heads = "".join(f"<th {cell}>{each}</th>" for each in ("Lesson", "Predictions", "Exercises"))
    body = "".join(
        f"<tr><td {cell}>{html.escape(lesson)}</td><td {cell}>{predictions}</td>"
        f"<td {cell}>{'<br>'.join(map(html.escape, marks)) or '–'}</td></tr>"
        for lesson, predictions, marks in rows
    )
    return f'<table style="font-size:14px"><tr>{heads}</tr>{body}</table>'
