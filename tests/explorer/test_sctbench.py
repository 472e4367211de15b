"""The default search finds the bugs of SCTBench's programs, and none in their corrections."""

import pytest

from bankkit import explorer
from tests.explorer.specimens import Specimen
from tests.explorer.specimens.sctbench import SPECIMENS

QUICK = {
    "account", "bluetooth_driver", "carter01", "deadlock01", "din_phil2", "din_phil3", "lazy01",
    "phase01", "reorder_3", "sync01", "token_ring", "twostage", "wronglock_3",
}  # fmt: skip
"""Their searches, and those of their corrections, end within a fraction of a second."""
SECONDS = 15.0


def named(names: set[str]) -> pytest.MarkDecorator:
    """The programs of these names, as parameters of a test."""
    chosen = [each for each in SPECIMENS if each.name in names]
    assert len(chosen) == len(names)
    return pytest.mark.parametrize("program", chosen, ids=lambda program: str(program.name))


@named(QUICK)
def test_the_bug_is_found_and_its_correction_is_searched_whole(program: Specimen) -> None:
    found = explorer.explore(program.broken)
    assert found.bug is not None, found
    assert (found.bug.kind, found.bug.schedule.preemptions) == (
        program.kind,
        program.preemptions,
    ), found
    corrected = explorer.explore(program.corrected)
    assert corrected.verdict == "ok", corrected


@pytest.mark.elsewhere
@named({each.name for each in SPECIMENS} - QUICK)
def test_the_bug_is_found_within_seconds(program: Specimen) -> None:
    found = explorer.explore(program.broken, seconds=SECONDS)
    assert found.bug is not None, found
    assert found.bug.kind == program.kind, found


@pytest.mark.elsewhere
@named({each.name for each in SPECIMENS} - QUICK)
def test_a_correction_has_no_bug(program: Specimen) -> None:
    assert explorer.explore(program.corrected, seconds=SECONDS).bug is None


@pytest.mark.elsewhere
@named({"reorder_10", "reorder_20"})
def test_random_schedules_find_what_many_orders_hide(program: Specimen) -> None:
    found = explorer.explore(program.broken, strategy="pct", schedules=5000)
    assert found.bug is not None, found
    assert found.bug.kind == program.kind, found


def test_the_group_is_complete() -> None:
    """The study lists 29 programs in this group."""
    assert len({each.name for each in SPECIMENS}) == len(SPECIMENS) == 29
