"""What the README shows works as it stands there."""

import re
import sys
from types import ModuleType

import pytest

import bankkit
from tests.benchmarks import other_explorers
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()

RIGHT = """
class MyLock:
    def __init__(self, threading):
        self._mutex = threading.Lock()

    def __enter__(self):
        self._mutex.acquire()

    def __exit__(self, *_):
        self._mutex.release()
"""
LEAKY = RIGHT.replace("_mutex.acquire()", "_mutex.locked()").replace("_mutex.release()", "_mutex")


def block(part: str) -> str:
    """The code of the part with this title."""
    (code,) = re.findall(rf"^## {part}\n.*?```python\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        (RIGHT, r"ok: every schedule with at most 2 preemptions ends well"),
        (LEAKY, r"bug after \d+ schedules? .*failed assertion: .*AssertionError"),
    ],
    ids=["right", "leaky"],
)
def test_a_lock_of_your_own(
    lock: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("Test a lock of your own")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    module = ModuleType("my_lock")
    exec(lock, vars(module))
    monkeypatch.setitem(sys.modules, "my_lock", module)
    exec(code, {"__name__": "readme"})
    assert re.match(says, capsys.readouterr().out)


@pytest.mark.parametrize(
    "part", ["The bank without the lessons", "Several servers, and more than one machine"]
)
def test_it_runs(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANKKIT_REDIS_URL", raising=False)
    exec(block(part), {"__name__": "readme", "bankkit": bankkit})


@pytest.mark.parametrize(
    ("row", "bound"),
    [("`explore`, no bound", {}), ("`explore`, 2 preemptions", {"preemptions": 2})],
)
def test_the_comparison_counts_our_schedules(row: str, bound: dict[str, int]) -> None:
    cells = [other_explorers.ours(make, **bound) for make in other_explorers.LOCKS.values()]
    assert f"\n| {row} | {' | '.join(cells)} |\n" in README
