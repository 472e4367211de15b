"""A learner's progress file: nothing is lost, and no damage to it breaks a lesson."""

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from platformdirs.unix import Unix

from bankkit.lab.course import progress_file
from bankkit.lab.course.course import Course
from bankkit.lab.course.exercises import Registry
from bankkit.lab.course.progress_file import Kept, Notes, ProgressFile, Work, default_path
from tests.support import lesson_99, preload
from tests.support.paths import ROOT
from tests.support.preload import preloaded


def add_try(name: str) -> Callable[[Notes], None]:
    return lambda notes: notes.work("99.to_cents").tries.append(name)


def tries(file: ProgressFile) -> list[str]:
    return file.read().work("99.to_cents").tries


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "progress.json"


def test_what_is_kept_is_there_in_another_kernel(path: Path) -> None:
    def change(notes: Notes) -> None:
        notes.predictions["99.cents"] = Kept("True", "False")
        notes.exercises["99.to_cents"] = Work(["a", "b"], 1, True)

    ProgressFile(path).update(change)
    notes = ProgressFile(path).read()
    assert notes.predictions == {"99.cents": Kept("True", "False")}
    assert notes.exercises == {"99.to_cents": Work(["a", "b"], 1, True)}
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_reading_makes_no_file(path: Path) -> None:
    assert ProgressFile(path).read() == Notes()
    assert not path.parent.exists()


def keep_many(path: Path, name: str, count: int) -> None:
    for number in range(count):
        ProgressFile(path).update(add_try(f"{name}{number}"))


