"""Numbers in sentences."""


def counted(number: int, what: str) -> str:
    """A number with its noun: `1 write`, `1,200 writes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
