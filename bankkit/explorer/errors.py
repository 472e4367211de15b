"""Errors that say why a scenario cannot be explored."""


class ScenarioError(Exception):
    """The scenario cannot be explored. This is not a verdict on the code that it tests."""


class Unsupported(ScenarioError):
    """The scenario uses something for which the explorer has no stand-in."""


class NotInSchedule(ScenarioError, RuntimeError):
    """A stand-in was used outside of the schedule that it belongs to."""
