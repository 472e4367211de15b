"""Every registered exercise and prediction is sound, and no submission breaks the machinery."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import nbformat
import pytest
import redis
from nbclient import NotebookClient

from bankkit import Bank, CallError, lab
from bankkit.explorer.search import shortening
from bankkit.lab.course.cards import Card, ExerciseCard, PredictionCard
from bankkit.lab.course.checks import Verdict, judge
from bankkit.lab.course.course import Course
from bankkit.lab.course.exercises import Exercise, Prediction, Registry, Wrong
from bankkit.lab.course.progress_file import ProgressFile
from tests.support import answers, lesson_99
from tests.support.answers import Answer
from tests.support.paths import ROOT

SAMPLE = {each.id: each for each in lesson_99.EXERCISES}
TO_CENTS, OPEN = SAMPLE["99.to_cents"], SAMPLE["99.open"]
CUT, FLOAT, NOTHING = (each.source for each in answers.wrongs("99.to_cents"))

COURSE_EXERCISES = [*lab.registry().exercises, *lesson_99.EXERCISES]
COURSE_PREDICTIONS = [*lab.registry().predictions, *lesson_99.PREDICTIONS]
WRONGS = [
    pytest.param(each, wrong, id=str(wrong))
    for each in COURSE_EXERCISES
    for wrong in answers.wrongs(each.id)
]
RIGHTS = [
    pytest.param(each, right, id=str(right))
    for each in COURSE_EXERCISES
    for right in answers.rights(each.id)
]


def by_id(each: Any) -> str:
    return str(each.id) if isinstance(each, Exercise | Prediction) else ""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    registry = Registry()
    registry.add(lesson_99)
    return Course(registry, ProgressFile(tmp_path / "progress.json"))


def in_one_sentence_or_two(verdict: Verdict) -> bool:
    """Whether the text is short, ends like a sentence, and contains no traceback."""
    said = verdict.text
    return bool(said) and said[-1] in ".?!)`" and "Traceback" not in said and len(said) < 700


# --- Every exercise and prediction of every lesson ------------------------------------------------


class SharedBank:
    """One bank for all cases, without accounts when a case begins.

    It starts again if a submission has stopped the bank or its Redis.
    """

    def __init__(self) -> None:
        self._bank: Bank | None = None

    @contextmanager
    def empty(self) -> Iterator[Bank]:
        if self._bank is None:
            self._bank = Bank()
        yield self._bank
        try:
            for key in self._bank.redis.scan_iter(f"{self._bank.store.namespace}:{{*"):
                self._bank.redis.delete(key)
            self._bank.client.create_account("alive")
            self._bank.redis.delete(f"{self._bank.store.namespace}:{{alive}}:account")
        except (redis.RedisError, CallError, RuntimeError):
            self.close()

    def close(self) -> None:
        if self._bank is not None:
            self._bank.stop()
        self._bank = None


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedBank]:
    with closing(SharedBank()) as shared:
        yield shared


@pytest.fixture
def exercise(request: pytest.FixtureRequest, shared: SharedBank) -> Exercise:
    """The exercise under test, with the shared bank in place of its own."""
    each: Exercise = request.param
    return replace(each, bank=shared.empty) if each.bank is Bank else each


@pytest.mark.parametrize("exercise", COURSE_EXERCISES, ids=by_id, indirect=True)
class TestEveryExercise:
    def test_the_stub_is_nothing_yet(self, exercise: Exercise) -> None:
        verdict = judge(exercise, exercise.load(exercise.stub))
        assert verdict.outcome == "nothing yet", verdict.text

    def test_the_check_alone_refuses_the_stub(self, exercise: Exercise) -> None:
        """A slightly changed stub must still fail the check."""
        with BankOrNothing(exercise) as given, pytest.raises(Exception):  # noqa: B017, PT011
            exercise.check(exercise.load(exercise.stub), *given)

    def test_the_answer_is_right(self, exercise: Exercise) -> None:
        verdict = judge(exercise, exercise.load(exercise.answer))
        assert (verdict.outcome, verdict.text) == ("right", exercise.right)

    def test_there_is_a_hint(self, exercise: Exercise) -> None:
        assert all(exercise.hints)

    def test_odd_submissions_get_an_answer(
        self, exercise: Exercise, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shortening, "MINIMISING_SECONDS", 0.0)  # any failing schedule is enough
        for odd in ODD:
            verdict = judge(exercise, odd)
            assert verdict.outcome in ("wrong", "failed"), (odd, verdict.text)
            assert in_one_sentence_or_two(verdict), verdict.text

    def test_the_notebook_has_the_stub(self, exercise: Exercise) -> None:
        """Otherwise an unchanged notebook would not get the verdict "nothing yet"."""
        if exercise.id.startswith("99."):
            return  # the sample has no notebook
        paths = list((ROOT / "notebooks").glob(f"{exercise.id[:2]}_*.ipynb"))
        assert len(paths) == 1, f"lesson {exercise.id[:2]} must have one notebook"
        cells = [cell.source for cell in nbformat.read(paths[0], as_version=4).cells]
        assert any(exercise.stub.strip() in source for source in cells)
        assert any(f'lab.check("{exercise.id}", {exercise.name})' in source for source in cells)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("exercise", "wrong"), WRONGS, indirect=["exercise"])
def test_a_wrong_answer_is_told_why(exercise: Exercise, wrong: Answer) -> None:
    verdict = judge(exercise, exercise.load(wrong.source))
    assert verdict.outcome in ("wrong", "failed"), verdict.text
    assert wrong.expects in verdict.text
    assert in_one_sentence_or_two(verdict), verdict.text


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("exercise", "right"), RIGHTS, indirect=["exercise"])
def test_an_unusual_right_answer_is_right(exercise: Exercise, right: Answer) -> None:
    verdict = judge(exercise, exercise.load(right.source))
    assert verdict.outcome == "right", verdict.text


@pytest.mark.parametrize("prediction", COURSE_PREDICTIONS, ids=by_id)
def test_every_prediction_asks_and_explains(prediction: Prediction) -> None:
    assert prediction.question.strip().endswith("?")
    assert len(set(prediction.options.values())) == len(prediction.options)
    assert prediction.why.strip().endswith((".", "`", ")"))


class BankOrNothing:
    """The arguments that a check gets after the submission: a bank, or none."""

    def __init__(self, exercise: Exercise) -> None:
        self._bank: AbstractContextManager[Any] | None = exercise.bank and exercise.bank()

    def __enter__(self) -> tuple[Any, ...]:
        return () if self._bank is None else (self._bank.__enter__(),)

    def __exit__(self, *exc: Any) -> None:
        if self._bank is not None:
            self._bank.__exit__(*exc)


# --- Any object as a submission -------------------------------------------------------------------


class Hostile:
    """An object whose every attribute, and whose repr, raises an error."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


