"""Lesson 10 accepts every right way to release and to fence, and its text says what is so."""

import nbformat
import pytest

from bankkit import lab
from bankkit.lab.course.checks import judge
from bankkit.lab.course.exercises import Exercise
from bankkit.lab.faults import rig
from bankkit.options import BankOptions
from tests.support.paths import NOTEBOOKS

CELLS = nbformat.read(NOTEBOOKS / "10_two_servers.ipynb", as_version=4).cells
PROSE = "\n".join(" ".join(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown")

RELEASE = lab.registry().exercise("10.release")
FENCED_COMMIT = lab.registry().exercise("10.fenced_commit")


@pytest.mark.parametrize(
    ("exercise", "source"),
    [
        pytest.param(
            RELEASE,
            """
def release(redis, key, me):
    compare_and_delete = redis.register_script(
        "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"
    )
    return compare_and_delete(keys=[key], args=[me])
""",
            id="a registered script, and Redis' own 1 and 0",
        ),
        pytest.param(
            RELEASE,
            """
import redis as redis_py


def release(redis, key, me):
    with redis.pipeline() as together:
        together.watch(key)
        if together.get(key) != me:
            return False
        together.multi()
        together.delete(key)
        try:
            return together.execute() == [1]
        except redis_py.WatchError:
            return False
""",
            id="optimistically, by WATCH",
        ),
        pytest.param(
            FENCED_COMMIT,
            """
def fenced_commit(redis, account, balance, token):
    script = f'''
        local seen = redis.call('HGET', KEYS[1], 'token')
        if seen and tonumber(seen) > {token} then return false end
        redis.call('HMSET', KEYS[1], 'token', {token}, 'balance', {balance})
        return true
    '''
    return bool(redis.eval(script, 1, account))
""",
            id="another script",
        ),
    ],
)
def test_there_are_other_right_answers(exercise: Exercise, source: str) -> None:
    verdict = judge(exercise, exercise.load(source))
    assert verdict.outcome == "right", verdict.text


@pytest.mark.parametrize(
    ("exercise", "source", "said"),
    [
        (RELEASE, "return False", "asked Redis nothing"),
        (FENCED_COMMIT, "return True", "asked Redis nothing"),
        (RELEASE, "redis.get(key); return 'OK'", "and returned `OK`"),
        (RELEASE, "redis.getdel(key); redis.set(key, me); return True", "the key is still there"),
        (FENCED_COMMIT, "redis.get('x'); return True", "The first commit ever"),
        (FENCED_COMMIT, "redis.get('x'); return False", "The first commit ever"),
    ],
)
def test_other_wrong_answers_are_told_why(exercise: Exercise, source: str, said: str) -> None:
    parameters = exercise.stub.split("(")[1].split(")")[0]
    submission = exercise.load(f"def {exercise.name}({parameters}):\n    {source}\n")
    verdict = judge(exercise, submission)
    assert verdict.outcome == "wrong"
    assert said in verdict.text


def test_the_leases_are_as_long_as_the_text_says() -> None:
    assert rig.LEASE_SECONDS == 0.5
    assert BankOptions.lease == 3
    assert "A lease takes half a second here, and 3 seconds if you say nothing." in PROSE
