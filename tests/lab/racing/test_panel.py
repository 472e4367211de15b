"""The race panel, tested through its widgets, as a learner clicks them."""

import threading
from collections.abc import Iterator

import pytest

from bankkit import lab
from bankkit.lab.racing.panel import RacePanel, Side
from tests.support.waiting import eventually


@pytest.fixture
def panel() -> Iterator[RacePanel]:
    panel = lab.race_panel()
    assert panel.widget is not None
    yield panel
    panel.stop()


def run(side: Side) -> None:
    side.run.click()
    assert side.run.disabled
    assert not side.halt.disabled
    eventually(lambda: not side.run.disabled, 30)
    assert side.halt.disabled
    assert side.bar.layout.visibility == "hidden"


def racing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "race" in thread.name]


def test_two_runs_side_by_side(panel: RacePanel) -> None:
    run(panel.left)
    assert "Money lost" in panel.left.verdict.value
    assert panel.left.result is not None
    assert panel.left.result.lost == 100_00
    assert len(panel.left.picture.children) == 1
    assert panel.comparison.value == "", "the comparison needs two results"
    run(panel.right)
    assert "No loss could be forced under read-write" in panel.right.verdict.value
    for word in ("money lost", "$</span>100", "read-write (fair), forced", "calls a second"):
        assert word in panel.comparison.value


def test_a_new_run_closes_the_old_picture(panel: RacePanel) -> None:
    run(panel.left)
    (old,) = panel.left.picture.children
    panel.left.mode.value = "free"
    panel.left.rounds.value = 20
    run(panel.left)
    (new,) = panel.left.picture.children
    assert old is not new
    assert old.comm is None, "closed"
    assert panel.left.result is not None
    assert panel.left.result.deposits == 40


def test_stopped_in_the_middle(panel: RacePanel) -> None:
    side = panel.left
    side.mode.value, side.rounds.value, side.hold.value = "free", 200, 50
    side.run.click()
    eventually(lambda: side.bar.value > 0)
    side.halt.click()
    eventually(lambda: not side.run.disabled)
    assert "the race was stopped" in side.verdict.value
    assert "Ended early" in side.verdict.value
    assert racing() == []


def test_a_new_panel_ends_what_an_old_one_runs(panel: RacePanel) -> None:
    side = panel.left
    side.mode.value, side.rounds.value, side.hold.value = "free", 200, 50
    side.run.click()
    eventually(lambda: side.bar.value > 0)
    lab.race_panel()
    assert racing() == []


def test_invalid_settings_are_explained(panel: RacePanel) -> None:
    panel.left.writers.value = 1
    panel.left.run.click()
    assert "writers must be a whole number from 2 to 64, not 1." in panel.left.verdict.value
    assert not panel.left.run.disabled


def test_a_race_without_locks_shows_no_timeline(panel: RacePanel) -> None:
    panel.left.concurrency.value = "atomic"
    panel.left.readers.value = 0
    run(panel.left)
    assert "No loss could be forced under atomic" in panel.left.verdict.value


def test_the_policy_can_be_chosen_only_for_a_lock_that_has_one(panel: RacePanel) -> None:
    assert panel.left.policy.disabled
    panel.left.concurrency.value = "read-write"
    assert not panel.left.policy.disabled


def test_without_a_kernel_it_says_what_it_does(panel: RacePanel) -> None:
    bundle = panel._repr_mimebundle_()
    assert "The panel runs two races side by side." in bundle["text/plain"]
    assert "it needs a kernel" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