class UntoldError(Exception):
    def __str__(self) -> str:
        raise ValueError("cannot be told")


def returns_nothing(*args: Any) -> None:
    print(args)


def returns_an_object(*args: Any) -> object:
    return object()


def returns_text(*args: Any) -> str:
    return "🏦" * 10_000


def raises_keyed(*args: Any) -> Any:
    nothing: dict[str, Any] = {}
    return nothing["missing"]


def raises_untold(*args: Any) -> Any:
    raise UntoldError


def exits(*args: Any) -> Any:
    sys.exit("goodbye")


def recurses(*args: Any) -> Any:
    return recurses(*args)


def floods(*args: Any) -> Any:
    for _ in range(100_000):
        print("flood " * 10)


def no_parameters() -> None:
    print("called")


async def waits(*args: Any) -> None:
    print("awaited")


ODD: list[Any] = [
    *(None, 42, float("nan"), "text", b"bytes", [], {}, object(), Hostile(), int, sys, Hostile),
    *(
        returns_nothing,
        returns_an_object,
        returns_text,
        raises_keyed,
        raises_untold,
        exits,
        recurses,
    ),
    *(no_parameters, waits),
]


def say(submission: Any, exercise: Exercise = TO_CENTS, limit: float = 10) -> Verdict:
    verdict = judge(exercise, submission, limit)
    assert in_one_sentence_or_two(verdict), verdict.text
    return verdict


