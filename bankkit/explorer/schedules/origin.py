"""What a saved schedule was made with, so that a replay that fails can say what has changed."""

from __future__ import annotations

import hashlib
import linecache
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """The Python and the source files that a schedule was made with."""

    python: str
    """The version of Python: `3.11.9`."""
    sources: dict[str, str]
    """A digest of each file in which a thread made a step, by the file's path."""

    @classmethod
    def of(cls, files: Iterable[str]) -> Origin:
        """What is there now: this Python, and these files."""
        digests = {file: _digest(file) for file in sorted(set(files)) if file}
        known = {file: digest for file, digest in digests.items() if digest}
        return cls(platform.python_version(), known)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Origin | None:
        """The origin in a saved schedule; None if it has none. TypeError for something else."""
        if "python" not in data:
            return None
        python, sources = data["python"], data["sources"]
        if not isinstance(python, str) or not isinstance(sources, dict):
            raise TypeError("python must be a text, and sources an object")
        return cls(python, {str(file): str(digest) for file, digest in sources.items()})

    def changes(self, files: Iterable[str]) -> str:
        """A sentence about what has changed; empty if nothing is known to have changed.

        `files` are those in which the threads of the present run have made steps. They may lie in
        another folder now.
        """
        present = set(files)
        changed = [
            _name(path)
            for path, digest in self.sources.items()
            if _digest(_counterpart(path, present)) not in ("", digest)
        ]
        parts = []
        if changed:
            names = " and ".join([", ".join(changed[:-1]), changed[-1]][len(changed) < 2 :])
            parts.append(f"{names} {'has' if len(changed) == 1 else 'have'} changed")
        if self.python != platform.python_version():
            parts.append(f"Python is {platform.python_version()} and no longer {self.python}")
        return f"Since the schedule was made, {', and '.join(parts)}." if parts else ""


def _counterpart(path: str, present: set[str]) -> str:
    """The file that takes the place of this one; itself, if no file or several have its name."""
    if path in present:
        return path
    alike = [file for file in present if _name(file) == _name(path)]
    return alike[0] if len(alike) == 1 else path


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _digest(file: str) -> str:
    """A digest of the text of a file; empty if Python does not have it."""
    text = "".join(linecache.getlines(file))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16] if text else ""
