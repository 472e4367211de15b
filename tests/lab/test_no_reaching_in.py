"""The lab uses only the interfaces of a bank: its code sets no attribute of a server's parts."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bankkit
from bankkit import Bank, lab
from bankkit.lab.lessons.lesson_06 import EXERCISES
from bankkit.lab.racing.starvation import measure_starvation
from bankkit.locks import LockTable, Mutex
from bankkit.rpc.admission import Admission
from bankkit.server import Server
from bankkit.service import BankService
from bankkit.store import Store
from bankkit.teller import Teller

PARTS = (Server, Teller, BankService, Admission, Store)
LAB = Path(bankkit.__file__).parent / "lab"


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lab fail if it sets an attribute of a server or of one of its parts."""

    def setter(plain: Any) -> Any:
        def set_attribute(part: object, name: str, value: object) -> None:
            code = sys._getframe(1).f_globals["__name__"]
            assert not code.startswith("bankkit.lab"), f"{code} sets {name} of {part!r}"
            plain(part, name, value)

        return set_attribute

    for kind in PARTS:
        monkeypatch.setattr(kind, "__setattr__", setter(kind.__setattr__))


@pytest.mark.usefixtures("read_only")
def test_the_fixture_notices() -> None:
    code = "def reach_in(teller): teller.locks = None"
    space: dict[str, Any] = {"__name__": "bankkit.lab.bad"}
    exec(code, space)
    with Bank() as bank, pytest.raises(AssertionError, match=r"bankkit\.lab\.bad sets locks of"):
        space["reach_in"](bank.server.teller)


@pytest.mark.usefixtures("read_only")
def test_a_recording_and_a_delay_set_nothing() -> None:
    with Bank() as bank:
        bank.client.create_account("alice")
        before = [dict(vars(part)) for part in (bank.server, bank.server.teller)]
        with lab.record(bank) as recording, lab.after_read(bank, lambda account: None):
            recording.stub_for("ann")
            bank.client.deposit("alice", 1)
        assert [dict(vars(part)) for part in (bank.server, bank.server.teller)] == before
    assert recording.last.status == "OK"


@pytest.mark.usefixtures("read_only")
@pytest.mark.parametrize("concurrency", ["none", "read-write", Mutex])
def test_a_race_sets_nothing(concurrency: Any) -> None:
    result = lab.race(concurrency, writers=2, readers=1, hold_ms=1, mode="forced")
    assert result.lost == (100_00 if concurrency == "none" else 0)


@pytest.mark.usefixtures("read_only")
def test_measure_starvation_sets_nothing() -> None:
    assert measure_starvation("fair").peak_readers() >= 1


@pytest.mark.usefixtures("read_only")
def test_the_check_of_a_lesson_sets_nothing() -> None:
    exercise = next(each for each in EXERCISES if each.id == "06.deposit_once")
    space: dict[str, Any] = {}
    exec(exercise.answer, space)
    with Bank() as bank:
        exercise.check(space["deposit_once"], bank)
        assert type(bank.server.teller.locks) is LockTable
        assert type(bank.server.teller.store) is Store


def test_no_code_of_the_lab_assigns_to_a_part_of_a_server() -> None:
    """Read the source too, because the tests above do not run a server's own process."""
    found = {
        f"{path.relative_to(LAB)}:{target.lineno} {ast.unparse(target)}"
        for path in LAB.rglob("*.py")
        for target in targets(ast.parse(path.read_text(encoding="utf-8")))
        if is_inside_a_server(target)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "is_bad"),
    [
        ("teller.locks = table", True),
        ("bank.server.teller.store = store", True),
        ("vars(service)['service'] = f", True),
        ("setattr(server.teller, 'locks', table)", True),
        ("del bank.server.service.service", True),
        ("self.locks, teller.locks = one, two", True),
        ("self.server = server", False),
        ("bank = Bank(locks=table)", False),
        ("vars(self)['widget'] = widget", False),
    ],
)
def test_what_counts_as_an_assignment(code: str, is_bad: bool) -> None:
    assert any(map(is_inside_a_server, targets(ast.parse(code)))) is is_bad


def targets(tree: ast.AST) -> Iterator[ast.expr]:
    """What the code assigns to or deletes, or passes to `setattr` or `vars`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield node
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "vars"):
            yield from (ast.Attribute(part, "it", lineno=node.lineno) for part in node.args[:1])


def is_inside_a_server(target: ast.expr) -> bool:
    """Whether the owner of this target has the name of a server or of one of its parts."""
    owner = target.value if isinstance(target, ast.Attribute | ast.Subscript) else target
    name = ast.unparse(owner).rpartition(".")[2].strip("_")
    return name in ("server", "teller", "service", "admission", "__dict__")
