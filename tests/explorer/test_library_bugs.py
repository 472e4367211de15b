"""Known bugs of real libraries are found in the old release, and are gone in the new one.

The releases come from a package index, so that a computer without one skips these tests.
"""

import pytest

from tests.benchmarks.library_bugs import __main__ as benchmark
from tests.benchmarks.library_bugs.pairs import PAIRS, Pair


@pytest.mark.elsewhere
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair.name))
def test_the_reported_fault_is_found_and_is_gone(pair: Pair) -> None:
    try:
        old, new = (benchmark.explored(pair, each, 60.0) for each in (pair.old, pair.new))
    except benchmark.NotInstalled as error:
        pytest.skip(str(error))
    if "not imported" in (old["verdict"], new["verdict"]):
        pytest.skip(f"this Python cannot import a release of {pair.name}: {old['told']}")
    assert benchmark.is_right(old, new), (old, new)


def test_another_fault_in_the_old_release_does_not_count() -> None:
    fixed = {"verdict": "ok"}
    assert benchmark.is_right({"verdict": "bug", "is_the_fault": True}, fixed)
    assert not benchmark.is_right({"verdict": "bug", "is_the_fault": False}, fixed)
    assert not benchmark.is_right({"verdict": "ok"}, fixed)
    assert not benchmark.is_right({"verdict": "bug", "is_the_fault": True}, {"verdict": "bug"})
    assert not benchmark.is_right({"verdict": "bug", "is_the_fault": True}, {"verdict": "error"})


def test_there_are_ten_pairs_with_a_public_report() -> None:
    assert len({pair.name for pair in PAIRS}) == len(PAIRS) >= 10
    assert all(pair.report.startswith("https://github.com/") for pair in PAIRS)
