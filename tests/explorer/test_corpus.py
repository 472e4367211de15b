"""The explorer finds each specimen's mistake, and nothing in its correction."""

import pytest

from bankkit import lab
from tests.explorer.specimens import Specimen, data, locking, waiting
from tests.support.shares import in_turn

CORPUS = (*data.SPECIMENS, *waiting.SPECIMENS, *locking.SPECIMENS)

BOUNDS = {
    "reduced, 2 preemptions": {"preemptions": 2},
    "reduced, no bound": {},
    "every schedule, 2 preemptions": {"preemptions": 2, "reduction": False},
}


@pytest.mark.parametrize(
    ("specimen", "bound"),
    in_turn(CORPUS, list(BOUNDS)),
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_the_mistake_is_found_and_its_correction_is_not(specimen: Specimen, bound: str) -> None:
    """The schedule ends as the specimen says, and it has the fewest preemptions possible."""
    settings = BOUNDS[bound]
    found = lab.explore(specimen.broken, **settings)  # type: ignore[arg-type]
    assert found.bug is not None, found
    assert (found.bug.kind, found.bug.schedule.preemptions) == (
        specimen.kind,
        specimen.preemptions,
    ), found
    corrected = lab.explore(specimen.corrected, **settings)  # type: ignore[arg-type]
    assert corrected.verdict == "ok", corrected


@pytest.mark.one_in(3)
@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: str(specimen.name))
def test_the_schedule_fails_again_whenever_it_is_replayed(specimen: Specimen) -> None:
    """A schedule that was saved as JSON gives the same end three times."""
    bug = lab.explore(specimen.broken, preemptions=2).bug
    assert bug is not None
    schedule = lab.Schedule.from_json(bug.schedule.to_json())
    assert schedule == bug.schedule
    for _ in range(3):
        again = lab.replay(specimen.broken, schedule)
        assert (again.kind, again.text, again.schedule) == (bug.kind, bug.text, bug.schedule)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("specimen", CORPUS, ids=lambda specimen: str(specimen.name))
def test_random_schedules_find_it_too(specimen: Specimen) -> None:
    """3,000 schedules of the strategy `pct` are enough for every specimen."""
    found = lab.explore(specimen.broken, strategy="pct", seed=1, schedules=3000)
    assert found.verdict == "bug", found  # the mistake may show in another way


def test_the_corpus_is_large_enough() -> None:
    """There are at least 15 specimens, with different names."""
    assert len({specimen.name for specimen in CORPUS}) == len(CORPUS) >= 15
