"""A check that this process may open enough files, made before a start can fail half way."""

from __future__ import annotations

import os

FILES = 20
"""Number of files that a bank opens in its process until it answers its first call, and a few to
spare. Each further simultaneous call takes up to two."""


class TooFewFiles(OSError):
    """This process may not open as many files as a bank needs."""


def check_files() -> None:
    """Open `FILES` files for a moment. Raises `TooFewFiles`, whose text says what to do.

    Without enough files gRPC and redis-py fail one after the other, sometimes without an error.
    """
    opened: list[int] = []
    try:
        for _ in range(FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise TooFewFiles(
            f"A bank opens about {FILES} files and connections, but this process can open only "
            f"{len(opened)} more ({error.strerror}). Close files in this process, or raise its "
            f"limit: run ulimit -n 1024 in the shell that starts it."
        ) from None
    finally:
        for number in opened:
            os.close(number)
