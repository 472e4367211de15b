"""Checks of numbers, flags and paths that callers pass."""

import os

MOST_GRACE_SECONDS = 86_400
"""The longest grace: a day."""


def is_number(value: object) -> bool:
    """Whether the value is an int or a float; True and False are not numbers here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_whole(name: str, value: object, least: int, most: int, when: str = "") -> None:
    """Raises ValueError unless `value` is a whole number from `least` to `most`.

    The message calls the value `name`. `when` completes it with a condition for these limits.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(
            f"{name} must be a whole number from {least} to {most}{when}, not {value!r}."
        )


def check_flag(name: str, value: object) -> None:
    """Raises ValueError unless `value` is True or False; the text "no" would count as true."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}.")


def check_path(name: str, value: object) -> None:
    """Raises ValueError unless `value` can be the path of a file or a folder."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} must be a path, not {value!r}.")


def check_grace(grace: float) -> None:
    """Raises ValueError unless `grace` is a number of seconds from 0 to a day."""
    if not is_number(grace) or not 0 <= grace <= MOST_GRACE_SECONDS:
        raise ValueError(
            f"grace must be a number of seconds from 0 to {MOST_GRACE_SECONDS:,}, not {grace!r}."
        )
