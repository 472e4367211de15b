"""Each exercise has enough well-formed answers on file, and the package contains no wrong answer.

`test_exercises.py` tests that each answer gets the right verdict; it has the banks for that.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankkit import lab
from bankkit.lab.course.exercises import Exercise
from tests.support import answers, lesson_99
from tests.support.paths import ROOT

EXERCISES = [*lab.registry().exercises, *lesson_99.EXERCISES]

AT_LEAST = {
    "00.cents": 5,
    "00.open_with": 6,
    "01.refusal": 4,
    "01.open_or_get": 5,
    "02.balance_or_none": 4,
    "02.decode_field": 7,
    "03.to_cents": 8,
    "03.deposit_once": 6,
    "04.withdraw_or_less": 7,
    "04.pay": 5,
    "05.add_interest": 7,
    "05.rounds_to_double": 5,
    "06.whose_move": 4,
    "06.deposit_once": 6,
    "07.schedule": 7,
    "07.stale_commits": 9,
    "08.acquire_read": 8,
    "08.release_write": 6,
    "08.polite_read": 5,
    "09.release_write": 6,
    "09.Mutex": 4,
    "09.WritersFirst": 4,
    "09.acquire_in_time": 6,
    "10.release": 11,
    "10.fenced_commit": 12,
    "11.slot_of": 7,
    "11.promises_lost": 6,
}
"""The least number of wrong answers per exercise, which must not shrink; a new one needs three."""


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.id)
class TestEveryExercise:
    def test_it_has_enough_wrong_answers_and_an_unusual_right_one(self, exercise: Exercise) -> None:
        assert len(answers.wrongs(exercise.id)) >= AT_LEAST.get(exercise.id, 3)
        assert answers.rights(exercise.id)

    def test_no_two_answers_are_the_same(self, exercise: Exercise) -> None:
        on_file = [*answers.wrongs(exercise.id), *answers.rights(exercise.id)]
        sources = [exercise.stub, exercise.answer, *(each.source for each in on_file)]
        for found in (
            Counter(ast.dump(ast.parse(source)) for source in sources),
            Counter(each.title for each in on_file),
        ):
            assert [each for each, times in found.items() if times > 1] == []

    def test_what_a_wrong_answer_expects_tells_one_sentence_from_another(
        self, exercise: Exercise
    ) -> None:
        assert [each.title for each in answers.wrongs(exercise.id) if len(each.expects) < 8] == []


@pytest.mark.parametrize("folder", [answers.WRONGS, answers.RIGHTS], ids=lambda path: path.name)
def test_every_file_is_for_an_exercise(folder: Path) -> None:
    assert answers.answered(folder) <= {each.id for each in EXERCISES}


def definitions(source: str, names: set[str]) -> Iterator[str]:
    """The statements of a source that define one of these names, dumped without their layout."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return  # not Python: most strings are prose
    for statement in statements:
        if names & set(answers.names_of(statement)):
            yield ast.dump(statement)


def test_no_wrong_answer_is_in_the_package() -> None:
    """The wheel contains the folder `bankkit`, as `test_packaging.py` checks."""
    wrong = {
        definition: answer
        for exercise in EXERCISES
        for answer in answers.wrongs(exercise.id)
        for definition in definitions(answer.source, {exercise.name})
    }
    names = {exercise.name for exercise in EXERCISES}
    for path in (ROOT / "bankkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for definition in definitions(node.value, names):
                    assert definition not in wrong, f"{wrong[definition]} is in {path}"


# --- Malformed answers ----------------------------------------------------------------------------

CELL = "# %% Cuts\n# expects: do not cut\ndef to_cents(dollars):\n    return int(dollars * 100)\n"
RIGHT = "# %% Rounds\ndef to_cents(dollars):\n    return round(dollars * 100)\n"


def test_a_cell_is_a_title_a_sentence_and_what_a_learner_writes() -> None:
    first, second = answers.parse(f"{CELL}\n\n{CELL}", "99.to_cents", wrong=True)
    assert first == second
    assert str(first) == "99.to_cents Cuts"
    assert first.expects == "do not cut"
    assert first.source == "def to_cents(dollars):\n    return int(dollars * 100)\n"


@pytest.mark.parametrize(
    ("text", "wrong", "said"),
    [
        (f"import math\n{CELL}", True, "'import math' stands above the first '# %%'"),
        (CELL.replace(" Cuts", ""), True, "nothing says what is special about it"),
        (RIGHT, True, "Rounds: the line after the title must begin with '# expects:'"),
        (CELL, False, "Cuts: a right answer expects no sentence"),
        (CELL.replace("to_cents", "in_cents"), True, "Cuts: it must define to_cents once"),
        (CELL + RIGHT.replace("%%", "%"), True, "Cuts: it must define to_cents once"),
    ],
)
def test_what_is_not_in_order_is_named(text: str, wrong: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(answers.parse(text, "99.to_cents", wrong=wrong))
