"""The programs on which we compare explorers have the bugs that they should have, and no others."""

import pytest

from tests.benchmarks.compare_explorers import ours
from tests.benchmarks.compared_programs import PROGRAMS, Program

QUICK = ("lost update", "with a lock", "check, then act", "check and act")


def check(program: Program) -> None:
    """Explore it as the comparison does."""
    result = ours(program, lines=True, preemptions=2)
    assert result.verdict == ("bug" if program.has_bug else "ok"), result


@pytest.mark.parametrize("name", QUICK)
def test_a_program_with_plain_attributes_has_the_bug_that_it_should_have(name: str) -> None:
    check(next(each for each in PROGRAMS if each.name == name))


@pytest.mark.elsewhere
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: str(program.name))
def test_a_program_has_the_bug_that_it_should_have(program: Program) -> None:
    check(program)