def test_an_error_is_told_with_type_message_and_line() -> None:
    line = raises_keyed.__code__.co_firstlineno + 2
    assert say(raises_keyed).text == (
        f"Your code raised KeyError: 'missing' in line {line} of your cell "
        '(`return nothing["missing"]`).'
    )


@pytest.mark.parametrize(
    ("submission", "part"),
    [
        (raises_untold, "raised UntoldError in line"),
        (exits, "asked Python to exit"),
        (recurses, "calls itself without end"),
        (None, "and got `None`: hand over `to_cents`, without brackets"),
        (42, "and got an `int`"),
        (int, "and got the class `int`"),
        (no_parameters, "must have the parameters of the task: `(dollars)`"),
        (waits, "write `def`, not `async def`"),
    ],
)
def test_what_is_odd_is_named(submission: Any, part: str) -> None:
    assert part in say(submission).text


def test_an_object_that_refuses_every_question_is_named() -> None:
    class Exits(Hostile):
        def __repr__(self) -> str:
            raise SystemExit("no")

    assert "and got a `Hostile`" in say(Hostile()).text
    assert "The check could not be run (SystemExit: no)" in say(Exits()).text


def test_a_flood_of_output_is_cut() -> None:
    verdict = say(floods)
    assert verdict.output.startswith("flood flood")
    assert verdict.output.endswith("more characters")
    assert len(verdict.output) < 2000


def spins(*args: Any) -> Any:
    while True:
        pass


def retries_forever(*args: Any) -> Any:
    while True:
        try:  # noqa: SIM105 - as learners write it
            threading.Event().wait(5)
        except:  # noqa: E722
            pass


def waits_for_a_lock(*args: Any) -> Any:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def floods_forever(*args: Any) -> Any:
    while True:
        print("flood " * 10)


def gives_up_late(*args: Any) -> Any:
    try:
        retries_forever()
    except:  # noqa: E722
        return "as if nothing had happened"


ENDLESS = [gives_up_late, spins, retries_forever, waits_for_a_lock, floods_forever]


@pytest.mark.parametrize("submission", ENDLESS)
def test_what_never_ends_is_stopped(submission: Any) -> None:
    trace, handler = sys.gettrace(), signal.getsignal(signal.SIGALRM)
    assert "had not finished after 0.3 seconds" in say(submission, limit=0.3).text
    assert sys.gettrace() is trace
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("submission", [spins, floods_forever, recurses, exits])
def test_outside_the_main_thread_too(submission: Any) -> None:
    """A signal reaches only the main thread. Elsewhere the check runs in a thread of its own."""
    verdicts: list[Verdict] = []
    caller = threading.Thread(target=lambda: verdicts.append(say(submission, limit=0.3)))
    caller.start()
    caller.join(30)
    assert verdicts[0].outcome == "failed"
    assert not [each for each in threading.enumerate() if each.name == "bankkit-check"]


def test_a_thread_that_blocks_is_left_behind() -> None:
    blocked = threading.Lock()
    blocked.acquire()
    verdicts: list[Verdict] = []

    def blocks(dollars: float) -> None:
        blocked.acquire()

    caller = threading.Thread(target=lambda: verdicts.append(say(blocks, limit=0.3)))
    caller.start()
    caller.join(30)
    assert "had not finished" in verdicts[0].text
    blocked.release()
    for each in threading.enumerate():
        if each.name == "bankkit-check":
            each.join(30)


def test_what_is_printed_comes_back_after_checks_in_two_threads() -> None:
    """The second check begins during the first one, and ends after it."""
    began, over = threading.Event(), threading.Event()

    def first(dollars: float) -> None:
        began.set()
        over.wait(0.5)

    def second(dollars: float) -> None:
        over.set()
        one.join(30)

    out, err = sys.stdout, sys.stderr
    one = threading.Thread(target=say, args=(first,))
    one.start()
    assert began.wait(30)
    other = threading.Thread(target=say, args=(second,))
    other.start()
    other.join(30)
    assert (sys.stdout, sys.stderr) == (out, err)


def test_another_timer_of_the_notebook_still_rings() -> None:
    rung: list[int] = []

    def ring(signum: int, frame: FrameType | None) -> None:
        rung.append(signum)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert say(returns_text).outcome == "wrong"
        deadline = time.monotonic() + 10
        while not rung and time.monotonic() < deadline:
            signal.sigtimedwait([], 0.05)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung


