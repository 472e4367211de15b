"""The questions of a lesson, predictions and exercises, and the registry that finds them by id.

A lesson's questions are in one module, `bankkit/lab/lessons/lesson_NN.py`, with three names:
`TITLE` (str), `PREDICTIONS` and `EXERCISES` (tuples). An id is the lesson's number, a dot and a
name: `01.safe_open`. The name of an exercise is also the name that the learner defines.
"""

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bankkit.runtime.pickling import Copied

_ID = re.compile(r"\d\d\.[A-Za-z_][A-Za-z0-9_]*")


class Wrong(Copied, Exception):
    """Raised by a check: one plain sentence that tells the learner what is wrong.

    `shown` appears below the sentence with its line breaks unchanged, such as a table.
    """

    def __init__(self, sentence: str, shown: str = "") -> None:
        super().__init__(sentence)
        self.shown = shown


def _check_id(identifier: str) -> None:
    if not _ID.fullmatch(identifier):
        raise ValueError(f"id {identifier!r} must look like '01.name'")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A question before the cell that answers it.

    `options` maps each possible result (compared with `reveal(saw=...)`) to the words that the
    learner chooses; `expects` is the result of a right run, and `why` explains it. Raises
    ValueError for a malformed id, for fewer than two options, and if `expects` is not an option.
    """

    id: str
    question: str
    options: Mapping[str, str]
    expects: str
    why: str

    def __post_init__(self) -> None:
        _check_id(self.id)
        if len(self.options) < 2:
            raise ValueError(f"{self.id}: a prediction needs at least two options")
        if self.expects not in self.options:
            raise ValueError(
                f"{self.id}: expects {self.expects!r}, which is not one of its options"
            )

    def labels(self) -> dict[str, str]:
        """The letter and the words of each option, by its result: `{"OK": "A. It works."}`."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return {
            saw: f"{letter}. {words}"
            for letter, (saw, words) in zip(letters, self.options.items(), strict=False)
        }

    def option(self, letter: str) -> str:
        """The result that the option with this letter stands for. ValueError if there is none."""
        for saw, label in self.labels().items():
            if label[0] == letter.strip().upper():
                return saw
        letters = ", ".join(label[0] for label in self.labels().values())
        raise ValueError(f"{self.id} has no option {letter!r}; choose one of {letters}")


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A task for the learner, with its check, hints and answer.

    `stub` and `answer` are Python text that defines the name the id ends with: a function, a class
    or a value. `check(submission)` returns if the submission is right, and the learner then sees
    `right`; otherwise it raises `Wrong`. With `bank=Bank` (or any callable that makes a context
    manager), the call is `check(submission, bank)` with a new bank. It starts before the time
    limit begins and stops after the check. Raises ValueError for a malformed id and without hints.
    """

    id: str
    title: str
    task: str
    stub: str
    hints: tuple[str, ...]
    answer: str
    check: Callable[..., None]
    right: str
    bank: Callable[[], AbstractContextManager[Any]] | None = None

    def __post_init__(self) -> None:
        _check_id(self.id)
        if not self.hints:
            raise ValueError(f"{self.id}: an exercise needs at least one hint")

    @property
    def name(self) -> str:
        """The name that the learner's cell defines: `safe_open` in `01.safe_open`."""
        return self.id.partition(".")[2]

    def load(self, text: str) -> Any:
        """Run Python text in a new namespace and return the value of this exercise's name.

        Raises KeyError if the text does not define it, and any error that the text raises.
        """
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, f"<{self.id}>", "exec"), namespace)
        return namespace[self.name]


@dataclass(frozen=True)
class Lesson:
    """The questions of one notebook, in the notebook's order.

    Raises ValueError for an id that occurs twice or belongs to another lesson.
    """

    number: str
    title: str
    predictions: tuple[Prediction, ...]
    exercises: tuple[Exercise, ...]

    def __post_init__(self) -> None:
        ids = [each.id for each in self.predictions] + [each.id for each in self.exercises]
        for each in ids:
            if ids.count(each) > 1:
                raise ValueError(f"{each} is defined twice")
            if not each.startswith(f"{self.number}."):
                raise ValueError(f"{each} does not belong to lesson {self.number}")


class Registry:
    """All lessons. Each is imported at its first use, so a broken lesson does not break others."""

    def __init__(self, package: str | None = None) -> None:
        self._lessons: dict[str, Lesson] = {}
        self._modules: dict[str, str] = {}
        if package is not None:
            for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if re.fullmatch(r"lesson_\d\d", found.name):
                    self._modules[found.name[-2:]] = f"{package}.{found.name}"

    def add(self, module: ModuleType) -> Lesson:
        """Add the lesson that a module called `lesson_NN` defines."""
        number = module.__name__[-2:]
        lesson = Lesson(number, module.TITLE, module.PREDICTIONS, module.EXERCISES)
        self._lessons[number] = lesson
        return lesson

    def lesson(self, number: str) -> Lesson | None:
        """The lesson with this number, such as '01', or None."""
        if number not in self._lessons and number in self._modules:
            self.add(importlib.import_module(self._modules[number]))
        return self._lessons.get(number)

    def __iter__(self) -> Iterator[Lesson]:
        for number in sorted({*self._modules, *self._lessons}):
            lesson = self.lesson(number)
            assert lesson is not None
            yield lesson

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """All predictions of all lessons."""
        return tuple(each for lesson in self for each in lesson.predictions)

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """All exercises of all lessons."""
        return tuple(each for lesson in self for each in lesson.exercises)

    def prediction(self, identifier: str) -> Prediction:
        """The prediction with this id. Raises ValueError, which names close matches."""
        lesson = self.lesson(str(identifier)[:2])
        for each in lesson.predictions if lesson else ():
            if each.id == identifier:
                return each
        raise _unknown("prediction", identifier, [each.id for each in self.predictions])

    def exercise(self, identifier: str) -> Exercise:
        """The exercise with this id. Raises ValueError, which names close matches."""
        lesson = self.lesson(str(identifier)[:2])
        for each in lesson.exercises if lesson else ():
            if each.id == identifier:
                return each
        raise _unknown("exercise", identifier, [each.id for each in self.exercises])


def _unknown(what: str, identifier: object, known: list[str]) -> ValueError:
    close = difflib.get_close_matches(str(identifier), known, n=3, cutoff=0.6)
    if close:
        advice = f"did you mean {' or '.join(close)}?"
    elif known:
        advice = f"there are {', '.join(known)}"
    else:
        advice = "no lesson defines one"
    return ValueError(f"no {what} has the id {identifier!r}; {advice}")