def test_kernels_that_write_at_once_lose_nothing(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    kernels = [spawn.Process(target=keep_many, args=(path, name, 50)) for name in "abc"]
    for each in kernels:
        each.start()
    for each in kernels:
        each.join(60)
    assert sorted(tries(ProgressFile(path))) == sorted(f"{a}{n}" for a in "abc" for n in range(50))


def test_threads_that_write_at_once_lose_nothing(path: Path) -> None:
    file = ProgressFile(path)

    def work(name: str) -> None:
        for number in range(2):
            file.update(add_try(f"{name}{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert len(tries(ProgressFile(path))) == 16


DAMAGED = {
    "empty": "",
    "cut": Notes({"a": Kept("b")}).to_json()[:-20],
    "no JSON": "not json",
    "not UTF-8": "\udcff",
    "another shape": "[]",
    "no version": '{"predictions": {}, "exercises": {}}',
    "later version": '{"version": 2, "predictions": {}, "exercises": {}}',
    "wrong type": '{"version": 1, "predictions": {}, "exercises": {"a": {"tries": 3}}}',
    "wrong choice": '{"version": 1, "predictions": {"a": {"choice": []}}, "exercises": {}}',
    "unknown field": '{"version": 1, "predictions": {}, "exercises": {"a": {"b": 1}}}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("first", ["read", "update"])
def test_a_damaged_file_is_set_aside_and_said(path: Path, text: str, first: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    file = ProgressFile(path)
    if first == "read":
        assert file.read() == Notes()
    else:
        file.update(add_try("a"))
    said = "Your progress file was damaged; it was set aside as progress-damaged-1.json."
    assert file.take_trouble() == said
    assert file.take_trouble() == ""
    aside = path.with_name("progress-damaged-1.json")
    assert aside.read_text(encoding="utf-8", errors="surrogateescape") == text
    file.update(add_try("b"))
    assert tries(ProgressFile(path)) == (["b"] if first == "read" else ["a", "b"])


def test_a_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for text in ("one", "two"):
        path.write_text(text)
        ProgressFile(path).read()
    names = ["progress-damaged-1.json", "progress-damaged-2.json"]
    assert [path.with_name(each).read_text() for each in names] == ["one", "two"]


def test_what_cannot_be_written_is_remembered_and_written_later(tmp_path: Path) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file where the folder should be")
    file = ProgressFile(blocked / "progress.json")
    file.update(add_try("a"))
    assert "could not be saved" in (said := file.take_trouble())
    assert said.endswith("it is remembered until this kernel ends.")
    assert tries(file) == ["a"]
    blocked.unlink()
    file.update(add_try("b"))
    assert file.take_trouble() == ""
    assert tries(ProgressFile(blocked / "progress.json")) == ["a", "b"]


def test_a_folder_in_the_place_of_the_file_breaks_nothing(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path)
    assert file.read() == Notes()
    assert "could not be read" in file.take_trouble()
    file.update(add_try("a"))
    assert "could not be saved" in file.take_trouble()
    assert tries(file) == ["a"]


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere: run it as another user"
)
def test_a_file_that_may_not_be_read_is_not_overwritten(path: Path) -> None:
    ProgressFile(path).update(add_try("a"))
    path.chmod(0)
    file = ProgressFile(path)
    file.update(add_try("b"))
    assert "Permission denied" in file.take_trouble()
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert tries(file) == ["a", "b"]
    assert tries(ProgressFile(path)) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_a_kernel_stopped_while_it_holds_the_lock_delays_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(progress_file, "LOCK_SECONDS", 0.1)
    path.parent.mkdir(parents=True)
    with path.with_name(f"{path.name}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file = ProgressFile(path)
        file.update(add_try("a"))
        assert "another kernel holds its lock" in file.take_trouble()
        assert tries(file) == ["a"]
    file.update(add_try("b"))
    assert tries(ProgressFile(path)) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
@pytest.mark.parametrize("failure", ["ENOLCK", "ENOSYS", "EINVAL"])
def test_a_home_without_file_locks_keeps_progress(path: Path, tmp_path: Path, failure: str) -> None:
    code = f"""
from pathlib import Path
from bankkit.lab.course.progress_file import ProgressFile
for name in "ab":
    file = ProgressFile(Path({str(path)!r}))
    file.update(lambda notes: notes.work("99.to_cents").tries.append(name))
    print([file.take_trouble()])
"""
    library = preloaded(tmp_path, preload.NO_LOCKS.replace("FAILURE", failure))
    environ = os.environ | {"LD_PRELOAD": library, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("['']\n['']\n", "")
    assert tries(ProgressFile(path)) == ["a", "b"]
    assert {each.name for each in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BANKKIT_PROGRESS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    end = Path("bankkit") / "progress.json"
    monkeypatch.setattr(platformdirs, "PlatformDirs", Unix)
    assert default_path() == tmp_path / ".local" / "share" / end
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert default_path() == tmp_path / ".local" / "share" / end
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_path() == tmp_path / "xdg" / end
    monkeypatch.setenv("BANKKIT_PROGRESS", "~/mine.json")
    assert default_path() == tmp_path / "mine.json"


@pytest.mark.parametrize(
    ("platform", "former"), [("darwin", "Library/Application Support"), ("win32", "roaming")]
)
def test_a_file_at_the_former_place_is_still_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, former: str
) -> None:
    monkeypatch.delenv("BANKKIT_PROGRESS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    monkeypatch.setattr(sys, "platform", platform)
    new = tmp_path / "data" / "bankkit"
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: new)
    end = Path("bankkit") / "progress.json"
    assert default_path() == tmp_path / "data" / end
    ProgressFile(tmp_path / former / end).update(add_try("a"))
    assert tries(ProgressFile()) == ["a"]
    ProgressFile().update(add_try("b"))
    assert tries(ProgressFile(tmp_path / former / end)) == ["a", "b"]
    (tmp_path / former / end).write_text("damaged")
    ProgressFile().update(add_try("c"))
    assert tries(ProgressFile()) == ["c"]


def test_without_a_home_everything_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BANKKIT_PROGRESS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_data_path", unknown)
    file = ProgressFile()
    file.update(add_try("a"))
    assert "could not be saved (could not determine" in file.take_trouble()
    assert tries(file) == ["a"]


def test_the_path_is_asked_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = ProgressFile()
    for name in ("one", "two"):
        monkeypatch.setenv("BANKKIT_PROGRESS", str(tmp_path / name))
        assert file.path == tmp_path / name


# --- What the learner sees -----------------------------------------------------------------------


@pytest.fixture
def course(path: Path) -> Course:
    registry = Registry()
    registry.add(lesson_99)
    return Course(registry, ProgressFile(path))


def test_the_table_before_and_after(course: Course, path: Path) -> None:
    assert repr(course.progress()) == (
        "Progress: 0 of 2 exercises passed\n"
        "99 A sample: predictions 0 of 1 kept\n"
        "   ○ Dollars to cents (not tried)\n"
        "   ○ Open an account (not tried)"
    )
    assert not path.exists(), "an unattended run leaves nothing behind"
    course.predict("99.cents", "B")
    course.reveal("99.cents", saw=False)
    course.check("99.to_cents", round)
    course.check("99.to_cents", lambda dollars: round(dollars * 100))
    assert repr(course.progress()) == (
        "Progress: 1 of 2 exercises passed\n"
        "99 A sample: predictions 1 of 1 kept, 1 came true\n"
        "   ✓ Dollars to cents (passed)\n"
        "   ○ Open an account (not tried)"
    )


def test_trouble_is_one_visible_line_of_the_next_card(course: Course, path: Path) -> None:
    path.parent.mkdir(parents=True)
    for show in (
        course.progress,
        lambda: course.predict("99.cents", "A"),
        lambda: course.reveal("99.cents", saw=False),
        lambda: course.exercise("99.to_cents"),
        lambda: course.hint("99.to_cents"),
        lambda: course.answer("99.to_cents"),
        lambda: course.check("99.to_cents", round),
        lambda: course.reset("99.to_cents"),
        course.reset_progress,
    ):
        path.write_text("damaged")
        bundle = show()._repr_mimebundle_()
        for mime in ("text/plain", "text/html"):
            assert bundle[mime].count("was damaged; it was set aside") == 1, bundle
        assert "damaged" not in repr(course.progress())


def test_reset_forgets_one_or_everything(course: Course, path: Path) -> None:
    course.predict("99.cents", "B")
    course.check("99.to_cents", lambda dollars: round(dollars * 100))
    course.check("99.open", lambda stub, id: "no")
    assert repr(course.reset("99.to_cents")) == "Progress: 99.to_cents is reset."
    assert set(json.loads(path.read_text())["exercises"]) == {"99.open"}
    course.reset("99.cents")
    assert json.loads(path.read_text())["predictions"] == {}
    assert repr(course.reset_progress()) == "Progress: The whole course is reset."
    assert ProgressFile(path).read() == Notes()


def test_records_are_read_from_any_file(course: Course, path: Path, tmp_path: Path) -> None:
    course.check("99.to_cents", round)
    course.check("99.to_cents", lambda dollars: round(dollars * 100))
    empty = tmp_path / "empty.json"
    as_rows = [(each.exercise, each.passed, each.tries) for each in course.records(path)]
    assert as_rows == [("99.to_cents", True, 2), ("99.open", False, 0)]
    assert not any(each.passed or each.tries for each in course.records(empty))


def test_a_prediction_of_an_option_that_is_gone_is_not_kept(course: Course, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(Notes({"99.cents": Kept("Maybe")}).to_json())
    assert "You kept no prediction" in repr(course.reveal("99.cents", saw=False))