def test_the_interrupt_button_ends_a_check_and_counts_nothing(course: Course) -> None:
    main = threading.main_thread().ident
    assert main is not None
    began = threading.Event()

    def waits_long(dollars: float) -> None:
        began.set()
        threading.Event().wait(30)

    def press() -> None:
        began.wait(30)
        signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    card = course.check("99.to_cents", waits_long)
    presser.join(30)
    assert "You interrupted the check" in repr(card)
    assert course.records()[0].tries == 0


def test_a_stopped_bank_is_named() -> None:
    with Bank() as bank:
        stub, client = bank.stub, bank.client

    by_stub = OPEN.load(OPEN.answer)
    for function in (
        lambda other, id: by_stub(stub, id),
        lambda other, id: client.create_account(id),
    ):
        assert "is stopped: run the lesson's start cell" in say(function, OPEN).text


def test_a_check_without_a_bank_is_no_try(course: Course, monkeypatch: Any) -> None:
    monkeypatch.setenv("BANKKIT_REDIS_URL", "redis://127.0.0.1:1")
    card = course.check("99.open", OPEN.load(OPEN.answer))
    assert repr(card).startswith("! Not checked: The check could not be run (RedisUnavailable")
    assert course.records()[1].tries == 0


def test_an_unforeseen_result_is_the_learners_to_fix() -> None:
    careless = Exercise(**{**vars(TO_CENTS), "check": lambda to_cents: to_cents(1.0).balance})
    verdict = say(TO_CENTS.load(NOTHING), careless)
    assert verdict.outcome == "unusable"
    assert "'NoneType' object has no attribute 'balance'" in verdict.text


@pytest.mark.parametrize("kind", ["value", "class"])
def test_a_value_or_a_class_can_be_asked_for(kind: str) -> None:
    def check(given: Any) -> None:
        if (given().rate if kind == "class" else given) != 5:
            raise Wrong("The rate must be 5.")

    stub = "class to_cents:\n    def grow(self): ...\n" if kind == "class" else "to_cents = ...\n"
    asked = Exercise(**{**vars(TO_CENTS), "check": check, "stub": stub})
    five: Any = type("Five", (), {"rate": 5}) if kind == "class" else 5
    four: Any = type("Four", (), {"rate": 4}) if kind == "class" else 4
    assert say(asked.load(stub), asked).outcome == "nothing yet"
    assert say(four, asked).text == "The rate must be 5."
    assert say(five, asked).outcome == "right"


# --- A learner at work ----------------------------------------------------------------------------


def test_the_answer_opens_after_two_different_tries(course: Course) -> None:
    for source in (TO_CENTS.stub, CUT, CUT):  # neither the stub nor a repeated submission is a try
        course.check("99.to_cents", TO_CENTS.load(source))
    assert "1 try so far" in repr(course.answer("99.to_cents"))
    assert "round(" not in repr(course.answer("99.to_cents"))
    course.check("99.to_cents", TO_CENTS.load(FLOAT))
    assert "return round(dollars * 100)" in repr(course.answer("99.to_cents"))
    assert course.records()[0] == lab.Record("99.to_cents", passed=False, tries=2)


def test_passing_opens_the_answer_and_stays(course: Course) -> None:
    course.check("99.to_cents", TO_CENTS.load(TO_CENTS.answer))
    course.check("99.to_cents", TO_CENTS.load(CUT))
    assert "return round(dollars * 100)" in repr(course.answer("99.to_cents"))
    assert course.records()[0].passed


def test_layout_and_comments_make_no_new_try(course: Course) -> None:
    for source in (
        "def to_cents(dollars):\n    return dollars\n",
        'def to_cents(dollars):\n    "Cents."\n    # a comment\n\n    return dollars\n',
    ):
        course.check("99.to_cents", TO_CENTS.load(source))
    assert course.records()[0].tries == 1


