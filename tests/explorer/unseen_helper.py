"""A module of the program that keeps data in globals, for the traps."""

total = 0
items: list[int] = []


def add() -> None:
    """Not one step, but the explorer does not see the two."""
    global total
    total += 1
