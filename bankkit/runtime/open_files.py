"""What the system lets this process have, looked at before something fails half way."""

from __future__ import annotations

import os

FILES = 20
"""Files that a bank opens in its process until its first call is answered, and some more; each
further call at the same time takes up to two."""


class TooFewFiles(OSError):
    """This process may not open as many files as a bank needs."""


def check_files() -> None:
    """Opens as many for a moment. Raises `TooFewFiles` that says what to do.

    Without them gRPC and redis-py fail one after the other, some of them in silence.
    """
    opened: list[int] = []
    try:
        for _ in range(FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise TooFewFiles(
            f"A bank opens some {FILES} files and connections, but here is room for "
            f"{len(opened)} ({error.strerror}). Close files that are open in this process, or "
            f"raise its limit: ulimit -n 1024 in the shell that starts it."
        ) from None
    finally:
        for number in opened:
            os.close(number)