def test_hints_come_one_after_the_other(course: Course) -> None:
    first, second, third = (repr(course.hint("99.to_cents")) for _ in range(3))
    assert first == "Hint 1 of 2:\nThere are 100 cents in a dollar."
    assert second.startswith("Hint 2 of 2:")
    assert second == third
    assert first.splitlines()[1] in second


def test_a_click_keeps_a_prediction(course: Course) -> None:
    card = course.predict("99.cents")
    assert isinstance(card, PredictionCard)
    assert card.widget.children[1] is card.radio
    assert card.radio.value is None
    assert card.button.disabled
    card.radio.value = "True"
    assert not card.button.disabled
    card.button.click()
    assert "Your prediction is kept: A. <code>True</code>" in card.status.value
    revealed = repr(course.reveal("99.cents", saw=0.1 + 0.2 == 0.3))
    assert revealed.startswith("≠ Not what you predicted: B. `False`")
    assert "You had chosen A. `True`" in revealed
    assert "Your prediction is kept: A." in repr(course.predict("99.cents"))
    assert "predictions 1 of 1 kept, 0 came true" in repr(course.progress())


def test_a_letter_keeps_a_prediction(course: Course) -> None:
    course.predict("99.cents", "b")
    revealed = repr(course.reveal("99.cents", saw=False))
    assert revealed.startswith("✓ As you predicted: B. `False`: they differ.\nNeither 0.1")
    assert "1 came true" in repr(course.progress())
    with pytest.raises(ValueError, match="no option 'C'; choose one of A, B"):
        course.predict("99.cents", "C")


def test_revealing_without_a_prediction_explains_too(course: Course) -> None:
    revealed = repr(course.reveal("99.cents", saw=False))
    assert revealed.startswith("→ What happened: B. `False`")
    assert revealed.endswith("You kept no prediction this time.")


def test_what_the_lesson_does_not_expect_is_not_explained(course: Course) -> None:
    course.predict("99.cents", "A")
    for saw in (True, "something else", None):
        revealed = repr(course.reveal("99.cents", saw=saw))
        assert revealed.startswith(f"! Unexpected: This run showed '{saw}', but the lesson expec")
        assert "binary fraction" not in revealed


def test_a_status_code_may_be_revealed_as_it_is(course: Course) -> None:
    revealed = repr(course.reveal("99.cents", saw=grpc.StatusCode.NOT_FOUND))
    assert "This run showed 'NOT_FOUND'" in revealed


def test_the_buttons_of_an_exercise(course: Course) -> None:
    card = course.exercise("99.to_cents")
    assert isinstance(card, ExerciseCard)
    assert len(card.widget.children) == 4
    card.hint_button.click()
    assert "There are 100 cents" in card.help.value
    card.answer_button.click()
    assert "opens after 2 different tries; 0 tries so far" in card.help.value
    for source in (CUT, FLOAT, NOTHING):
        course.check("99.to_cents", TO_CENTS.load(source))
    assert "3 tries so far. The answer is open." in card.status.value
    card.answer_button.click()
    assert "return round(dollars * 100)" in card.help.value
    course.reset("99.to_cents")
    assert card.status.value == ""


def test_unknown_ids_are_named_with_close_ones(course: Course) -> None:
    for call in (course.exercise, course.hint, course.answer, course.reset):
        with pytest.raises(ValueError, match=r"'99.to_cent'; did you mean 99.to_cents"):
            call("99.to_cent")
    with pytest.raises(ValueError, match=r"'cents'; did you mean 99.cents\?"):
        course.predict("cents")
    with pytest.raises(ValueError, match=r"there are 99\.to_cents, 99\.open"):
        course.check("zzzzzz", None)
    with pytest.raises(ValueError, match="no lesson defines one"):
        Registry().exercise("01.x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "cents"}, "must look like '01.name'"),
        ({"options": {"True": "yes"}}, "at least two options"),
        ({"expects": "Maybe"}, "not one of its options"),
    ],
)
def test_a_malformed_prediction_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prediction(**{**vars(lesson_99.PREDICTIONS[0]), **change})


# --- What is shown --------------------------------------------------------------------------------


