"""Sentences with numbers in them."""


def counted(number: int, what: str) -> str:
    """`1 write`, `1,200 writes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
