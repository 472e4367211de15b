"""A learner's progress, kept in one small JSON file between kernels.

The file never stops a lesson. A damaged file is renamed and kept. If the file cannot be written,
progress stays in memory until the kernel ends, and `take_trouble` returns a sentence that says so.
Kernels that write at the same time take turns with a file lock, and each adds its change to the
present file, so nothing is lost. On a file system without locks, two changes within the same
milliseconds may overwrite each other, and then only the later one is kept.
"""

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

VERSION = 1
LOCK_SECONDS = 5.0
"""How long to wait while another kernel holds the file lock. A change takes milliseconds."""


@dataclass
class Kept:
    """A prediction: the chosen option, and the result of the run (None: not run yet)."""

    choice: str
    saw: str | None = None


@dataclass
class Work:
    """An exercise: fingerprints of the different submissions, hints seen, and passed or not."""

    tries: list[str] = field(default_factory=list)
    hints: int = 0
    passed: bool = False


@dataclass
class Notes:
    """The content of the file, by id of the prediction or exercise."""

    predictions: dict[str, Kept] = field(default_factory=dict)
    exercises: dict[str, Work] = field(default_factory=dict)

    def work(self, identifier: str) -> Work:
        """The work on one exercise; adds an empty one if there is none."""
        return self.exercises.setdefault(identifier, Work())

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Notes":
        """The notes in the text of a file. Raises ValueError if it is not a progress file."""
        try:
            data = json.loads(text)
            notes = cls(
                {key: Kept(**each) for key, each in data["predictions"].items()},
                {key: Work(**each) for key, each in data["exercises"].items()},
            )
            version = data["version"]
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a progress file: {error!r}") from error
        sound = (
            version == VERSION
            and all(
                isinstance(kept.choice, str) and isinstance(kept.saw, str | None)
                for kept in notes.predictions.values()
            )
            and all(
                isinstance(work.tries, list)
                and all(isinstance(each, str) for each in work.tries)
                and type(work.hints) is int
                and type(work.passed) is bool
                for work in notes.exercises.values()
            )
        )
        if not sound:
            raise ValueError("not a progress file of this version")
        return notes


Change = Callable[[Notes], None]


def default_path() -> Path:
    """`BANKKIT_PROGRESS`, else `bankkit/progress.json` in the user's data directory.

    Raises RuntimeError if the system knows no home directory.
    """
    if chosen := os.environ.get("BANKKIT_PROGRESS"):
        return Path(chosen).expanduser()
    folder = platformdirs.user_data_path("bankkit", appauthor=False, roaming=True)
    former = _former_folder()
    if former is not None and former.is_dir() and not (folder / "progress.json").exists():
        folder = former
    return folder / "progress.json"


def _former_folder() -> Path | None:
    """The folder that older versions used, before platformdirs, on systems where it may differ.

    It differs on macOS if XDG_DATA_HOME is set, and on Windows if APPDATA was changed.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "bankkit"
    if sys.platform == "win32" and (data := os.environ.get("APPDATA")):
        return Path(data) / "bankkit"
    return None


class ProgressFile:
    """The notes of one learner. `read` and `update` never raise because of the file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._unsaved: list[Change] = []
        self._trouble = ""  # a present problem, which the next saved change ends
        self._set_aside = ""  # a past event, which is reported once
        self._lock = threading.RLock()

    @property
    def path(self) -> Path:
        """The path of the file; read each time, because the environment may change."""
        return self._path or default_path()

    def read(self) -> Notes:
        """The present notes, with the changes that could not be written yet."""
        with self._lock:
            try:
                notes = self._load()
            except (OSError, RuntimeError) as error:
                self._trouble = f"Your progress could not be read ({_reason(error)})."
                notes = Notes()
            except ValueError:
                notes = self._after_setting_aside()
            for change in self._unsaved:
                change(notes)
            return notes

    def update(self, change: Change) -> None:
        """Apply a change to the notes and write them."""
        with self._lock:
            self._unsaved.append(change)
            try:
                with self._locked():
                    notes = self._load_or_set_aside()
                    for each in self._unsaved:
                        each(notes)
                    self._store(notes)
            except (OSError, RuntimeError) as error:
                self._trouble = (
                    f"Your progress could not be saved ({_reason(error)}); "
                    "it is remembered until this kernel ends."
                )
            else:
                self._unsaved.clear()
                self._trouble = ""

    def take_trouble(self) -> str:
        """A sentence about the problems with the file since the last call, or ''."""
        with self._lock:
            sentences = self._set_aside, self._trouble
            self._set_aside = self._trouble = ""
            return " ".join(filter(None, sentences))

    def _load(self) -> Notes:
        try:
            return Notes.from_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Notes()

    def _after_setting_aside(self) -> Notes:
        try:
            with self._locked():
                return self._load_or_set_aside()
        except (OSError, RuntimeError) as error:
            self._trouble = (
                f"Your progress file is damaged and could not be set aside ({_reason(error)})."
            )
            return Notes()

    def _load_or_set_aside(self) -> Notes:
        """Load the notes, or rename a damaged file and start anew.

        Needs the file lock: another kernel may just have replaced the damaged file.
        """
        try:
            return self._load()
        except ValueError:
            for number in range(1, 1000):
                aside = self.path.with_name(f"{self.path.stem}-damaged-{number}{self.path.suffix}")
                if not aside.exists():
                    break
            self.path.replace(aside)
            self._set_aside = f"Your progress file was damaged; it was set aside as {aside.name}."
            return Notes()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other kernels out. The lock is a separate file, because `_store` replaces ours."""
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without flock, filelock would make a marker file. It cannot tell that one is stale if its
        # kernel was killed on another host, such as a hub's container: no kernel could save again.
        lock = FileLock(
            path.with_name(path.name + ".lock"),
            timeout=LOCK_SECONDS,
            poll_interval=0.005,
            fallback_to_soft=False,
        )
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except Timeout:
                raise TimeoutError("another kernel holds its lock") from None
            except OSError:  # a file system without locks, such as some NFS mounts
                pass
            yield

    def _store(self, notes: Notes) -> None:
        """Replace the file in one step: a reader sees the old notes or the new ones, never half."""
        path = self.path
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(notes.to_json())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _reason(error: Any) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