def shown(course: Course) -> Iterator[Card]:
    """Every kind of card, before and after some work."""
    yield course.predict("99.cents")
    yield course.reveal("99.cents", saw=False)
    yield course.reveal("99.cents", saw="<b>&</b>")
    yield course.predict("99.cents", "A")
    yield course.reveal("99.cents", saw=False)
    yield course.exercise("99.to_cents")
    for source in (TO_CENTS.stub, CUT, FLOAT, NOTHING, TO_CENTS.answer):
        yield course.answer("99.to_cents")
        yield course.check("99.to_cents", TO_CENTS.load(source))
    yield course.hint("99.to_cents")
    yield course.answer("99.to_cents")
    yield course.exercise("99.to_cents")
    yield course.progress()
    yield course.reset("99.to_cents")
    yield course.reset_progress()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_text_and_html_say_the_same(course: Course) -> None:
    for card in shown(course):
        bundle = card._repr_mimebundle_()
        visible = re.sub(r"<[^>]*>", " ", bundle["text/html"])
        for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), ("&#x27;", "'")):
            visible = visible.replace(entity, character)
        spoken = set(words(bundle["text/plain"])) - set(words(visible))
        # In the HTML, a badge, a heading or a column's title says these words.
        assert spoken <= {"Predict", "Exercise", "99", "to_cents", "predictions"}, spoken
        assert bundle["text/plain"] == repr(card)


def test_html_stands_alone_and_is_large_enough(course: Course) -> None:
    for card in shown(course):
        page = card._repr_mimebundle_()["text/html"]
        assert "http" not in page
        assert "<script" not in page
        sizes = [int(each) for each in re.findall(r"font-size:(\d+)px", page)]
        assert sizes
        assert min(sizes) >= 12  # 9 pt


def test_html_of_others_is_escaped(course: Course) -> None:
    def to_cents(dollars: float) -> None:
        raise ValueError("<script>alert(1)</script>")

    assert "<script" not in course.check("99.to_cents", to_cents)._repr_mimebundle_()["text/html"]


NOTEBOOK = [
    "from bankkit import lab\nfrom tests.support import lesson_99",
    "_ = lab.registry().add(lesson_99)",
    'lab.predict("99.cents")',
    'lab.reveal("99.cents", saw=0.1 + 0.2 == 0.3)',
    'lab.exercise("99.to_cents")',
    "def to_cents(dollars):\n    ...",
    'lab.check("99.to_cents", to_cents)',
    "def to_cents(dollars):\n    cents = dollars / 0\n    return cents",
    'lab.check("99.to_cents", to_cents)',
    "lab.progress()",
    "lab.reset_progress()",
]


def executed() -> Any:
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, NOTEBOOK)))
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute(cwd=str(ROOT))
    return notebook


def test_in_a_real_kernel_two_runs_show_the_same() -> None:
    notebooks = executed(), executed()
    runs = []
    for notebook in notebooks:
        outputs = [output for cell in notebook.cells for output in cell.outputs]
        assert [output.output_type for output in outputs] == ["execute_result"] * 7
        live = "application/vnd.jupyter.widget-view+json"
        assert [live in output.data for output in outputs] == [True, False, True, *[False] * 4]
        runs.append([{**output.data, live: None} for output in outputs])
    assert runs[0] == runs[1]
    texts = [data["text/plain"] for data in runs[0]]
    assert texts[0].splitlines()[1] == "  A. `True`: they are the same number."
    assert texts[1].startswith("→ What happened")
    assert texts[3].startswith("○ Nothing yet: `to_cents` is still as it was given to you.")
    assert re.fullmatch(  # Python 3.14 does not name the number's type
        r"✗ Not yet: Your code raised ZeroDivisionError: (float )?division by zero in line 2 of "
        r"your cell \(`cents = dollars / 0`\)\.",
        texts[4].splitlines()[0],
    )
    assert "○ Dollars to cents (1 try)" in texts[5]


def test_without_ipywidgets_one_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['ipywidgets'] = None; import bankkit.lab"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    last = run.stderr.splitlines()[-1]
    assert last == "ImportError: bankkit.lab needs ipywidgets: pip install 'bankkit[lab]'"


def test_importing_the_lab_loads_no_widgets() -> None:
    code = "import sys, bankkit.lab; print('ipywidgets' in sys.modules, 'IPython' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "False False\n", run.stderr
