"""Runs the schedules in which threads are overtaken most again, to tell what happens in them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from bankkit.explorer.answers.overtaking import Key, Overtaken, Overtaking, show
from bankkit.explorer.running.replay_run import Given
from bankkit.explorer.running.settings import Subject
from bankkit.explorer.schedules.schedule import Schedule
from bankkit.explorer.source.locations import NamingScheduler


def worst_waits(
    code: Subject, schedules: Mapping[Key, tuple[int, Schedule]]
) -> tuple[Overtaken, ...]:
    """What these schedules show, the worst first: one for each lock, as `Overtaking` keeps them."""
    told = [_told(code, schedule, key) for key, (_, schedule) in schedules.items()]
    return tuple(sorted(told, key=lambda each: -each.times))


def _told(code: Subject, schedule: Schedule, key: Key) -> Overtaken:
    with (
        closing(NamingScheduler(limit=code.steps)) as scheduler,
        replace(code, sleeps=True).laboratory(scheduler) as laboratory,
    ):
        Overtaking(scheduler)
        given = Given(scheduler, schedule.moves, schedule.threads)
        laboratory.run(given)
        return show(given, key)
