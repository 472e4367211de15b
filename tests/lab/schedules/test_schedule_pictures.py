"""Pictures of schedules: all schedules as a tree, and one schedule as a timeline."""

from typing import Any

import pytest

from bankkit import lab
from bankkit.explorer.strategies.strategy import Bound
from bankkit.lab.schedules.tree import MAX_SCHEDULES, TreeNode, _build_tree
from bankkit.locks import FirstDraftLock, ReadWriteLock
from tests.support import pictures
from tests.support.scenarios import crossed_locks, reader_and_writer


@pytest.mark.one_in(3)
@pytest.mark.parametrize("preemptions", [1, 0, None])
def test_the_tree_has_a_leaf_for_every_schedule(preemptions: int | None) -> None:
    scenario = reader_and_writer(ReadWriteLock)
    root, threads = _build_tree(scenario, Bound(preemptions), (), ())
    leaves = list(root.leaves())
    explored = lab.explore(scenario, preemptions=preemptions, reduction=False)
    assert explored.verdict == "ok"
    assert len(leaves) == explored.schedules
    assert not any(leaf.fails for leaf in leaves)
    assert {"reader", "writer"} <= set(threads)
    picture = lab.explored_tree(scenario, preemptions=preemptions)
    pictures.check(picture)
    assert picture.line == f"All {len(leaves)} schedules end well, with {Bound(preemptions)}."


def test_the_tree_marks_the_schedule_with_the_bug() -> None:
    """One schedule with one preemption fails, and none without preemptions does."""
    scenario = reader_and_writer(FirstDraftLock)
    picture = lab.explored_tree(scenario, preemptions=1)
    pictures.check(picture)
    assert picture.line.startswith("1 of ")
    assert picture.line.endswith(" schedules fails, with at most 1 preemption.")
    assert "end well" in lab.explored_tree(scenario, preemptions=0).line


def test_every_failing_leaf_is_a_schedule_that_fails() -> None:
    scenario = reader_and_writer(FirstDraftLock)
    root, _ = _build_tree(scenario, Bound(1), (), ())
    paths: list[tuple[tuple[str, ...], TreeNode]] = [((), root)]
    while paths:
        path, node = paths.pop()
        for (thread, _), child in node.children.items():
            paths.append(((*path, thread), child))
        if node.fails:
            with lab.Run(scenario) as run:
                for thread in path:
                    run.step(thread)
                assert run.outcome is not None
                assert run.outcome.kind == "lost wakeup"


def test_too_many_schedules_are_refused() -> None:
    def scenario(threading: Any) -> None:
        lock = ReadWriteLock(threading=threading)

        def work() -> None:
            with lock.write():
                pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with pytest.raises(ValueError, match=f"more than {MAX_SCHEDULES} schedules with no bound"):
        lab.explored_tree(scenario)


def test_a_schedule_as_a_timeline() -> None:
    scenario = reader_and_writer(FirstDraftLock)
    bug = lab.explore(scenario).bug
    assert bug is not None
    picture = lab.schedule_timeline(scenario, bug.schedule)
    pictures.check(picture)
    assert picture.line.startswith(
        "2 threads, one lane each; after 10 steps: a lost wakeup: reader"
    )
    with lab.Run(scenario) as run:
        for _ in range(3):
            run.step(run.enabled[0])
        beginning = lab.schedule_timeline(scenario, run.schedule)
    assert beginning.line == "2 threads, one lane each; the first 3 steps."


def test_a_timeline_shows_what_decides() -> None:
    """The two steps have a frame and an arrow, and the line in words says the same."""
    scenario = reader_and_writer(FirstDraftLock)
    bug = lab.explore(scenario).bug
    assert bug is not None
    assert bug.why is not None
    picture = lab.schedule_timeline(scenario, bug)
    pictures.check(picture)
    assert picture.line.endswith(f" no thread is left to wake it. {bug.why.text}")
    (axes,) = picture.figure.axes
    frames = [each.get_window_extent() for each in axes.patches if each.get_linewidth() == 3]
    centres = sorted(axes.transData.inverted().transform((box.x0, box.y0))[0] for box in frames)
    assert [round(x) + 1 for x in centres] == list(bug.why.steps) == [8, 10]
    plain = lab.schedule_timeline(scenario, bug.schedule)
    assert len(axes.texts) == len(plain.figure.axes[0].texts) + 1, "the arrow"
    assert bug.why.counterpart is not None
    good = lab.schedule_timeline(scenario, bug.why.counterpart)
    assert good.line == "2 threads, one lane each; after 13 steps: every thread ends."


def test_a_timeline_shows_a_wait_that_decides() -> None:
    bug = lab.explore(crossed_locks).bug
    assert bug is not None
    pictures.check(lab.schedule_timeline(crossed_locks, bug))


def test_a_schedule_of_another_scenario_is_refused() -> None:
    bug = lab.explore(reader_and_writer(FirstDraftLock)).bug
    assert bug is not None
    with pytest.raises(ValueError, match=r"Step \d+ of the schedule is not possible: "):
        lab.schedule_timeline(reader_and_writer(ReadWriteLock), bug.schedule)
    with pytest.raises(ValueError, match="1 to 120 steps, but this schedule has 0"):
        lab.schedule_timeline(reader_and_writer(ReadWriteLock), lab.Schedule(()))
